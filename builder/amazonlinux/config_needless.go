package amazonlinux

import (
	"github.com/hashicorp/packer-plugin-sdk/communicator"
)

// Needless are the options of amazon-ebs that have nothing left to say here.
// They are decoded only so that a template that moves over is told what to
// delete, and why. All are strings or lists, whatever they are there: given or
// not is all that matters.
type Needless struct {
	SSHInterface                         string   `mapstructure:"ssh_interface" undocumented:"true"`
	PauseBeforeSSM                       string   `mapstructure:"pause_before_ssm" undocumented:"true"`
	SessionManagerPort                   string   `mapstructure:"session_manager_port" undocumented:"true"`
	TemporarySecurityGroupSourceCIDRs    []string `mapstructure:"temporary_security_group_source_cidrs" undocumented:"true"`
	TemporarySecurityGroupSourcePublicIP string   `mapstructure:"temporary_security_group_source_public_ip" undocumented:"true"`
	ENASupport                           string   `mapstructure:"ena_support" undocumented:"true"`
	SRIOVSupport                         string   `mapstructure:"sriov_support" undocumented:"true"`
	AMIVirtualizationType                string   `mapstructure:"ami_virtualization_type" undocumented:"true"`
	AMIProductCodes                      []string `mapstructure:"ami_product_codes" undocumented:"true"`
	EBSOptimized                         string   `mapstructure:"ebs_optimized" undocumented:"true"`
	EnableT2Unlimited                    string   `mapstructure:"enable_t2_unlimited" undocumented:"true"`
	EnableNitroEnclave                   string   `mapstructure:"enable_nitro_enclave" undocumented:"true"`
	BlockDurationMinutes                 string   `mapstructure:"block_duration_minutes" undocumented:"true"`
	SpotPriceAutoProduct                 string   `mapstructure:"spot_price_auto_product" undocumented:"true"`
	WindowsPasswordTimeout               string   `mapstructure:"windows_password_timeout" undocumented:"true"`
	NoEphemeral                          string   `mapstructure:"no_ephemeral" undocumented:"true"`
	InsecureSkipTLSVerify                string   `mapstructure:"insecure_skip_tls_verify" undocumented:"true"`
	MFACode                              string   `mapstructure:"mfa_code" undocumented:"true"`
	SnapshotGroups                       []string `mapstructure:"snapshot_groups" undocumented:"true"`

	LicenseSpecifications []LicenseSpecification `mapstructure:"license_specifications" undocumented:"true"`
	VaultAWSEngine        *VaultAWSEngine        `mapstructure:"vault_aws_engine" undocumented:"true"`
	FastLaunch            *FastLaunch            `mapstructure:"fast_launch" undocumented:"true"`
}

// LicenseSpecification is a block of amazon-ebs that is needless here.
type LicenseSpecification struct {
	LicenseConfigurationRequest LicenseRequest `mapstructure:"license_configuration_request" undocumented:"true"`
}

// LicenseRequest is a block of amazon-ebs that is needless here.
type LicenseRequest struct {
	LicenseConfigurationARN string `mapstructure:"license_configuration_arn" undocumented:"true"`
}

// VaultAWSEngine is a block of amazon-ebs that is needless here.
type VaultAWSEngine struct {
	Name       string `mapstructure:"name" undocumented:"true"`
	EngineName string `mapstructure:"engine_name" undocumented:"true"`
	RoleARN    string `mapstructure:"role_arn" undocumented:"true"`
	TTL        string `mapstructure:"ttl" undocumented:"true"`
}

// FastLaunch is a block of amazon-ebs that is needless here.
type FastLaunch struct {
	EnableFastLaunch    string `mapstructure:"enable_fast_launch" undocumented:"true"`
	TemplateID          string `mapstructure:"template_id" undocumented:"true"`
	TemplateName        string `mapstructure:"template_name" undocumented:"true"`
	TemplateVersion     string `mapstructure:"template_version" undocumented:"true"`
	MaxParallelLaunches string `mapstructure:"max_parallel_launches" undocumented:"true"`
	TargetResourceCount string `mapstructure:"target_resource_count" undocumented:"true"`

	RegionLaunchTemplates []FastLaunchTemplate `mapstructure:"region_launch_templates" undocumented:"true"`
}

// FastLaunchTemplate is a block of amazon-ebs that is needless here.
type FastLaunchTemplate struct {
	Region           string `mapstructure:"region" undocumented:"true"`
	EnableFastLaunch string `mapstructure:"enable_fast_launch" undocumented:"true"`
	TemplateID       string `mapstructure:"template_id" undocumented:"true"`
	TemplateName     string `mapstructure:"template_name" undocumented:"true"`
	TemplateVersion  string `mapstructure:"template_version" undocumented:"true"`
}

// A needless option: is it given, and why it is not needed.
type needless struct {
	option string
	given  bool
	why    string
}

const (
	whyNoPort     = "the plugin connects through Session Manager by itself, nothing is dialled from your machine"
	whyNoKeyPair  = "no EC2 key pair is made: each build has a key in memory, and nothing of it reaches the image"
	whyNoOwnKey   = "its public half came with ssh_keypair_name, which goes"
	whyNoIngress  = "no security group is opened: the connection is made from the instance outwards"
	whyNotWindows = "this builder is for Amazon Linux"
	whyHVM        = "every Amazon Linux AMI is HVM with ENA, and the new image takes that from its source"
	whyNoBastion  = "Session Manager needs no bastion: AWS is the way to the instance"
	whyNoProxy    = "the SOCKS proxy is of no use to Session Manager; set HTTPS_PROXY in the environment instead"
)

func (n *Needless) needlessHere() []needless {
	return []needless{
		{"ssh_interface", n.SSHInterface != "", whyNoPort},
		{"pause_before_ssm", n.PauseBeforeSSM != "", "the plugin watches the agent come online and goes on at that moment"},
		{"session_manager_port", n.SessionManagerPort != "", "no local port is opened"},
		{"temporary_security_group_source_cidrs", len(n.TemporarySecurityGroupSourceCIDRs) > 0, whyNoIngress},
		{"temporary_security_group_source_public_ip", n.TemporarySecurityGroupSourcePublicIP != "", whyNoIngress},
		{"ena_support", n.ENASupport != "", whyHVM},
		{"sriov_support", n.SRIOVSupport != "", whyHVM},
		{"ami_virtualization_type", n.AMIVirtualizationType != "", whyHVM},
		{"ami_product_codes", len(n.AMIProductCodes) > 0, "Amazon Linux has no product codes"},
		{"ebs_optimized", n.EBSOptimized != "", "current instance types have it switched on"},
		{"enable_t2_unlimited", n.EnableT2Unlimited != "", "amazon-ebs has retired it, too"},
		{"enable_nitro_enclave", n.EnableNitroEnclave != "", "an enclave has no effect on the image"},
		{"block_duration_minutes", n.BlockDurationMinutes != "", "AWS has retired spot blocks"},
		{"spot_price_auto_product", n.SpotPriceAutoProduct != "", "amazon-ebs has retired it, too"},
		{"windows_password_timeout", n.WindowsPasswordTimeout != "", whyNotWindows},
		{"no_ephemeral", n.NoEphemeral != "", whyNotWindows},
		{"insecure_skip_tls_verify", n.InsecureSkipTLSVerify != "", "AWS is always verified; for an authority of your own set AWS_CA_BUNDLE in the environment"},
		{"snapshot_groups", len(n.SnapshotGroups) > 0, "AWS takes no group but all, and whoever may launch a public image needs no right to its snapshots; for accounts there is snapshot_users"},
		{"license_specifications", len(n.LicenseSpecifications) > 0, "Amazon Linux needs no licence from License Manager"},
		{"vault_aws_engine", n.VaultAWSEngine != nil, "let Vault write AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN into the environment, or a credential_process in the profile, which renews them"},
		{"fast_launch", n.FastLaunch != nil, whyNotWindows},
		{"mfa_code", n.MFACode != "", "use a profile: the AWS SDK's own chain handles it"},
	}
}

// needlessOfSDK are those among the SDK's own communicator options. The SDK
// decodes them with zero values for what is not given, so a false or 0 that
// somebody wrote out passes.
func needlessOfSDK(c *communicator.Config) []needless {
	return append(needlessSSH(&c.SSH), needlessWinRM(&c.WinRM)...)
}

func needlessSSH(c *communicator.SSH) []needless {
	return []needless{
		{"ssh_host", c.SSHHost != "", whyNoPort},
		{"ssh_public_key", len(c.SSHPublicKey) > 0, whyNoKeyPair},
		{"ssh_keypair_name", c.SSHKeyPairName != "", whyNoKeyPair},
		{"ssh_private_key_file", c.SSHKeyPairName != "" && c.SSHPrivateKeyFile != "", whyNoOwnKey},
		{"ssh_agent_auth", c.SSHKeyPairName != "" && c.SSHAgentAuth, whyNoOwnKey},
		{"temporary_key_pair_name", c.SSHTemporaryKeyPairName != "", whyNoKeyPair},
		{"temporary_key_pair_type", c.SSHTemporaryKeyPairType != "", whyNoKeyPair},
		{"temporary_key_pair_bits", c.SSHTemporaryKeyPairBits != 0, whyNoKeyPair},
		{"ssh_clear_authorized_keys", c.SSHClearAuthorizedKeys, whyNoKeyPair},
		{"ssh_bastion_host", c.SSHBastionHost != "", whyNoBastion},
		{"ssh_bastion_port", c.SSHBastionPort != 0, whyNoBastion},
		{"ssh_bastion_agent_auth", c.SSHBastionAgentAuth, whyNoBastion},
		{"ssh_bastion_username", c.SSHBastionUsername != "", whyNoBastion},
		{"ssh_bastion_password", c.SSHBastionPassword != "", whyNoBastion},
		{"ssh_bastion_interactive", c.SSHBastionInteractive, whyNoBastion},
		{"ssh_bastion_private_key_file", c.SSHBastionPrivateKeyFile != "", whyNoBastion},
		{"ssh_bastion_certificate_file", c.SSHBastionCertificateFile != "", whyNoBastion},
		{"ssh_proxy_host", c.SSHProxyHost != "", whyNoProxy},
		{"ssh_proxy_port", c.SSHProxyPort != 0, whyNoProxy},
		{"ssh_proxy_username", c.SSHProxyUsername != "", whyNoProxy},
		{"ssh_proxy_password", c.SSHProxyPassword != "", whyNoProxy},
	}
}

func needlessWinRM(c *communicator.WinRM) []needless {
	return []needless{
		{"winrm_username", c.WinRMUser != "", whyNotWindows},
		{"winrm_password", c.WinRMPassword != "", whyNotWindows},
		{"winrm_host", c.WinRMHost != "", whyNotWindows},
		{"winrm_no_proxy", c.WinRMNoProxy, whyNotWindows},
		{"winrm_port", c.WinRMPort != 0, whyNotWindows},
		{"winrm_timeout", c.WinRMTimeout != 0, whyNotWindows},
		{"winrm_use_ssl", c.WinRMUseSSL, whyNotWindows},
		{"winrm_insecure", c.WinRMInsecure, whyNotWindows},
		{"winrm_use_ntlm", c.WinRMUseNTLM != 0, whyNotWindows},
	}
}

func checkNeedless(r *report, list []needless) {
	for _, n := range list {
		if n.given {
			r.addf("%s: delete it: %s", n.option, n.why)
		}
	}
}

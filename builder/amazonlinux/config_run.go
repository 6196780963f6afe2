//go:generate packer-sdc struct-markdown

package amazonlinux

import (
	"time"

	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

// RunConfig says what is launched to build on, and where.
type RunConfig struct {
	// The type of the instance to build on, such as `t3.small`; the architecture
	// follows from it. Default: `t3.small` for x86_64, `t4g.small` for arm64.
	InstanceType string `mapstructure:"instance_type"`
	// The VPC to launch in. Default: that of `subnet_id` or of the security
	// groups, else the region's default VPC. A subnet is chosen in it unless `subnet_id` says one.
	VPCID string `mapstructure:"vpc_id"`
	// The subnet to launch in. It must lead to AWS's SSM endpoints: by an
	// internet gateway, a NAT gateway or VPC endpoints. Default: a subnet of the
	// VPC that offers the instance type.
	SubnetID string `mapstructure:"subnet_id"`
	// The security group of the instance. It needs no ingress, and egress to TCP
	// port 443. Conflicts with `security_group_ids`. Default: the default group of the VPC; where
	// that lets nothing out to port 443, a temporary group with just this rule.
	SecurityGroupID string `mapstructure:"security_group_id"`
	// Several security groups; see `security_group_id`, which it conflicts with.
	SecurityGroupIDs []string `mapstructure:"security_group_ids"`
	// Whether the instance gets a public IP address. Nothing connects to it: it
	// only serves to reach out where there is no NAT gateway. Default: what the subnet says.
	AssociatePublicIPAddress config.Trilean `mapstructure:"associate_public_ip_address"`
	// The instance profile to launch with, by name or ARN. Its role needs what
	// the agent needs (`AmazonSSMManagedInstanceCore` has it). Conflicts with
	// `temporary_iam_instance_profile_policy_document`. Default: a temporary
	// role and profile with just what the agent needs, removed after the build.
	IAMInstanceProfile string `mapstructure:"iam_instance_profile"`
	// Don't look `iam_instance_profile` up before the launch, for callers that
	// may not call `iam:GetInstanceProfile`. Default: `false`.
	SkipProfileValidation bool `mapstructure:"skip_profile_validation"`
	// What provisioners may do on AWS from the instance: statements added to the
	// temporary role. What the agent needs is always there and need not be
	// listed. Conflicts with `iam_instance_profile`.
	//
	// ```hcl
	// temporary_iam_instance_profile_policy_document {
	//   Version = "2012-10-17"
	//   Statement {
	//     Effect   = "Allow"
	//     Action   = ["s3:GetObject"]
	//     Resource = ["arn:aws:s3:::my-bucket/*"]
	//   }
	// }
	// ```
	TemporaryIAMInstanceProfilePolicyDocument *PolicyDocument `mapstructure:"temporary_iam_instance_profile_policy_document"`
	// User data for the first boot, as plain text. Never shown in output or
	// errors. At most 16 KiB. Conflicts with `user_data_file`.
	UserData string `mapstructure:"user_data"`
	// A file with user data; see `user_data`, which it conflicts with.
	UserDataFile string `mapstructure:"user_data_file"`
	// The root volume of the instance, and so of the AMI. Default: as in the source AMI.
	//
	// ```hcl
	// root_volume {
	//   size       = 20
	//   type       = "gp3"
	//   encrypted  = true
	// }
	// ```
	RootVolume RootVolume `mapstructure:"root_volume"`
	// The instance metadata service of the build instance. Default: on, tokens
	// (IMDSv2) required.
	MetadataOptions MetadataOptions `mapstructure:"metadata_options"`
	// What EC2 does when the guest shuts itself down: `terminate` or `stop`.
	// Default: `terminate`, so that an instance whose Packer died removes itself after
	// `instance_ttl`. Use `stop` if the last provisioner shuts the machine down.
	ShutdownBehavior string `mapstructure:"shutdown_behavior"`
	// A timer in the guest shuts the instance down this long after the
	// connection was made, however Packer ended. Choose it longer than the
	// longest build. `0s` means the default; default: `12h`.
	InstanceTTL time.Duration `mapstructure:"instance_ttl"`
	// How long the agent on the instance may take to come online, from the moment
	// the instance runs until the first command is accepted. Default: `10m`.
	SSMTimeout time.Duration `mapstructure:"ssm_timeout"`
	// Tags of the instance, its network interface and the temporary role,
	// profile and security group. Values are [templates](#build-template-data). Default: none
	// but the plugin's own (`Name`, build id and expiry).
	RunTags map[string]string `mapstructure:"run_tags"`
	// One of `run_tags` as a block with `key` and `value`, for `dynamic` blocks.
	RunTag config.KeyValues `mapstructure:"run_tag"`
	// Tags of the volumes of the build instance; they are not passed on to the
	// AMI. Values are [templates](#build-template-data). Default: none but the plugin's own.
	RunVolumeTags map[string]string `mapstructure:"run_volume_tags"`
	// One of `run_volume_tags` as a block with `key` and `value`, for `dynamic` blocks.
	RunVolumeTag config.KeyValues `mapstructure:"run_volume_tag"`
}

// PolicyDocument is an IAM policy, in IAM's own words.
type PolicyDocument struct {
	// The version of the policy language. Default: `2012-10-17`.
	Version string `mapstructure:"Version"`
	// What is allowed or denied; one block each.
	Statement []Statement `mapstructure:"Statement"`
}

// Statement allows or denies actions on resources.
type Statement struct {
	// `Allow` or `Deny`.
	Effect string `mapstructure:"Effect"`
	// The actions, such as `s3:GetObject`.
	Action []string `mapstructure:"Action"`
	// The ARNs of the resources, or `*`.
	Resource []string `mapstructure:"Resource"`
}

// RootVolume is the first disk of the instance.
type RootVolume struct {
	// In GiB, 1 to 65536. Default: the size of the source AMI's.
	Size int `mapstructure:"size"`
	// `gp2`, `gp3`, `io1`, `io2`, `st1`, `sc1` or `standard`. Default: that of the source AMI.
	Type string `mapstructure:"type"`
	// Operations per second: 3000 to 80000 for `gp3`, 100 to 64000 for `io1`,
	// 100 to 256000 for `io2`, which need it; the other types don't take it.
	IOPS int `mapstructure:"iops"`
	// In MiB/s, 125 to 2000. Only for `gp3`. Default: 125.
	Throughput int `mapstructure:"throughput"`
	// Encrypt the volume at launch; the AMI is then encrypted without a second
	// copy. Default: as the source AMI and the account's settings say.
	Encrypted config.Trilean `mapstructure:"encrypted"`
	// The KMS key: id, ARN, or `alias/name`. Needs `encrypted = true`. Default: the account's default key for EBS.
	KMSKeyID string `mapstructure:"kms_key_id"`
}

// MetadataOptions are those of the instance metadata service.
type MetadataOptions struct {
	// `enabled`, the default and the only choice: the agent takes its identity from the service.
	HTTPEndpoint string `mapstructure:"http_endpoint"`
	// `required` (IMDSv2 only) or `optional`. Default: `required`.
	HTTPTokens string `mapstructure:"http_tokens"`
	// How many network hops an answer may take, 1 to 64. Default: what the source AMI or the account says, else 1.
	HTTPPutResponseHopLimit int `mapstructure:"http_put_response_hop_limit"`
	// `enabled` or `disabled`: the instance's tags in its metadata. Default: `disabled`.
	InstanceMetadataTags string `mapstructure:"instance_metadata_tags"`
}

const (
	defaultTypeX86     = "t3.small"
	defaultTypeARM     = "t4g.small"
	defaultSSMTimeout  = 10 * time.Minute
	defaultInstanceTTL = 12 * time.Hour
	minInstanceTTL     = 10 * time.Minute

	enabled   = "enabled"
	disabled  = "disabled"
	required  = "required"
	terminate = "terminate"
)

func (c *RunConfig) setDefaults() {
	if c.SSMTimeout == 0 {
		c.SSMTimeout = defaultSSMTimeout
	}
	if c.InstanceTTL == 0 {
		c.InstanceTTL = defaultInstanceTTL
	}
	if c.ShutdownBehavior == "" {
		c.ShutdownBehavior = terminate
	}
	if c.MetadataOptions.HTTPTokens == "" {
		c.MetadataOptions.HTTPTokens = required
	}
	if c.MetadataOptions.HTTPEndpoint == "" {
		c.MetadataOptions.HTTPEndpoint = enabled
	}
	if p := c.TemporaryIAMInstanceProfilePolicyDocument; p != nil && p.Version == "" {
		p.Version = policyVersion
	}
	c.RunTag.CopyOn(&c.RunTags)
	c.RunVolumeTag.CopyOn(&c.RunVolumeTags)
}

// securityGroups are the given ones, under whichever name they were given.
func (c *RunConfig) securityGroups() []string {
	if c.SecurityGroupID != "" {
		return []string{c.SecurityGroupID}
	}
	return c.SecurityGroupIDs
}

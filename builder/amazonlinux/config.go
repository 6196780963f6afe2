//go:generate packer-sdc struct-markdown
//go:generate packer-sdc mapstructure-to-hcl2 -type Config,AssumeRole,SourceAMIFilter,PolicyDocument,Statement,RootVolume,MetadataOptions,SubnetFilter,VPCFilter,SecurityGroupFilter,BlockDevice,Placement,LicenseSpecification,LicenseRequest,VaultAWSEngine,FastLaunch,FastLaunchTemplate,DeregistrationProtection,AWSPolling,VolumeTag,AMICopy,Condition

package amazonlinux

import (
	"cmp"
	"errors"
	"slices"
	"text/template"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/common"
	"github.com/hashicorp/packer-plugin-sdk/communicator"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"
	"github.com/mitchellh/mapstructure"
)

// Config is a source block of type ssm-amazon-linux. Nothing changes it after Prepare.
type Config struct {
	common.PackerConfig `mapstructure:",squash"`
	AccessConfig        `mapstructure:",squash"`
	SourceConfig        `mapstructure:",squash"`
	RunConfig           `mapstructure:",squash"`
	NetworkConfig       `mapstructure:",squash"`
	SpotConfig          `mapstructure:",squash"`
	DiskConfig          `mapstructure:",squash"`
	ProfileConfig       `mapstructure:",squash"`
	ImageConfig         `mapstructure:",squash"`
	Comm                communicator.Config `mapstructure:",squash"`
	Needless            `mapstructure:",squash"`

	sshTimeout  time.Duration // that the template gives, 0 for none
	warnings    []string      // on what is given and has no effect
	userData    string        // what user_data or user_data_file holds, in base64
	bringsAgent bool          // the user data speaks of the SSM agent's package
}

// How the build reaches its instance: the values of `communicator`.
const (
	communicatorSSM  = "ssm"
	communicatorSSH  = "ssh"
	communicatorNone = "none"

	defaultUser     = "ec2-user"
	defaultTransfer = "sftp" // half the round trips of scp
)

// Rendered at plan time, when the source image is known.
var lateTemplates = []string{
	"ami_description",
	"run_tags", "run_tag", "run_volume_tags", "run_volume_tag",
	"spot_tags", "spot_tag", "fleet_tags", "fleet_tag",
	"snapshot_tags", "snapshot_tag", "tags", "tag",
	"ami_copy", // for its tags; the rest of it is rendered by itself
}

// prepare decodes, sets defaults and checks, in this order, and returns every problem at once.
func (c *Config) prepare(interp *interpolate.Context, raws ...any) error {
	interp.Funcs = template.FuncMap{"clean_resource_name": cleanName}
	var r report
	decode := func() error {
		return config.Decode(c, &config.DecodeOpts{
			PluginType:         BuilderID,
			Interpolate:        true,
			InterpolateContext: interp,
			InterpolateFilter:  &interpolate.RenderFilter{Exclude: lateTemplates},
		}, raws...)
	}
	err := decode()
	for r.unrendered(err, raws) {
		err = decode()
	}
	var fields *mapstructure.Error
	if err != nil && !errors.As(err, &fields) {
		return err // nothing was decoded, so there is nothing more to check
	}
	if fields != nil {
		r.undecoded(fields.Errors)
	}
	c.warnings = c.ineffective()
	c.setDefaults()
	c.check(&r, interp)
	return r.err()
}

func (c *Config) setDefaults() {
	c.RunConfig.setDefaults()
	c.SpotConfig.setDefaults()
	c.ProfileConfig.setDefaults()
	c.ImageConfig.setDefaults()
	c.ForceDeregister = c.ForceDeregister || c.PackerForce
	if c.Comm.Type == "" {
		c.Comm.Type = communicatorSSM
	}
	if c.Comm.SSHUsername == "" {
		c.Comm.SSHUsername = defaultUser
	}
	if c.Comm.SSHFileTransferMethod == "" {
		c.Comm.SSHFileTransferMethod = defaultTransfer
	}
}

func (c *Config) check(r *report, interp *interpolate.Context) {
	c.AccessConfig.check(r)
	c.SourceConfig.check(r)
	c.RunConfig.check(r)
	c.NetworkConfig.check(r)
	c.SpotConfig.check(r)
	c.DiskConfig.check(r)
	c.ProfileConfig.check(r)
	c.checkTypes(r)
	c.userData = c.readUserData(r)
	c.ImageConfig.check(r)
	c.checkDistribution(r)
	c.checkCopies(r, interp)
	c.checkTags(r)
	c.checkTemplates(r, interp)
	// What is needless is asked before the SDK fills its options with defaults.
	checkNeedless(r, c.needlessHere())
	checkNeedless(r, needlessOfSDK(&c.Comm))
	c.checkCommunicator(r, interp)
}

// checkCommunicator lets the SDK check its own options. It knows no "ssm", and
// what "ssm" takes of them is what "ssh" takes.
func (c *Config) checkCommunicator(r *report, interp *interpolate.Context) {
	kind := c.Comm.Type
	if !slices.Contains([]string{communicatorSSM, communicatorSSH, communicatorNone}, kind) {
		r.oneOf("communicator", kind, communicatorSSM, communicatorSSH, communicatorNone)
		return
	}
	if kind == communicatorSSM {
		c.Comm.Type = communicatorSSH
	}
	c.Comm.SSHBastionHost, c.Comm.SSHProxyHost = "", "" // told as needless already
	if c.Comm.SSHTimeout != 0 && c.Comm.SSHWaitTimeout != 0 {
		r.addf("ssh_timeout and ssh_wait_timeout: two names of the same; keep ssh_timeout")
	}
	c.sshTimeout = cmp.Or(c.Comm.SSHWaitTimeout, c.Comm.SSHTimeout)
	r.errs = append(r.errs, c.Comm.Prepare(interp)...)
	c.Comm.Type = kind
	if kind == communicatorSSM && c.ownCredentials() {
		r.addf(`communicator: "ssm" logs in with a key of its own; for ssh_private_key_file, ssh_password, ssh_agent_auth and ssh_certificate_file set communicator = "ssh", or delete them`)
	}
	c.checkTimes(r)
}

func (c *Config) checkTimes(r *report) {
	comm := &c.Comm
	r.unless(comm.PauseBeforeConnect >= 0, "pause_before_connecting", comm.PauseBeforeConnect, "a duration, such as 30s")
	r.unless(comm.SSHTimeout >= 0, "ssh_timeout", comm.SSHTimeout, "a duration, such as 5m")
	r.unless(comm.SSHReadWriteTimeout >= 0, "ssh_read_write_timeout", comm.SSHReadWriteTimeout, "a duration, such as 30s")
	if comm.SSHReadWriteTimeout > 0 && comm.SSHKeepAliveInterval < 0 {
		r.addf("ssh_read_write_timeout: it is how long a keepalive may stay without any answer, and with ssh_keep_alive_interval = %s none is sent; delete one of them",
			comm.SSHKeepAliveInterval)
	}
}

// ownCredentials tells whether the user logs in to the machine's own sshd.
func (c *Config) ownCredentials() bool {
	ssh := &c.Comm.SSH
	return ssh.SSHPrivateKeyFile != "" || len(ssh.SSHPrivateKey) > 0 || ssh.SSHPassword != "" ||
		ssh.SSHAgentAuth || ssh.SSHCertificateFile != ""
}

// secrets are filtered from everything that Packer prints.
func (c *Config) secrets() []string {
	all := []string{c.SecretKey, c.Token, c.Comm.SSHPassword}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

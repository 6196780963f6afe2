//go:generate packer-sdc struct-markdown

package amazonlinux

import (
	"cmp"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

// RunConfig says what is launched to build on.
type RunConfig struct {
	// The type of the instance to build on, such as `t3.small`; the architecture
	// follows from it. Conflicts with `instance_types` and `spot_instance_types`. Default: `t3.small` for x86_64, `t4g.small` for arm64.
	InstanceType string `mapstructure:"instance_type"`
	// Several types of one architecture, tried in this order, each in every subnet, where AWS
	// has no capacity for one or a zone does not offer it. Conflicts with
	// `instance_type`. Default: `instance_type` alone.
	InstanceTypes []string `mapstructure:"instance_types"`
	// User data for the first boot, as plain text. Never shown in output or
	// errors. At most 16 KiB. Conflicts with `user_data_file`. It reaches the instance as it is: the plugin adds nothing to it.
	UserData string `mapstructure:"user_data"`
	// A file with user data; see `user_data`, which it conflicts with.
	UserDataFile string `mapstructure:"user_data_file"`
	// Launch a minimal image even if `user_data` does not speak of `amazon-ssm-agent`. Such images lack the agent,
	// without which no connection is made; a build of one whose user data does not install it fails before the launch. The check
	// looks into text, gzip, base64, MIME and cloud-config. Set this where it can't see what installs the agent, as with
	// `#include` and a URL. Default: `false`.
	SkipAgentCheck bool `mapstructure:"skip_agent_check"`
	// The instance metadata service of the build instance. Default: on, tokens
	// (IMDSv2) required.
	MetadataOptions MetadataOptions `mapstructure:"metadata_options"`
	// What EC2 does when the guest shuts itself down: `terminate` or `stop`.
	// Default: `terminate`, so that an instance whose Packer died removes itself after
	// `instance_ttl`. Use `stop` if the last provisioner shuts the machine down.
	ShutdownBehavior string `mapstructure:"shutdown_behavior"`
	// Don't stop the instance before the image is made: the last provisioner shuts it
	// down by itself, as in `sudo shutdown -h now`; Packer's `shell` needs `expect_disconnect = true` and
	// `skip_clean = true` for that. Needs `shutdown_behavior = "stop"`. Default: `false`.
	DisableStopInstance bool `mapstructure:"disable_stop_instance"`
	// On what kind of hardware the instance runs.
	//
	// ```hcl
	// placement {
	//   tenancy = "host"
	//   host_id = "h-0123456789abcdef0"
	// }
	// ```
	Placement Placement `mapstructure:"placement"`
	// The same as `tenancy` in `placement`, which it conflicts with: `default`, `dedicated` or `host`.
	Tenancy string `mapstructure:"tenancy"`
	// Whether the instance may run in a capacity reservation: `open` (in any that
	// fits), `none` or `capacity-reservations-only`. Default: what AWS does without it, which is `open`; with
	// `capacity_reservation_id` or `_group_arn` it may not be given.
	CapacityReservationPreference string `mapstructure:"capacity_reservation_preference"`
	// The capacity reservation to run in. Conflicts with `capacity_reservation_group_arn`.
	CapacityReservationID string `mapstructure:"capacity_reservation_id"`
	// The resource group of capacity reservations to run in. Conflicts with `capacity_reservation_id`.
	CapacityReservationGroupARN string `mapstructure:"capacity_reservation_group_arn"`
	// CPU credits of a burstable type (`t2`, `t3`, `t3a`, `t4g`): `true` lets it
	// burst on, at a price; `false` throttles it once its credits are spent.
	// Other types don't take it. Default: what AWS does with the type, unlimited but for `t2`.
	EnableUnlimitedCredits config.Trilean `mapstructure:"enable_unlimited_credits"`
	// A timer in the guest shuts the instance down this long after the
	// connection was made, however Packer ended. Choose it longer than the
	// longest build. It comes with the plugin's own daemon: with `communicator = "none"`, or
	// credentials of your own, there is only the tag with the expiry. `0s` means the default; default: `12h`.
	InstanceTTL time.Duration `mapstructure:"instance_ttl"`
	// How long the agent on the instance may take to come online, from the moment
	// the instance runs until the first command is accepted. Default: `10m`.
	SSMTimeout time.Duration `mapstructure:"ssm_timeout"`
	// Over how many sessions a large upload or download goes at the same time, 1 to 16, beside the session of the
	// commands. Each carries about 1 MB a second; they are opened when there is something for them to
	// carry, and fewer where AWS refuses more. With `1` all goes over the session of the commands. Default: `8`.
	SSMTransferSessions int `mapstructure:"ssm_transfer_sessions"`
	// Tags of the instance, its network interface and the temporary role,
	// profile and security group. Values are [templates](#build-template-data). Default: none
	// but the plugin's own (`Name`, build id and expiry).
	RunTags map[string]string `mapstructure:"run_tags"`
	// One of `run_tags` as a block with `key` and `value`, for `dynamic` blocks.
	RunTag config.KeyValues `mapstructure:"run_tag"`
	// Tags of the volumes of the build instance; they are not passed on to the
	// AMI. Values are [templates](#build-template-data). Default: none but the plugin's own.
	RunVolumeTags map[string]string `mapstructure:"run_volume_tags"`
	// One of `run_volume_tags` as a block with `name` (or `key`) and `value`, for `dynamic` blocks.
	RunVolumeTag []VolumeTag `mapstructure:"run_volume_tag"`
}

// VolumeTag is a tag of the volumes of the build instance.
type VolumeTag struct {
	// The tag's key, as `amazon-ebs` calls it in this block.
	Name string `mapstructure:"name"`
	// The same as `name`, which it conflicts with.
	Key string `mapstructure:"key"`
	// The tag's value.
	Value string `mapstructure:"value"`
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

// Placement says on what kind of hardware the instance runs.
type Placement struct {
	// `default` (shared), `dedicated` or `host`. Default: what the VPC says; `host`
	// where a host or a group of hosts is given.
	Tenancy string `mapstructure:"tenancy"`
	// The dedicated host. Conflicts with `host_resource_group_arn`.
	HostID string `mapstructure:"host_id"`
	// The resource group of dedicated hosts. Conflicts with `host_id`.
	HostResourceGroupARN string `mapstructure:"host_resource_group_arn"`
}

const (
	defaultTypeX86     = "t3.small"
	defaultTypeARM     = "t4g.small"
	defaultSSMTimeout  = 10 * time.Minute
	defaultInstanceTTL = 12 * time.Hour
	minInstanceTTL     = 10 * time.Minute

	defaultTransferSessions = 8
	maxTransferSessions     = 16

	enabled   = "enabled"
	disabled  = "disabled"
	required  = "required"
	terminate = "terminate"

	stopInstead = "stop"
	tenancyHost = "host"
)

func (c *RunConfig) setDefaults() {
	if c.SSMTimeout == 0 {
		c.SSMTimeout = defaultSSMTimeout
	}
	if c.InstanceTTL == 0 {
		c.InstanceTTL = defaultInstanceTTL
	}
	if c.SSMTransferSessions == 0 {
		c.SSMTransferSessions = defaultTransferSessions
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
	c.RunTag.CopyOn(&c.RunTags)
	for _, t := range c.RunVolumeTag {
		if c.RunVolumeTags == nil {
			c.RunVolumeTags = map[string]string{}
		}
		c.RunVolumeTags[cmp.Or(t.Name, t.Key)] = t.Value
	}
}

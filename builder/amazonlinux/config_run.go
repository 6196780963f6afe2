//go:generate packer-sdc struct-markdown

package amazonlinux

import (
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
	// errors. At most 16 KiB. Conflicts with `user_data_file`.
	UserData string `mapstructure:"user_data"`
	// A file with user data; see `user_data`, which it conflicts with.
	UserDataFile string `mapstructure:"user_data_file"`
	// The instance metadata service of the build instance. Default: on, tokens
	// (IMDSv2) required.
	MetadataOptions MetadataOptions `mapstructure:"metadata_options"`
	// What EC2 does when the guest shuts itself down: `terminate` or `stop`.
	// Default: `terminate`, so that an instance whose Packer died removes itself after
	// `instance_ttl`. Use `stop` if the last provisioner shuts the machine down.
	ShutdownBehavior string `mapstructure:"shutdown_behavior"`
	// Don't stop the instance before the image is made: the last provisioner shuts it
	// down by itself, as in `sudo shutdown -h now`. Needs `shutdown_behavior = "stop"`. Default: `false`.
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
	c.RunVolumeTag.CopyOn(&c.RunVolumeTags)
}

//go:generate packer-sdc struct-markdown

package amazonlinux

import "github.com/hashicorp/packer-plugin-sdk/template/config"

// ImageConfig says what the image is called, what it carries, and who gets it where.
type ImageConfig struct {
	// The name of the AMI: 3 to 128 letters, digits, spaces and `( ) [ ] . / - ' @ _`.
	// No image of the account may have it already in the region or in any of `ami_regions`, unless `force_deregister`
	// is set; that is checked before anything is made.
	// `clean_resource_name` and `timestamp` help: `web-{{timestamp}}`.
	AMIName string `mapstructure:"ami_name" required:"true"`
	// The description of the AMI, at most 255 characters. A [template](#build-template-data). Default: none.
	AMIDescription string `mapstructure:"ami_description"`
	// Tags of the AMI, its snapshots and their copies, set at creation. Values are [templates](#build-template-data). Default: none
	// but the plugin's build id.
	Tags map[string]string `mapstructure:"tags"`
	// One of `tags` as a block with `key` and `value`, for `dynamic` blocks.
	Tag config.KeyValues `mapstructure:"tag"`
	// Tags of the snapshots alone; they win over those in `tags`. Values are [templates](#build-template-data).
	SnapshotTags map[string]string `mapstructure:"snapshot_tags"`
	// One of `snapshot_tags` as a block with `key` and `value`, for `dynamic` blocks.
	SnapshotTag config.KeyValues `mapstructure:"snapshot_tag"`
	// Whether the AMI goes without `run_tags`. `false` puts them on the AMI and its snapshots, too, as
	// `amazon-ebs` does; `tags` win over them. Default: `true`.
	SkipAMIRunTags config.Trilean `mapstructure:"skip_ami_run_tags"`
	// Do everything but the image: for trying a template out. Default: `false`.
	SkipCreateAMI bool `mapstructure:"skip_create_ami"`

	// Block devices of the AMI that are not as on the build instance: of a device that the instance has, only
	// `delete_on_termination` can be changed and `no_device` can take it away; others are added. See
	// [block devices](#block-devices).
	AMIMappings []BlockDevice `mapstructure:"ami_block_device_mappings"`
	// `v2.0`: instances of the AMI require IMDSv2 unless their launch says otherwise. `none`: nothing is set, and
	// the AMI has what it takes over from its source. AWS can't take `v2.0` back from an AMI. Default: `v2.0`.
	IMDSSupport string `mapstructure:"imds_support"`
	// `uefi`: the AMI boots by UEFI alone. The build instance must have booted that way. Default: the boot mode of
	// the source AMI. TPM support and UEFI data are taken over from the source, too: AWS
	// has no way to change them while an image is made of an instance.
	BootMode string `mapstructure:"boot_mode"`

	// `true`: the volumes are encrypted when the instance is launched, and so the AMI is, without a
	// second copy. `false`: the AMI must not be encrypted, and the build fails before the launch where the source
	// AMI or the account's settings would make it so. Default: as the source AMI and the account's settings say.
	EncryptBoot config.Trilean `mapstructure:"encrypt_boot"`
	// The KMS key in the build region: id, ARN, or `alias/name`. Needs `encrypt_boot = true`. An AMI
	// that is shared must have a key of your own. Default: the account's default key for EBS.
	KMSKeyID string `mapstructure:"kms_key_id"`
	// The KMS keys of the copies, by region; `""` is the default key of that region. Each region must be one of
	// `ami_regions` or the build region, whose key it is where `kms_key_id` is not given. A region with a key gets an encrypted copy whether or not the AMI itself is
	// encrypted. Default: the default key of each region for copies of an encrypted AMI.
	RegionKMSKeyIDs map[string]string `mapstructure:"region_kms_key_ids"`

	// Regions to copy the AMI to, all at the same time. The build region may be among them. Default: none.
	AMIRegions []string `mapstructure:"ami_regions"`
	// Don't ask whether the account can use `ami_regions`, for callers that may not call
	// `ec2:DescribeRegions`. Default: `false`.
	SkipRegionValidation bool `mapstructure:"skip_region_validation"`
	// Keep the copies alone: the image of the build region has a temporary name and is removed, with
	// its snapshots, once the copies are available. Needs `ami_regions` or `ami_copy`. Default: `false`.
	SkipSaveBuildRegion bool `mapstructure:"skip_save_build_region"`
	// Time-based copies: each copy is complete within this many minutes, 15 to 2880 in steps of 15, at AWS's
	// price for that. Needs `ami_regions` or `ami_copy`. Default: AWS's best effort.
	SnapshotCopyDurationMinutes int64 `mapstructure:"snapshot_copy_duration_minutes"`
	// Replace images of yours that have the name `ami_name`, in each region that gets the new one. AWS lets only one image of an account
	// have a name. So the new image is made under a temporary name, and only
	// once it is available in every region, the old one is deregistered and the new one registered under
	// the name, from the same snapshots: for about a second no image has the name. The temporary registration is removed then.
	// If the build fails before that, the old images are as they were. The images are then not linked to the build instance
	// in EC2 (`SourceInstanceId`). Default: `false`.
	ForceDeregister bool `mapstructure:"force_deregister"`
	// Delete the snapshots of the images that `force_deregister` replaced, last of all. Default: `false`.
	ForceDeleteSnapshot bool `mapstructure:"force_delete_snapshot"`

	// Accounts that may launch the AMI and its copies. If it is encrypted, they also need the KMS key: its policy
	// must let them use it. Default: none.
	AMIUsers []string `mapstructure:"ami_users"`
	// `["all"]` makes the AMI public. An encrypted one can't be, nor one in a region where the account blocks
	// public access: that is checked before the launch. Default: none.
	AMIGroups []string `mapstructure:"ami_groups"`
	// ARNs of organizations whose accounts may launch the AMI. Default: none.
	AMIOrgARNs []string `mapstructure:"ami_org_arns"`
	// ARNs of organizational units whose accounts may launch the AMI. Default: none.
	AMIOUARNs []string `mapstructure:"ami_ou_arns"`
	// Accounts that may make volumes of the snapshots, and so copy the AMI. `ami_users` don't need it for launching. Default: none.
	SnapshotUsers []string `mapstructure:"snapshot_users"`

	// Copies in other accounts, one block for each of them. The AMI itself is shared with the account while it is copied. Name,
	// description, tags, sharing, deprecation and protection are those of the AMI. The artifact names the
	// copies on lines of their own; its id has the images of the build's own account.
	//
	// ```hcl
	// ami_copy {
	//   role_arn   = "arn:aws:iam::210987654321:role/packer-copy"
	//   regions    = ["us-east-1", "eu-west-1"]
	//   kms_key_id = "alias/images"
	// }
	// ```
	AMICopies []AMICopy `mapstructure:"ami_copy"`

	// When the AMI is deprecated, as RFC 3339: `2027-01-31T00:00:00Z`. AWS rounds to the minute and takes at most
	// ten years from now. Conflicts with `deprecate_after`. Default: never.
	DeprecateAt string `mapstructure:"deprecate_at"`
	// How long after the build the AMI is deprecated: days, weeks or a Go duration, such as `90d`, `12w` or `36h`. Conflicts with
	// `deprecate_at`. Default: never.
	DeprecateAfter string `mapstructure:"deprecate_after"`
	// Protects the AMI and its copies from being deregistered. Default: no protection.
	//
	// ```hcl
	// deregistration_protection {
	//   enabled       = true
	//   with_cooldown = true
	// }
	// ```
	DeregistrationProtection DeregistrationProtection `mapstructure:"deregistration_protection"`

	// How long AWS may take to bring an instance or an image into a state. Default: limits for each, from
	// 10 minutes for a launch to 2 hours for an image.
	AWSPolling AWSPolling `mapstructure:"aws_polling"`
}

// DeregistrationProtection keeps an image from being deregistered by accident.
type DeregistrationProtection struct {
	// Whether the AMI is protected. Default: `false`.
	Enabled bool `mapstructure:"enabled"`
	// The protection lasts 24 hours longer than until it is switched off. Default: `false`.
	WithCooldown bool `mapstructure:"with_cooldown"`
}

const (
	minNameLength        = 3
	maxNameLength        = 128
	maxDescriptionLength = 255

	imdsV2   = "v2.0"
	imdsNone = "none"
	everyone = "all" // the group of all accounts
)

func (c *ImageConfig) setDefaults() {
	c.Tag.CopyOn(&c.Tags)
	c.SnapshotTag.CopyOn(&c.SnapshotTags)
	for i := range c.AMICopies {
		c.AMICopies[i].Tag.CopyOn(&c.AMICopies[i].Tags)
	}
	if c.IMDSSupport == "" {
		c.IMDSSupport = imdsV2
	}
	if c.SkipAMIRunTags == config.TriUnset {
		c.SkipAMIRunTags = config.TriTrue
	}
}

// sharesLaunch tells whether anybody else may launch the image.
func (c *ImageConfig) sharesLaunch() bool {
	return len(c.AMIUsers)+len(c.AMIGroups)+len(c.AMIOrgARNs)+len(c.AMIOUARNs) > 0
}

// shares tells whether anybody else gets at the image or its snapshots.
func (c *ImageConfig) shares() bool { return c.sharesLaunch() || len(c.SnapshotUsers) > 0 }

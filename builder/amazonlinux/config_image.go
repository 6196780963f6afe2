//go:generate packer-sdc struct-markdown

package amazonlinux

import "github.com/hashicorp/packer-plugin-sdk/template/config"

// ImageConfig says what the image is called and what it carries.
type ImageConfig struct {
	// The name of the AMI: 3 to 128 letters, digits, spaces and `( ) [ ] . / - ' @ _`.
	// No image of the account in the region may have it already; that is checked before anything is made.
	// `clean_resource_name` and `timestamp` help: `web-{{timestamp}}`.
	AMIName string `mapstructure:"ami_name" required:"true"`
	// The description of the AMI, at most 255 characters. A [template](#build-template-data). Default: none.
	AMIDescription string `mapstructure:"ami_description"`
	// Tags of the AMI and its snapshots. Values are [templates](#build-template-data). Default: none
	// but the plugin's build id.
	Tags map[string]string `mapstructure:"tags"`
	// One of `tags` as a block with `key` and `value`, for `dynamic` blocks.
	Tag config.KeyValues `mapstructure:"tag"`
	// Tags of the snapshots alone; they win over those in `tags`. Values are [templates](#build-template-data).
	SnapshotTags map[string]string `mapstructure:"snapshot_tags"`
	// One of `snapshot_tags` as a block with `key` and `value`, for `dynamic` blocks.
	SnapshotTag config.KeyValues `mapstructure:"snapshot_tag"`
	// Do everything but the image: for trying a template out. Default: `false`.
	SkipCreateAMI bool `mapstructure:"skip_create_ami"`
}

const (
	minNameLength        = 3
	maxNameLength        = 128
	maxDescriptionLength = 255
)

func (c *ImageConfig) setDefaults() {
	c.Tag.CopyOn(&c.Tags)
	c.SnapshotTag.CopyOn(&c.SnapshotTags)
}

func (c *ImageConfig) check(r *report) {
	switch n := len(c.AMIName); {
	case n == 0:
		r.addf(`ami_name: it is missing; set it, such as ami_name = "web-{{timestamp}}"`)
	case n < minNameLength || n > maxNameLength:
		r.unless(false, "ami_name", c.AMIName, "3 to 128 characters")
	case !amiName.MatchString(c.AMIName):
		r.unless(false, "ami_name", c.AMIName,
			"letters, digits, spaces and ( ) [ ] . / - ' @ _; {{ clean_resource_name }} replaces others")
	}
	r.unless(len(c.AMIDescription) <= maxDescriptionLength, "ami_description",
		shorten(c.AMIDescription), "at most 255 characters")
}

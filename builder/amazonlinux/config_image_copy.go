//go:generate packer-sdc struct-markdown

package amazonlinux

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/packer-plugin-sdk/template/config"
	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"
)

// AMICopy is a copy of the AMI in another account, made through a role there: an image and snapshots
// of that account's own, under its own key, that stay whatever becomes of the AMI they were made from.
// The build lets the account read the AMI and its snapshots while it copies them, and no longer.
type AMICopy struct {
	// The ARN of the role in the other account. Required. The caller must be allowed to assume it, and it must
	// be allowed what [permissions](#permissions) says.
	RoleARN string `mapstructure:"role_arn"`
	// The external id that the role's trust policy asks for.
	ExternalID string `mapstructure:"external_id"`
	// The name of the role's session in CloudTrail. Default: one that the SDK makes up.
	SessionName string `mapstructure:"session_name"`
	// The regions that get a copy, all at the same time. Default: the build region.
	Regions []string `mapstructure:"regions"`
	// The KMS key of the copies, in each of the regions: id, ARN, or `alias/name`, as the other account
	// knows it. The copy is encrypted with it whether or not the AMI is. Default: the other
	// account's default key for EBS where the AMI is encrypted.
	KMSKeyID string `mapstructure:"kms_key_id"`
	// The KMS keys by region, before `kms_key_id`; `""` is the other account's default key there.
	RegionKMSKeyIDs map[string]string `mapstructure:"region_kms_key_ids"`
	// Tags of the copies and their snapshots, beside those of the AMI, over which they win. Values are [templates](#build-template-data).
	Tags map[string]string `mapstructure:"tags"`
	// One of `tags` as a block with `key` and `value`, for `dynamic` blocks.
	Tag config.KeyValues `mapstructure:"tag"`
}

var sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// account is the id of the account that the role is in; "" if the ARN is none.
func (a *AMICopy) account() string {
	parts := strings.Split(a.RoleARN, ":")
	if len(parts) < 5 {
		return ""
	}
	return parts[4]
}

// key is the copy's in a region, and whether one is named.
func (a *AMICopy) key(region string) (key string, named bool) {
	if key, named = a.RegionKMSKeyIDs[region]; named {
		return key, true
	}
	return a.KMSKeyID, a.KMSKeyID != ""
}

// render renders all but the tags, which wait for the source image.
func (a *AMICopy) render(r *report, option string, interp *interpolate.Context) {
	texts := []*string{&a.RoleARN, &a.ExternalID, &a.SessionName, &a.KMSKeyID}
	for i := range a.Regions {
		texts = append(texts, &a.Regions[i])
	}
	for _, text := range texts {
		rendered, err := interpolate.Render(*text, interp)
		if err != nil {
			r.addf("%s: %w", option, err)
			continue
		}
		*text = rendered
	}
	for region, key := range a.RegionKMSKeyIDs {
		rendered, err := interpolate.Render(key, interp)
		if err != nil {
			r.addf("%s.region_kms_key_ids: %w", option, err)
			continue
		}
		a.RegionKMSKeyIDs[region] = rendered
	}
}

// checkCopies checks the copies in other accounts.
func (c *Config) checkCopies(r *report, interp *interpolate.Context) {
	seen := map[string]string{}
	for i := range c.AMICopies {
		a, option := &c.AMICopies[i], fmt.Sprintf("ami_copy[%d]", i)
		a.render(r, option, interp)
		a.check(r, option, c.Region)
		for _, region := range a.regions(c.Region) {
			at := a.account() + " " + region
			if other, twice := seen[at]; twice && a.account() != "" {
				r.addf("%s: %s copies to %s of account %s already; delete one of them", option, other, region, a.account())
			}
			seen[at] = option
		}
	}
}

// regions are those that get a copy; home is the build region.
func (a *AMICopy) regions(home string) []string {
	if len(a.Regions) == 0 {
		return []string{home}
	}
	return a.Regions
}

func (a *AMICopy) check(r *report, option, home string) {
	if a.RoleARN == "" {
		r.addf("%s.role_arn: it is missing; give the ARN of a role in the account that gets the copy", option)
	}
	r.unless(a.RoleARN == "" || roleARN.MatchString(a.RoleARN), option+".role_arn", a.RoleARN,
		`a role's ARN, such as "arn:aws:iam::123456789012:role/packer"`)
	r.unless(a.SessionName == "" || sessionName.MatchString(a.SessionName), option+".session_name", a.SessionName,
		"2 to 64 letters, digits and + = , . @ - _")
	r.each(option+".regions", a.Regions, awsRegion, `a region's name, such as "us-east-1"`)
	for _, name := range slices.Sorted(maps.Keys(a.RegionKMSKeyIDs)) {
		if (len(a.Regions) > 0 || home != "") && !slices.Contains(a.regions(home), name) {
			r.addf("%s.region_kms_key_ids: %q is not in regions; add it there, or delete it here", option, name)
		}
	}
	checkTags(r, option+".tags", a.Tags)
}

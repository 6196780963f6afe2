package amazonlinux

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	accountID = regexp.MustCompile(`^\d{12}$`)
	orgARN    = regexp.MustCompile(`^arn:aws[a-z-]*:organizations::\d{12}:organization/o-[a-z0-9]{10,32}$`)
	ouARN     = regexp.MustCompile(`^arn:aws[a-z-]*:organizations::\d{12}:ou/o-[a-z0-9]{10,32}/ou-[0-9a-z]{4,32}-[a-z0-9]{8,32}$`)
)

// AWS's limits on a time-based copy and on deprecation.
const (
	copyStep     = 15 // minutes
	maxCopy      = 48 * 60
	maxDeprecate = 10 * 366 * 24 * time.Hour
	awsEBSKey    = "alias/aws/ebs"
)

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
	for i := range c.AMIMappings {
		option := fmt.Sprintf("ami_block_device_mappings[%d]", i)
		c.AMIMappings[i].check(r, option)
		if c.AMIMappings[i].KMSKeyID != "" {
			r.addf("%s.kms_key_id: AWS takes a key only at the launch; delete it, or give the device in launch_block_device_mappings, whose volumes the AMI has, too", option)
		}
	}
	r.oneOf("imds_support", c.IMDSSupport, imdsV2, imdsNone)
	r.oneOf("boot_mode", c.BootMode, "uefi")
	c.checkSharing(r)
	c.checkDeprecation(r)
	if p := c.DeregistrationProtection; p.WithCooldown && !p.Enabled {
		r.addf("deregistration_protection.with_cooldown: it is given without enabled = true; add that, or delete it")
	}
	if c.ForceDeleteSnapshot && !c.ForceDeregister {
		r.addf("force_delete_snapshot: it is given without force_deregister = true; add that, or delete it")
	}
	c.AWSPolling.check(r)
}

func (c *ImageConfig) checkSharing(r *report) {
	const account = "an account's id, 12 digits"
	r.each("ami_users", c.AMIUsers, accountID, account)
	r.each("snapshot_users", c.SnapshotUsers, accountID, account)
	r.each("ami_org_arns", c.AMIOrgARNs, orgARN, `an organization's ARN, such as "arn:aws:organizations::123456789012:organization/o-abcdefghij"`)
	r.each("ami_ou_arns", c.AMIOUARNs, ouARN, `an organizational unit's ARN, such as "arn:aws:organizations::123456789012:ou/o-abcdefghij/ou-ab12-cdefghij"`)
	for i, group := range c.AMIGroups {
		r.unless(group == everyone, fmt.Sprintf("ami_groups[%d]", i), group, `"all", the only group there is`)
	}
	if len(c.AMIGroups) > 0 && c.EncryptBoot.True() {
		r.addf("ami_groups: an encrypted AMI can't be public, and encrypt_boot is true; delete one of them")
	}
}

// each reports the values of a list that have not the form that the option takes.
func (r *report) each(option string, given []string, form *regexp.Regexp, allowed string) {
	for i, value := range given {
		r.unless(form.MatchString(value), fmt.Sprintf("%s[%d]", option, i), value, allowed)
	}
}

func (c *ImageConfig) checkDeprecation(r *report) {
	if c.DeprecateAt != "" && c.DeprecateAfter != "" {
		r.addf("deprecate_at and deprecate_after: both are given; keep one of them")
	}
	if c.DeprecateAt != "" {
		at, err := time.Parse(time.RFC3339, c.DeprecateAt)
		r.unless(err == nil, "deprecate_at", c.DeprecateAt, `a time such as "2027-01-31T00:00:00Z"`)
		if err == nil {
			r.unless(time.Until(at) > 0, "deprecate_at", c.DeprecateAt, "a time in the future")
			r.unless(time.Until(at) < maxDeprecate, "deprecate_at", c.DeprecateAt, "a time within ten years")
		}
	}
	if c.DeprecateAfter != "" {
		after, err := parseLongDuration(c.DeprecateAfter)
		r.unless(err == nil && after >= time.Minute && after < maxDeprecate, "deprecate_after", c.DeprecateAfter,
			`days, weeks or a Go duration from a minute to ten years, such as "90d", "12w" or "36h"`)
	}
}

// deprecation is when the image is to be deprecated; the zero time means never. Prepare has checked the options.
func (c *ImageConfig) deprecation(now time.Time) time.Time {
	if c.DeprecateAfter != "" {
		after, _ := parseLongDuration(c.DeprecateAfter)
		return now.Add(after)
	}
	at, _ := time.Parse(time.RFC3339, c.DeprecateAt)
	return at
}

// parseLongDuration reads days and weeks, which Go's own durations lack.
func parseLongDuration(s string) (time.Duration, error) {
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		digits, cut := strings.CutSuffix(s, unit)
		if !cut {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 16)
		return time.Duration(n) * length, err
	}
	return time.ParseDuration(s)
}

// checkDistribution checks what says where the image goes; it needs the region, which may not be known yet.
func (c *Config) checkDistribution(r *report) {
	r.each("ami_regions", c.AMIRegions, awsRegion, `a region's name, such as "us-east-1"`)
	for i, name := range c.AMIRegions {
		if slices.Index(c.AMIRegions, name) < i {
			r.addf("ami_regions: %q is named twice; keep one", name)
		}
	}
	if len(c.AMIRegions) == 0 && len(c.AMICopies) == 0 {
		if c.SkipSaveBuildRegion {
			r.addf("skip_save_build_region: there is no copy to keep; set ami_regions or ami_copy, or delete it")
		}
		if c.SnapshotCopyDurationMinutes != 0 {
			r.addf("snapshot_copy_duration_minutes: there is no copy that could take it; set ami_regions or ami_copy, or delete it")
		}
	}
	if c.SkipSaveBuildRegion && c.Region != "" && slices.Contains(c.AMIRegions, c.Region) {
		r.addf("skip_save_build_region: ami_regions names the build region %q, too; delete one of them", c.Region)
	}
	minutes := c.SnapshotCopyDurationMinutes
	r.unless(minutes == 0 || minutes >= copyStep && minutes <= maxCopy && minutes%copyStep == 0,
		"snapshot_copy_duration_minutes", minutes, "15 to 2880, in steps of 15")
	c.checkKeys(r)
}

func (c *Config) checkKeys(r *report) {
	if c.KMSKeyID != "" && !c.EncryptBoot.True() {
		r.addf("kms_key_id: it is given without encrypt_boot = true; add that, or delete kms_key_id")
	}
	if c.EncryptBoot.False() && len(c.RegionKMSKeyIDs) > 0 {
		r.addf("region_kms_key_ids: encrypt_boot is false; delete one of them")
	}
	if root := c.RootVolume.Encrypted; c.EncryptBoot.True() && root.False() || c.EncryptBoot.False() && root.True() {
		r.addf("encrypt_boot: root_volume.encrypted says the opposite; delete one of them")
	}
	for _, name := range slices.Sorted(maps.Keys(c.RegionKMSKeyIDs)) {
		ours := slices.Contains(c.AMIRegions, name) || c.Region == "" || name == c.Region
		if !ours {
			r.addf("region_kms_key_ids: %q is not in ami_regions; add it there, or delete it here", name)
		}
		if name == c.Region && !c.EncryptBoot.True() {
			r.addf("region_kms_key_ids: %q is the build region, whose AMI is encrypted by encrypt_boot = true; add that, or delete it here", name)
		}
		if name == c.Region && c.KMSKeyID != "" && c.RegionKMSKeyIDs[name] != c.KMSKeyID {
			r.addf("region_kms_key_ids: the key of %q is not kms_key_id; keep one of them", name)
		}
	}
	if (c.shares() || len(c.AMICopies) > 0) && c.EncryptBoot.True() && c.KMSKeyID == awsEBSKey {
		r.addf("kms_key_id: AWS's own key for EBS can't be used by other accounts, and the AMI is to be shared; choose a key of your own")
	}
}

package amazonlinux

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/hashicorp/packer-plugin-sdk/pathing"
)

// The forms that AWS gives its names and ids.
var (
	amiName    = regexp.MustCompile(`^[a-zA-Z0-9()\[\] ./\-'@_]+$`)
	amiID      = regexp.MustCompile(`^ami-([0-9a-f]{8}|[0-9a-f]{17})$`)
	awsRegion  = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-\d+$`)
	roleARN    = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:role/.+$`)
	profileRef = regexp.MustCompile(`^(arn:aws[a-z-]*:iam::\d{12}:instance-profile/.+|[\w+=,.@-]{1,128})$`)
	// a Graviton family has a g right after its generation (t4g, c7gn, im4gn), or is the first one, a1;
	// g after the letter alone (g4dn) is a GPU.
	gravitonType = regexp.MustCompile(`^(a1|[a-z]+\d+g[a-z]*)(-[a-z0-9-]+)?\.[a-z0-9-]+$`)
	typeName     = regexp.MustCompile(`^[a-z][a-z0-9-]*\.[a-z0-9-]+$`)
)

// A report collects what is wrong with a template.
type report struct{ errs []error }

func (r *report) err() error {
	if len(r.errs) == 0 {
		return nil
	}
	return packersdk.MultiErrorAppend(nil, r.errs...)
}

func (r *report) addf(format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf(format, args...))
}

// unless reports an option whose value is not allowed.
func (r *report) unless(ok bool, option string, given any, allowed string) {
	if !ok {
		if s, isString := given.(string); isString {
			given = fmt.Sprintf("%q", s)
		}
		r.addf("%s: %v is not allowed; it takes %s", option, given, allowed)
	}
}

// oneOf reports an option that is given and none of the allowed values.
func (r *report) oneOf(option, given string, allowed ...string) {
	quoted := make([]string, len(allowed))
	for i, a := range allowed {
		quoted[i] = fmt.Sprintf("%q", a)
	}
	r.unless(given == "" || slices.Contains(allowed, given), option, given, strings.Join(quoted, " or "))
}

func (c *RunConfig) check(r *report) {
	r.unless(c.InstanceType == "" || typeName.MatchString(c.InstanceType), "instance_type", c.InstanceType,
		`a type's name, such as "t3.small"`)
	r.id("vpc_id", c.VPCID, "vpc")
	r.id("subnet_id", c.SubnetID, "subnet")
	r.id("security_group_id", c.SecurityGroupID, "sg")
	for i, id := range c.SecurityGroupIDs {
		r.id(fmt.Sprintf("security_group_ids[%d]", i), id, "sg")
		r.unless(id != "", fmt.Sprintf("security_group_ids[%d]", i), id, `a security group's id`)
	}
	if c.SecurityGroupID != "" && len(c.SecurityGroupIDs) > 0 {
		r.addf("security_group_id and security_group_ids: both are given; keep one of them")
	}
	c.checkProfile(r)
	c.RootVolume.check(r)
	c.MetadataOptions.check(r)
	r.oneOf("shutdown_behavior", c.ShutdownBehavior, terminate, "stop")
	r.unless(c.InstanceTTL >= minInstanceTTL, "instance_ttl", c.InstanceTTL, "a duration of 10m or more")
	r.unless(c.SSMTimeout > 0, "ssm_timeout", c.SSMTimeout, "a duration, such as 10m")
	if c.InstanceTTL >= minInstanceTTL && c.SSMTimeout > c.InstanceTTL {
		r.addf("ssm_timeout: %s is longer than instance_ttl, %s; make instance_ttl the longer one", c.SSMTimeout, c.InstanceTTL)
	}
}

// id reports an id that has not the form of AWS's: prefix, then 8 or 17 hexadecimal digits.
func (r *report) id(option, given, prefix string) {
	form := regexp.MustCompile(`^` + prefix + `-([0-9a-f]{8}|[0-9a-f]{17})$`)
	r.unless(given == "" || form.MatchString(given), option, given,
		fmt.Sprintf(`an id such as "%s-0123456789abcdef0"`, prefix))
}

func (c *RunConfig) checkProfile(r *report) {
	r.unless(c.IAMInstanceProfile == "" || profileRef.MatchString(c.IAMInstanceProfile),
		"iam_instance_profile", c.IAMInstanceProfile, "an instance profile's name or ARN")
	policy := c.TemporaryIAMInstanceProfilePolicyDocument
	if policy == nil {
		return
	}
	const option = "temporary_iam_instance_profile_policy_document"
	if c.IAMInstanceProfile != "" {
		r.addf("iam_instance_profile and %s: the policy is for the temporary role, which a given profile replaces; keep one of them", option)
	}
	r.oneOf(option+".Version", policy.Version, policyVersion, "2008-10-17")
	if len(policy.Statement) == 0 {
		r.addf("%s: it has no Statement; add one, or delete the block", option)
	}
	for i, s := range policy.Statement {
		where := fmt.Sprintf("%s.Statement[%d]", option, i)
		r.unless(s.Effect == "Allow" || s.Effect == "Deny", where+".Effect", s.Effect, `"Allow" or "Deny"`)
		if len(s.Action) == 0 || len(s.Resource) == 0 {
			r.addf(`%s: Action or Resource is missing; give both, such as Action = ["s3:GetObject"] and Resource = ["*"]`, where)
		}
	}
}

// What each volume type takes: EBS's own limits.
var volumeLimits = map[string]struct {
	minIOPS, maxIOPS int // both 0: iops is not taken
	needsIOPS        bool
	throughput       bool
}{
	"gp2": {}, "st1": {}, "sc1": {}, "standard": {},
	"gp3": {minIOPS: 3000, maxIOPS: 80000, throughput: true},
	"io1": {minIOPS: 100, maxIOPS: 64000, needsIOPS: true},
	"io2": {minIOPS: 100, maxIOPS: 256000, needsIOPS: true},
}

func (v *RootVolume) check(r *report) {
	r.unless(v.Size == 0 || 1 <= v.Size && v.Size <= 65536, "root_volume.size", v.Size, "1 to 65536 GiB")
	limits, known := volumeLimits[v.Type]
	switch {
	case v.Type != "" && !known:
		r.oneOf("root_volume.type", v.Type, slices.Sorted(maps.Keys(volumeLimits))...)
	case v.Type == "" && v.IOPS != 0:
		r.addf(`root_volume.iops: it is given without type; set type = "gp3", "io1" or "io2" too, or delete iops`)
	case v.Type == "" && v.Throughput != 0:
		r.addf(`root_volume.throughput: it is given without type; set type = "gp3" too, or delete throughput`)
	case known:
		v.checkPerformance(r, limits.minIOPS, limits.maxIOPS, limits.needsIOPS, limits.throughput)
	}
	if v.KMSKeyID != "" && !v.Encrypted.True() {
		r.addf("root_volume.kms_key_id: it is given without encrypted = true; add that, or delete kms_key_id")
	}
}

func (v *RootVolume) checkPerformance(r *report, low, high int, needed, throughput bool) {
	switch {
	case v.IOPS != 0 && high == 0:
		r.addf(`root_volume.iops: type %q does not take it; delete iops, or set type = "gp3"`, v.Type)
	case v.IOPS != 0 && (v.IOPS < low || v.IOPS > high):
		r.unless(false, "root_volume.iops", v.IOPS, fmt.Sprintf("%d to %d for type %q", low, high, v.Type))
	case v.IOPS == 0 && needed:
		r.addf("root_volume.iops: type %q needs it; set %d to %d", v.Type, low, high)
	}
	switch {
	case v.Throughput != 0 && !throughput:
		r.addf(`root_volume.throughput: type %q does not take it; delete throughput, or set type = "gp3"`, v.Type)
	case v.Throughput != 0 && (v.Throughput < 125 || v.Throughput > 2000):
		r.unless(false, "root_volume.throughput", v.Throughput, "125 to 2000 MiB/s")
	}
}

func (m *MetadataOptions) check(r *report) {
	if m.HTTPEndpoint == disabled {
		r.addf(`metadata_options.http_endpoint: "disabled" cuts the agent off, which takes its identity and credentials from there; delete it`)
	} else {
		r.oneOf("metadata_options.http_endpoint", m.HTTPEndpoint, enabled)
	}
	r.oneOf("metadata_options.http_tokens", m.HTTPTokens, required, "optional")
	r.oneOf("metadata_options.instance_metadata_tags", m.InstanceMetadataTags, enabled, disabled)
	hops := m.HTTPPutResponseHopLimit
	r.unless(hops >= 0 && hops <= 64, "metadata_options.http_put_response_hop_limit", hops, "1 to 64")
}

// checkArchitecture compares what the names alone tell; the plan asks EC2.
func (c *Config) checkArchitecture(r *report) {
	if c.Architecture == "" || !typeName.MatchString(c.InstanceType) {
		return
	}
	fits := archX86
	if gravitonType.MatchString(c.InstanceType) || strings.HasPrefix(c.InstanceType, "mac2") {
		fits = archARM
	}
	if c.Architecture != fits && slices.Contains([]string{archX86, archARM}, c.Architecture) {
		r.addf("architecture: %q does not fit instance_type %q, which is %s; change one of them", c.Architecture, c.InstanceType, fits)
	}
}

const maxUserData = 16 << 10

// readUserData returns the user data in base64, from whichever option has it.
func (c *RunConfig) readUserData(r *report) string {
	if c.UserData != "" && c.UserDataFile != "" {
		r.addf("user_data and user_data_file: both are given; keep one of them")
	}
	data, option := []byte(c.UserData), "user_data"
	if c.UserDataFile != "" {
		option = "user_data_file"
		name, err := pathing.ExpandUser(c.UserDataFile)
		if err == nil {
			data, err = os.ReadFile(name)
		}
		if err != nil {
			r.addf("user_data_file: %v; give the path of a readable file", err)
			return ""
		}
	}
	if decoded, ok := encodedUserData(data); ok {
		data = decoded
	}
	if len(data) > maxUserData {
		r.addf("%s: %d bytes are too many; EC2 takes 16 KiB: let it fetch the rest", option, len(data))
	}
	return base64.StdEncoding.EncodeToString(data)
}

// encodedUserData recognises user data that is in base64 already, as templates
// for amazon-ebs may have it: it must decode to something that cloud-init knows.
func encodedUserData(data []byte) ([]byte, bool) {
	decoded, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(data)))
	if err != nil {
		return nil, false
	}
	for _, start := range []string{"#!", "#cloud-config", "#include", "## template", "Content-Type:", "MIME-Version:", "\x1f\x8b"} {
		if bytes.HasPrefix(decoded, []byte(start)) {
			return decoded, true
		}
	}
	return nil, false
}

// AWS's limits on tags.
const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

// checkTags checks tags as far as they can be before they are rendered.
func (c *Config) checkTags(r *report) {
	for _, set := range []struct {
		option string
		tags   map[string]string
	}{
		{"tags", c.Tags}, {"snapshot_tags", c.SnapshotTags},
		{"run_tags", c.RunTags}, {"run_volume_tags", c.RunVolumeTags},
	} {
		checkTags(r, set.option, set.tags)
	}
}

func checkTags(r *report, option string, tags map[string]string) {
	if len(tags) > maxTags-len(ownTags) {
		r.addf("%s: %d tags are too many; AWS takes %d, of which this plugin sets %d", option, len(tags), maxTags, len(ownTags))
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		r.unless(key != "" && len([]rune(key)) <= maxTagKey, option, key, "keys of 1 to 128 characters")
		r.unless(!strings.HasPrefix(strings.ToLower(key), "aws:"), option, key, `keys that don't begin with "aws:", which AWS keeps for itself`)
		if value := tags[key]; !strings.Contains(value, "{{") && len([]rune(value)) > maxTagValue {
			r.unless(false, option+"."+key, shorten(value), "values of at most 256 characters")
		}
	}
}

func isJSON(s string) bool { return json.Valid([]byte(s)) }

// shorten keeps an error readable whatever was given.
func shorten(s string) string {
	const enough = 40
	if r := []rune(s); len(r) > enough {
		return string(r[:enough]) + "..."
	}
	return s
}

// cleanName is the template function clean_resource_name: what an AMI's name may not have becomes a dash.
func cleanName(s string) string {
	return strings.Map(func(c rune) rune {
		if amiName.MatchString(string(c)) {
			return c
		}
		return '-'
	}, s)
}

// baseName is the last part of an ARN or path.
func baseName(ref string) string { return path.Base(ref) }

// seconds rounds a duration for people.
func seconds(d time.Duration) time.Duration { return d.Round(time.Second) }

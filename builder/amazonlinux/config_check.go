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

// undecoded reports options that have not the type they should have. The commonest of them is a duration without its unit.
func (r *report) undecoded(fields []string) {
	for _, field := range slices.Sorted(slices.Values(fields)) {
		if strings.Contains(field, unknown) {
			continue
		}
		if strings.Contains(field, "duration") {
			field += "; it takes a number and its unit, such as \"10m\""
		}
		r.addf("%s", field)
	}
}

// unknown is what Packer puts, when it validates, in the place of what a data
// source will say.
const unknown = "<unknown>"

// unrenderable is how the SDK says which option's template it could not render. It stops at the first one, and adds all of its
// text, which may be user data.
var unrenderable = regexp.MustCompile(`(?s)^(?:invalid|render) '([^']+)': (.*?)(?: in:\n.*)?$`)

// unrendered reports an option whose template can't be rendered, if that is what err says, and makes it unknown in raws, so that
// the others can be decoded.
func (r *report) unrendered(err error, raws []any) bool {
	if err == nil {
		return false
	}
	found := unrenderable.FindStringSubmatch(err.Error())
	if found == nil {
		return false
	}
	option := found[1]
	for i, raw := range raws {
		options, _ := raw.(map[string]any)
		given := options[option]
		if given == nil || given == unknown {
			continue
		}
		others := maps.Clone(options)
		if _, ok := given.(string); ok {
			others[option] = unknown
		} else {
			delete(others, option)
		}
		raws[i] = others
		r.addf("%s: %s", option, found[2])
		return true
	}
	return false
}

// unless reports an option whose value is not allowed, if it is known.
func (r *report) unless(ok bool, option string, given any, allowed string) {
	if ok || given == unknown {
		return
	}
	if s, isString := given.(string); isString {
		given = fmt.Sprintf("%q", s)
	}
	r.addf("%s: %v is not allowed; it takes %s", option, given, allowed)
}

// oneOf reports an option that is given and none of the allowed values.
func (r *report) oneOf(option, given string, allowed ...string) {
	quoted := make([]string, len(allowed))
	for i, a := range allowed {
		quoted[i] = fmt.Sprintf("%q", a)
	}
	r.unless(given == "" || slices.Contains(allowed, given), option, given, strings.Join(quoted, " or "))
}

// id reports an id that has not the form of AWS's: prefix, then 8 or 17 hexadecimal digits.
func (r *report) id(option, given, prefix string) {
	form := regexp.MustCompile(`^` + prefix + `-([0-9a-f]{8}|[0-9a-f]{17})$`)
	r.unless(given == "" || form.MatchString(given), option, given,
		fmt.Sprintf(`an id such as "%s-0123456789abcdef0"`, prefix))
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

const maxUserData = 16 << 10

// readUserData returns the user data in base64, from whichever option has it.
func (c *Config) readUserData(r *report) string {
	if c.UserData != "" && c.UserDataFile != "" {
		r.addf("user_data and user_data_file: both are given; keep one of them")
	}
	data, option := []byte(c.UserData), "user_data"
	if c.UserDataFile != "" && c.UserDataFile != unknown {
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
	c.bringsAgent = mentionsAgent(data)
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

// A tagSet is the tags of one option.
type tagSet struct {
	option string
	tags   map[string]string
}

func (c *Config) tagSets() []tagSet {
	return []tagSet{
		{"tags", c.Tags}, {"snapshot_tags", c.SnapshotTags},
		{"run_tags", c.RunTags}, {"run_volume_tags", c.RunVolumeTags},
		{"spot_tags", c.SpotTags}, {"fleet_tags", c.FleetTags},
	}
}

// checkTags checks tags as far as they can be before they are rendered.
func (c *Config) checkTags(r *report) {
	for _, set := range c.tagSets() {
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

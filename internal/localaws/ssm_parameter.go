package localaws

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An ssmParameter is an account's own parameter, all versions of it.
type ssmParameter struct {
	name, kind, dataType, description, pattern, tier, keyID string
	versions                                                []ssmParameterVersion
	tags                                                    []ssmTag
	by                                                      string
	firstVersion                                            int64 // how many versions have gone
}

type ssmParameterVersion struct {
	value    string
	modified time.Time
	labels   []string
}

// maxParameterVersions is how many versions are kept; the oldest go.
const maxParameterVersions = 100

// parameterView is a parameter as the Get calls answer it.
type parameterView struct {
	Name             string       `json:"Name"`
	Type             string       `json:"Type"`
	Value            string       `json:"Value"`
	Version          int64        `json:"Version"`
	Selector         string       `json:"Selector,omitempty"`
	LastModifiedDate epochSeconds `json:"LastModifiedDate"`
	ARN              string       `json:"ARN"`
	DataType         string       `json:"DataType"`
}

// parameter finds a parameter by name, ARN, name:version or name:label: an own one or one of AWS's.
func (c *call) parameter(reference string, decrypt bool) (parameterView, error) {
	name := reference
	if strings.HasPrefix(name, "arn:") {
		if _, rest, ok := strings.Cut(name, ":parameter"); ok {
			name = rest
			if strings.Count(strings.TrimPrefix(name, "/"), "/") == 0 && c.ssm().parameters[strings.TrimPrefix(name, "/")] != nil {
				name = strings.TrimPrefix(name, "/")
			}
		}
	}
	name, selector, selected := strings.Cut(name, ":")
	if own := c.ssm().parameters[name]; own != nil {
		return own.at(c, selector, selected, decrypt)
	}
	public, ok := c.server.publicParameters(c.region)[name]
	if err := publicElsewhere(name); !ok && err != nil {
		return parameterView{}, err
	}
	if !ok {
		return parameterView{}, refuse("ParameterNotFound", "Parameter %s not found.", reference)
	}
	if selected && selector != strconv.FormatInt(public.version, 10) {
		return parameterView{}, noParameterVersion(name, selector)
	}
	view := c.publicView(name, public)
	if selected {
		view.Selector = ":" + selector
	}
	return view, nil
}

// publicPaths are the public parameters of AWS's that are not here, by what follows /aws/service/.
var publicPaths = []string{
	"ami-macos-latest", "ami-windows-latest", "aws-for-fluent-bit", "bottlerocket", "canonical", "cloud9", "datasync", "debian", "deeplearning", "ecs", "eks", "freebsd",
	"global-infrastructure", "marketplace", "neuron", "storagegateway", "suse",
}

// publicElsewhere refuses a name or a path of a public parameter that AWS has and this server has not.
func publicElsewhere(name string) error {
	rest, public := strings.CutPrefix(name, "/aws/service/")
	first, _, _ := strings.Cut(rest, "/")
	if !public || !slices.Contains(publicPaths, first) {
		return nil
	}
	return notHere("the public parameters below /aws/service/%s", first)
}

func noParameterVersion(name, selector string) error {
	return refuse("ParameterVersionNotFound", "Systems Manager could not find version %s of %s. Verify the version and try again.", selector, name)
}

func (c *call) publicView(name string, p publicParameter) parameterView {
	view := parameterView{
		Name: name, Type: "String", Value: p.value, Version: p.version, LastModifiedDate: epochSeconds(p.lastModified),
		ARN: "arn:aws:ssm:" + c.region + "::parameter" + name, DataType: "text",
	}
	if strings.HasPrefix(p.value, "ami-") {
		view.DataType = "aws:ec2:image"
	}
	return view
}

func (p *ssmParameter) at(c *call, selector string, selected, decrypt bool) (parameterView, error) {
	number := p.latest()
	if selected {
		var ok bool
		if number, ok = p.find(selector); !ok {
			return parameterView{}, noParameterVersion(p.name, selector)
		}
	}
	v := p.versions[number-p.first()]
	view := parameterView{
		Name: p.name, Type: p.kind, Value: v.value, Version: number, LastModifiedDate: epochSeconds(v.modified),
		ARN: c.ownParameterARN(p.name), DataType: p.dataType,
	}
	if selected {
		view.Selector = ":" + selector
	}
	if p.kind == "SecureString" && !decrypt {
		view.Value = masked(p.name, number)
	}
	return view, nil
}

func (p *ssmParameter) latest() int64 { return p.first() + int64(len(p.versions)) - 1 }

// next is the number of the version to come, of a parameter that may not be there yet.
func (p *ssmParameter) next() int64 {
	if p == nil {
		return 1
	}
	return p.latest() + 1
}

// first is the number of the oldest version that is kept.
func (p *ssmParameter) first() int64 { return p.firstVersion + 1 }

// find is the number of the version that a selector means: a number or a label.
func (p *ssmParameter) find(selector string) (int64, bool) {
	if n, err := strconv.ParseInt(selector, 10, 64); err == nil {
		return n, n >= p.first() && n <= p.latest()
	}
	for i, v := range p.versions {
		if slices.Contains(v.labels, selector) {
			return p.first() + int64(i), true
		}
	}
	return 0, false
}

var (
	parameterName   = regexp.MustCompile(`^[a-zA-Z0-9_.\-/]+$`)
	parameterImage  = regexp.MustCompile(`^ami-([0-9a-f]{8}|[0-9a-f]{17})$`)
	parameterOfAWS  = regexp.MustCompile(`(?i)^/?(aws|ssm)`)
	parameterTiers  = []string{"Standard", "Advanced", "Intelligent-Tiering"}
	parameterKinds  = []string{"String", "StringList", "SecureString"}
	parameterFormat = []string{"text", "aws:ec2:image"}
)

// parameterNames are all names that the caller can see, in order.
func (c *call) parameterNames(public bool) []string {
	names := map[string]bool{}
	for name := range c.ssm().parameters {
		names[name] = true
	}
	if public {
		for name := range c.server.publicParameters(c.region) {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

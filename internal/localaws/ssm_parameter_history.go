package localaws

import (
	"regexp"
	"slices"
	"strings"
)

func ssmHistoryOperations() map[string]operation {
	return map[string]operation{
		"GetParameterHistory":     jsonOp(getParameterHistory),
		"LabelParameterVersion":   jsonOp(labelParameterVersion),
		"UnlabelParameterVersion": jsonOp(unlabelParameterVersion),
	}
}

type parameterHistoryIn struct {
	Name           string  `json:"Name"`
	WithDecryption *bool   `json:"WithDecryption"`
	MaxResults     *int64  `json:"MaxResults"`
	NextToken      *string `json:"NextToken"`
}

type parameterHistoryOut struct {
	Parameters []parameterHistory `json:"Parameters"`
	NextToken  *string            `json:"NextToken,omitempty"`
}

type parameterHistory struct {
	Name             string       `json:"Name"`
	Type             string       `json:"Type"`
	KeyID            string       `json:"KeyId,omitempty"`
	LastModifiedDate epochSeconds `json:"LastModifiedDate"`
	LastModifiedUser string       `json:"LastModifiedUser"`
	Description      string       `json:"Description,omitempty"`
	Value            string       `json:"Value"`
	AllowedPattern   string       `json:"AllowedPattern,omitempty"`
	Version          int64        `json:"Version"`
	Labels           []string     `json:"Labels"`
	Tier             string       `json:"Tier"`
	Policies         []string     `json:"Policies"`
	DataType         string       `json:"DataType"`
}

func getParameterHistory(c *call, in *parameterHistoryIn) (*parameterHistoryOut, error) {
	p := c.ownParameter(in.Name)
	if p == nil {
		return nil, refuse("ParameterNotFound", "Parameter %s not found.", in.Name)
	}
	history := []parameterHistory{}
	for i, v := range p.versions {
		h := parameterHistory{
			Name: p.name, Type: p.kind, KeyID: p.keyID, LastModifiedDate: epochSeconds(v.modified), LastModifiedUser: p.by,
			Description: p.description, Value: v.value, AllowedPattern: p.pattern, Version: p.first() + int64(i),
			Labels: nonNil(v.labels), Tier: p.tier, Policies: []string{}, DataType: p.dataType,
		}
		if p.kind == "SecureString" && !deref(in.WithDecryption) {
			h.Value = masked(p.name, h.Version)
		}
		history = append(history, h)
	}
	page, next, err := ssmNextPage(c, history, in.MaxResults, in.NextToken, 50, 50)
	return &parameterHistoryOut{page, next}, err
}

// ownParameter finds a parameter of the caller's account by name or ARN.
func (c *call) ownParameter(nameOrARN string) *ssmParameter {
	if _, rest, isARN := strings.Cut(nameOrARN, ":parameter/"); isARN {
		if p := c.ssm().parameters[rest]; p != nil {
			return p
		}
		return c.ssm().parameters["/"+rest]
	}
	return c.ssm().parameters[nameOrARN]
}

// maxLabels is how many labels a version can have.
const maxLabels = 10

var labelPattern = regexp.MustCompile(`^[a-zA-Z_.-][a-zA-Z0-9_.-]*$`)

func validLabel(label string) bool {
	lower := strings.ToLower(label)
	return len(label) <= 100 && labelPattern.MatchString(label) && !strings.HasPrefix(lower, "aws") && !strings.HasPrefix(lower, "ssm")
}

type labelIn struct {
	Name             string   `json:"Name"`
	ParameterVersion *int64   `json:"ParameterVersion"`
	Labels           []string `json:"Labels"`
}

type labelOut struct {
	InvalidLabels    []string `json:"InvalidLabels"`
	ParameterVersion int64    `json:"ParameterVersion"`
}

// version finds the version that a call on labels means.
func (in *labelIn) version(c *call) (p *ssmParameter, number int64, err error) {
	p = c.ownParameter(in.Name)
	if p == nil {
		return nil, 0, refuse("ParameterNotFound", "Parameter %s not found.", in.Name)
	}
	number = orElse(in.ParameterVersion, p.latest())
	if number < p.first() || number > p.latest() {
		return nil, 0, refuse("ParameterVersionNotFound", "Systems Manager could not find version %d of %s. Verify the version and try again.", number, in.Name)
	}
	return p, number, nil
}

// labelParameterVersion moves labels to a version from whatever version has them.
func labelParameterVersion(c *call, in *labelIn) (*labelOut, error) {
	p, number, err := in.version(c)
	if err != nil {
		return nil, err
	}
	out := &labelOut{InvalidLabels: []string{}, ParameterVersion: number}
	at := number - p.first()
	labels := slices.Clone(p.versions[at].labels)
	for _, label := range in.Labels {
		switch {
		case !validLabel(label):
			out.InvalidLabels = append(out.InvalidLabels, label)
		case !slices.Contains(labels, label):
			labels = append(labels, label)
		}
	}
	if len(labels) > maxLabels {
		return nil, refuse("ParameterVersionLabelLimitExceeded", "A parameter version can have maximum 10 labels.")
	}
	for i := range p.versions {
		p.versions[i].labels = slices.DeleteFunc(p.versions[i].labels, func(l string) bool { return slices.Contains(labels, l) })
	}
	p.versions[at].labels = labels
	return out, nil
}

type unlabelOut struct {
	InvalidLabels []string `json:"InvalidLabels"`
	RemovedLabels []string `json:"RemovedLabels"`
}

func unlabelParameterVersion(c *call, in *labelIn) (*unlabelOut, error) {
	p, number, err := in.version(c)
	if err != nil {
		return nil, err
	}
	out := &unlabelOut{[]string{}, []string{}}
	version := &p.versions[number-p.first()]
	for _, label := range in.Labels {
		if !slices.Contains(version.labels, label) {
			out.InvalidLabels = append(out.InvalidLabels, label)
			continue
		}
		out.RemovedLabels = append(out.RemovedLabels, label)
		version.labels = slices.DeleteFunc(version.labels, func(l string) bool { return l == label })
	}
	return out, nil
}

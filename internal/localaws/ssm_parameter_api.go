package localaws

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
)

func ssmParameterOperations() map[string]operation {
	return map[string]operation{
		"GetParameter":        jsonOp(getParameter),
		"GetParameters":       jsonOp(getParameters),
		"GetParametersByPath": jsonOp(getParametersByPath),
		"PutParameter":        jsonOp(putParameter),
		"DeleteParameter":     jsonOp(deleteParameter),
		"DeleteParameters":    jsonOp(deleteParameters),
		"DescribeParameters":  jsonOp(describeParameters),
	}
}

// masked is a secret as it is shown to who did not ask for it in the clear.
func masked(name string, version int64) string {
	return "AQICAH" + base64.StdEncoding.EncodeToString([]byte("ciphertext of "+name+":"+strconv.FormatInt(version, 10)))
}

type getParameterIn struct {
	Name           string `json:"Name" required:"true"`
	WithDecryption *bool  `json:"WithDecryption"`
}

type getParameterOut struct {
	Parameter parameterView `json:"Parameter"`
}

func getParameter(c *call, in *getParameterIn) (*getParameterOut, error) {
	view, err := c.parameter(in.Name, deref(in.WithDecryption))
	return &getParameterOut{view}, err
}

type getParametersIn struct {
	Names          []string `json:"Names" required:"true"`
	WithDecryption *bool    `json:"WithDecryption"`
}

type getParametersOut struct {
	Parameters        []parameterView `json:"Parameters"`
	InvalidParameters []string        `json:"InvalidParameters"`
}

func getParameters(c *call, in *getParametersIn) (*getParametersOut, error) {
	if err := c.checkNames(in.Names); err != nil {
		return nil, err
	}
	out := &getParametersOut{Parameters: []parameterView{}, InvalidParameters: []string{}}
	for _, name := range in.Names {
		view, err := c.parameter(name, deref(in.WithDecryption))
		switch {
		case err == nil:
			out.Parameters = append(out.Parameters, view)
		case refusedWith(err, codeNotHere):
			return nil, err
		default:
			out.InvalidParameters = append(out.InvalidParameters, name)
		}
	}
	slices.SortFunc(out.Parameters, func(a, b parameterView) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (c *call) checkNames(names []string) error {
	if len(names) < 1 || len(names) > 10 {
		return c.unfit("Value '%s' at 'names' failed to satisfy constraint: Member must have length less than or equal to 10", names)
	}
	return nil
}

type parameterFilter struct {
	Key    string   `json:"Key" required:"true"`
	Option string   `json:"Option"`
	Values []string `json:"Values"`
}

type getParametersByPathIn struct {
	Path             string            `json:"Path" required:"true"`
	Recursive        *bool             `json:"Recursive"`
	ParameterFilters []parameterFilter `json:"ParameterFilters"`
	WithDecryption   *bool             `json:"WithDecryption"`
	MaxResults       *int64            `json:"MaxResults"`
	NextToken        *string           `json:"NextToken"`
}

type getParametersByPathOut struct {
	Parameters []parameterView `json:"Parameters"`
	NextToken  *string         `json:"NextToken,omitempty"`
}

func getParametersByPath(c *call, in *getParametersByPathIn) (*getParametersByPathOut, error) {
	if !strings.HasPrefix(in.Path, "/") {
		return nil, refuse("ValidationException", "The parameter doesn't meet the parameter name requirements. "+
			"The parameter name must begin with a forward slash \"/\".")
	}
	if err := publicElsewhere(in.Path); err != nil {
		return nil, err
	}
	found := []parameterView{}
	for _, name := range c.parameterNames(true) {
		if !isUnder(name, in.Path, deref(in.Recursive)) {
			continue
		}
		view, err := c.parameter(name, deref(in.WithDecryption))
		if err != nil {
			return nil, err
		}
		keep, err := view.passes(in.ParameterFilters, "Type", "DataType", "Label", "KeyId")
		if err != nil {
			return nil, err
		}
		if keep {
			found = append(found, view)
		}
	}
	page, next, err := ssmNextPage(c, found, in.MaxResults, in.NextToken, 10, 10)
	return &getParametersByPathOut{page, next}, err
}

// isUnder says whether a parameter is in a path, directly or at any depth.
func isUnder(name, path string, recursive bool) bool {
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(path, "/")+"/")
	return ok && (recursive || !strings.Contains(rest, "/"))
}

// passes says whether a parameter is what the filters ask for; only some keys may be used with a call.
func (v parameterView) passes(filters []parameterFilter, keys ...string) (bool, error) {
	for _, f := range filters {
		if !slices.Contains(keys, f.Key) {
			return false, refuse("InvalidFilterKey", "The following filter key is not valid: %s. Valid filter keys include: [%s].", f.Key, strings.Join(keys, ", "))
		}
		match, err := f.matcher()
		if err != nil {
			return false, err
		}
		value := map[string]string{"Name": v.Name, "Type": v.Type, "DataType": v.DataType}[f.Key]
		if !slices.ContainsFunc(f.Values, func(want string) bool { return match(value, want) }) {
			return false, nil
		}
	}
	return true, nil
}

func (f parameterFilter) matcher() (func(value, want string) bool, error) {
	switch f.Option {
	case "", "Equals":
		return func(value, want string) bool { return value == want }, nil
	case "BeginsWith":
		return func(value, want string) bool {
			return strings.HasPrefix(value, want) || strings.HasPrefix(value, "/"+strings.TrimPrefix(want, "/"))
		}, nil
	case "Contains":
		return strings.Contains, nil
	}
	return nil, refuse("InvalidFilterOption", "The following filter option is not valid: %s. Valid options include: [Equals, BeginsWith, Contains].", f.Option)
}

type putParameterIn struct {
	Name           string   `json:"Name" required:"true"`
	Description    *string  `json:"Description"`
	Value          string   `json:"Value" required:"true"`
	Type           *string  `json:"Type"`
	KeyID          *string  `json:"KeyId"`
	Overwrite      *bool    `json:"Overwrite"`
	AllowedPattern *string  `json:"AllowedPattern"`
	Tags           []ssmTag `json:"Tags"`
	Tier           *string  `json:"Tier"`
	Policies       *string  `json:"Policies"`
	DataType       *string  `json:"DataType"`
}

type putParameterOut struct {
	Version int64  `json:"Version"`
	Tier    string `json:"Tier"`
}

func putParameter(c *call, in *putParameterIn) (*putParameterOut, error) {
	p := c.ssm().parameters[in.Name]
	if p != nil && !deref(in.Overwrite) {
		return nil, refuse("ParameterAlreadyExists", "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
	}
	if _, err := mergedSSMTags(nil, in.Tags); err != nil {
		return nil, err
	}
	if p != nil && len(in.Tags) > 0 {
		return nil, refuse("ValidationException", "Invalid request: tags and overwrite can't be used together. "+
			"To create a parameter with tags, please remove overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.")
	}
	if err := in.check(c, p); err != nil {
		return nil, err
	}
	if deref(in.DataType) == "aws:ec2:image" && !c.seesImage(in.Value) {
		return &putParameterOut{p.next(), in.tier()}, nil // AWS finds out later, and then makes no version
	}
	if p == nil {
		p = &ssmParameter{name: in.Name, kind: deref(in.Type), dataType: "text", tier: "Standard", tags: in.Tags}
		c.ssm().parameters[in.Name] = p
	}
	p.put(c, in)
	return &putParameterOut{p.latest(), p.tier}, nil
}

// seesImage says whether the caller can launch an image.
func (c *call) seesImage(id string) bool {
	img := c.images().images[id]
	return img != nil && img.visible(c.caller.account)
}

// put adds a version; what the call leaves out stays as it was.
func (p *ssmParameter) put(c *call, in *putParameterIn) {
	for at, value := range map[*string]*string{
		&p.kind: in.Type, &p.dataType: in.DataType, &p.description: in.Description, &p.pattern: in.AllowedPattern, &p.keyID: in.KeyID,
	} {
		if value != nil {
			*at = *value
		}
	}
	if tier := deref(in.Tier); tier == "Advanced" || tier == "Intelligent-Tiering" && len(in.Value) > 4096 {
		p.tier = "Advanced"
	}
	p.by = c.caller.arn
	p.versions = append(p.versions, ssmParameterVersion{value: in.Value, modified: c.now})
	if len(p.versions) > maxParameterVersions {
		p.versions = p.versions[1:]
		p.firstVersion++
	}
}

type deleteParameterIn struct {
	Name string `json:"Name" required:"true"`
}

func deleteParameter(c *call, in *deleteParameterIn) (*struct{}, error) {
	p := c.ownParameter(in.Name)
	if p == nil {
		return nil, refuse("ParameterNotFound", "Parameter %s not found.", in.Name)
	}
	delete(c.ssm().parameters, p.name)
	return &struct{}{}, nil
}

type deleteParametersIn struct {
	Names []string `json:"Names" required:"true"`
}

type deleteParametersOut struct {
	DeletedParameters []string `json:"DeletedParameters"`
	InvalidParameters []string `json:"InvalidParameters"`
}

func deleteParameters(c *call, in *deleteParametersIn) (*deleteParametersOut, error) {
	if err := c.checkNames(in.Names); err != nil {
		return nil, err
	}
	out := &deleteParametersOut{[]string{}, []string{}}
	for _, name := range in.Names {
		if c.ssm().parameters[name] == nil {
			out.InvalidParameters = append(out.InvalidParameters, name)
			continue
		}
		delete(c.ssm().parameters, name)
		out.DeletedParameters = append(out.DeletedParameters, name)
	}
	return out, nil
}

type describeParametersIn struct {
	Filters []struct {
		Key    string   `json:"Key" required:"true"`
		Values []string `json:"Values" required:"true"`
	} `json:"Filters"`
	ParameterFilters []parameterFilter `json:"ParameterFilters"`
	MaxResults       *int64            `json:"MaxResults"`
	NextToken        *string           `json:"NextToken"`
	Shared           *bool             `json:"Shared"`
}

type describeParametersOut struct {
	Parameters []parameterMetadata `json:"Parameters"`
	NextToken  *string             `json:"NextToken,omitempty"`
}

type parameterMetadata struct {
	Name             string       `json:"Name"`
	ARN              string       `json:"ARN"`
	Type             string       `json:"Type"`
	KeyID            string       `json:"KeyId,omitempty"`
	LastModifiedDate epochSeconds `json:"LastModifiedDate"`
	LastModifiedUser string       `json:"LastModifiedUser"`
	Description      string       `json:"Description,omitempty"`
	AllowedPattern   string       `json:"AllowedPattern,omitempty"`
	Version          int64        `json:"Version"`
	Tier             string       `json:"Tier"`
	Policies         []string     `json:"Policies"`
	DataType         string       `json:"DataType"`
}

func describeParameters(c *call, in *describeParametersIn) (*describeParametersOut, error) {
	if len(in.Filters) > 0 && len(in.ParameterFilters) > 0 {
		return nil, refuse("ValidationException", "You can use either Filters or ParameterFilters in a single request.")
	}
	filters := in.ParameterFilters
	for _, f := range in.Filters {
		filters = append(filters, parameterFilter{Key: f.Key, Option: "Equals", Values: f.Values})
	}
	found := []parameterMetadata{}
	for _, name := range c.parameterNames(false) {
		view, err := c.parameter(name, false)
		if err != nil {
			return nil, err
		}
		keep, err := view.passes(filters, "Name", "Type", "DataType")
		if err != nil {
			return nil, err
		}
		if p := c.ssm().parameters[name]; keep {
			found = append(found, parameterMetadata{
				Name: name, ARN: view.ARN, Type: p.kind, KeyID: p.keyID, LastModifiedDate: view.LastModifiedDate, LastModifiedUser: p.by,
				Description: p.description, AllowedPattern: p.pattern, Version: view.Version, Tier: p.tier, Policies: []string{}, DataType: p.dataType,
			})
		}
	}
	page, next, err := ssmNextPage(c, found, in.MaxResults, in.NextToken, 10, 50)
	return &describeParametersOut{page, next}, err
}

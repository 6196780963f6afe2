package localaws

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

func ssmDocumentOperations() map[string]operation {
	return map[string]operation{
		"CreateDocument":   jsonOp(createDocument),
		"DeleteDocument":   jsonOp(deleteDocument),
		"DescribeDocument": jsonOp(describeDocument),
		"GetDocument":      jsonOp(getDocument),
		"ListDocuments":    jsonOp(listDocuments),
	}
}

type documentIn struct {
	Name            string  `json:"Name" required:"true"`
	DocumentVersion *string `json:"DocumentVersion"`
	VersionName     *string `json:"VersionName"`
	DocumentFormat  *string `json:"DocumentFormat"`
}

// named finds the document that a call means.
func (in *documentIn) named(c *call) (*ssmDocument, error) {
	d := c.document(in.Name)
	if d == nil {
		return nil, noDocument(in.Name)
	}
	if in.VersionName != nil && *in.VersionName != d.versionName {
		return nil, refuse("InvalidDocumentVersion", "The version name %s of document %s does not exist.", *in.VersionName, d.name)
	}
	return d, checkDocumentVersion(d, in.DocumentVersion)
}

// checkDocumentVersion takes what can mean a document's only version.
func checkDocumentVersion(d *ssmDocument, version *string) error {
	if version != nil && !slices.Contains([]string{"", "1", "$DEFAULT", "$LATEST"}, *version) {
		return refuse("InvalidDocumentVersion", "The version %s of document %s does not exist.", *version, d.name)
	}
	return nil
}

type getDocumentOut struct {
	Name            string       `json:"Name"`
	CreatedDate     epochSeconds `json:"CreatedDate"`
	DocumentVersion string       `json:"DocumentVersion"`
	Status          string       `json:"Status"`
	Content         string       `json:"Content"`
	DocumentType    string       `json:"DocumentType"`
	DocumentFormat  string       `json:"DocumentFormat"`
}

func getDocument(c *call, in *documentIn) (*getDocumentOut, error) {
	d, err := in.named(c)
	if err != nil {
		return nil, err
	}
	if format := deref(in.DocumentFormat); format != "" && format != d.format {
		return nil, refuse("ValidationException", "This document can be had as %s only", d.format)
	}
	return &getDocumentOut{d.name, epochSeconds(d.created), "1", "Active", d.content, d.kind, d.format}, nil
}

type describeDocumentOut struct {
	Document documentDescription `json:"Document"`
}

type documentDescription struct {
	Hash            string                 `json:"Hash"`
	HashType        string                 `json:"HashType"`
	Name            string                 `json:"Name"`
	Owner           string                 `json:"Owner"`
	CreatedDate     epochSeconds           `json:"CreatedDate"`
	Status          string                 `json:"Status"`
	DocumentVersion string                 `json:"DocumentVersion"`
	Description     string                 `json:"Description,omitempty"`
	Parameters      []documentParameterOut `json:"Parameters,omitempty"`
	PlatformTypes   []string               `json:"PlatformTypes"`
	DocumentType    string                 `json:"DocumentType"`
	SchemaVersion   string                 `json:"SchemaVersion"`
	LatestVersion   string                 `json:"LatestVersion"`
	DefaultVersion  string                 `json:"DefaultVersion"`
	DocumentFormat  string                 `json:"DocumentFormat"`
	Tags            []ssmTag               `json:"Tags"`
	DisplayName     string                 `json:"DisplayName,omitempty"`
	VersionName     string                 `json:"VersionName,omitempty"`
	TargetType      string                 `json:"TargetType,omitempty"`
}

type documentParameterOut struct {
	Name         string  `json:"Name"`
	Type         string  `json:"Type"`
	Description  string  `json:"Description,omitempty"`
	DefaultValue *string `json:"DefaultValue,omitempty"`
}

func describeDocument(c *call, in *documentIn) (*describeDocumentOut, error) {
	d, err := in.named(c)
	if err != nil {
		return nil, err
	}
	return &describeDocumentOut{d.describe()}, nil
}

func (d *ssmDocument) describe() documentDescription {
	view := documentDescription{
		Hash: d.hash(), HashType: "Sha256", Name: d.name, Owner: d.owner, CreatedDate: epochSeconds(d.created), Status: "Active",
		DocumentVersion: "1", Description: d.parsed.Description, PlatformTypes: []string{"Linux", "MacOS"}, DocumentType: d.kind,
		SchemaVersion: d.parsed.SchemaVersion, LatestVersion: "1", DefaultVersion: "1", DocumentFormat: d.format, Tags: d.tags,
		DisplayName: d.displayName, VersionName: d.versionName, TargetType: d.targetType,
	}
	for _, name := range slices.Sorted(maps.Keys(d.parsed.Parameters)) {
		p := d.parsed.Parameters[name]
		out := documentParameterOut{Name: name, Type: p.Type, Description: p.Description}
		if p.Default != nil {
			text := strings.Join(p.defaults(), ",")
			out.DefaultValue = &text
		}
		view.Parameters = append(view.Parameters, out)
	}
	return view
}

type listDocumentsIn struct {
	DocumentFilterList []struct {
		Key   string `json:"key" required:"true"`
		Value string `json:"value" required:"true"`
	} `json:"DocumentFilterList"`
	Filters []struct {
		Key    string   `json:"Key"`
		Values []string `json:"Values"`
	} `json:"Filters"`
	MaxResults *int64  `json:"MaxResults"`
	NextToken  *string `json:"NextToken"`
}

type listDocumentsOut struct {
	DocumentIdentifiers []documentIdentifier `json:"DocumentIdentifiers"`
	NextToken           *string              `json:"NextToken,omitempty"`
}

type documentIdentifier struct {
	Name            string       `json:"Name"`
	CreatedDate     epochSeconds `json:"CreatedDate"`
	Owner           string       `json:"Owner"`
	PlatformTypes   []string     `json:"PlatformTypes"`
	DocumentVersion string       `json:"DocumentVersion"`
	DocumentType    string       `json:"DocumentType"`
	SchemaVersion   string       `json:"SchemaVersion"`
	DocumentFormat  string       `json:"DocumentFormat"`
	Tags            []ssmTag     `json:"Tags"`
}

func listDocuments(c *call, in *listDocumentsIn) (*listDocumentsOut, error) {
	all := maps.Clone(awsDocuments)
	delete(all, shellDocument)
	maps.Copy(all, c.ssm().documents)
	found := []documentIdentifier{}
	for _, d := range sortedValues(all) {
		keep, err := in.keeps(c, d)
		if err != nil {
			return nil, err
		}
		if keep {
			v := d.describe()
			found = append(found, documentIdentifier{
				v.Name, v.CreatedDate, v.Owner, v.PlatformTypes, "1", v.DocumentType, v.SchemaVersion, v.DocumentFormat, v.Tags,
			})
		}
	}
	page, next, err := ssmNextPage(c, found, in.MaxResults, in.NextToken, 10, 50)
	return &listDocumentsOut{page, next}, err
}

func (in *listDocumentsIn) keeps(c *call, d *ssmDocument) (bool, error) {
	for _, f := range in.DocumentFilterList {
		if keep, err := d.passes(c, f.Key, []string{f.Value}); !keep || err != nil {
			return false, err
		}
	}
	for _, f := range in.Filters {
		if keep, err := d.passes(c, f.Key, f.Values); !keep || err != nil {
			return false, err
		}
	}
	return true, nil
}

// passes says whether a document is one that a filter asks for.
func (d *ssmDocument) passes(c *call, key string, values []string) (bool, error) {
	one := func(match func(string) bool) (bool, error) { return slices.ContainsFunc(values, match), nil }
	switch key {
	case "Name":
		return one(func(v string) bool { return strings.HasPrefix(d.name, v) })
	case "Owner":
		return one(func(v string) bool {
			own := d.owner == c.caller.account
			return v == "All" || v == d.owner || v == "Self" && own || v == "Private" && own || v == "Public" && !own
		})
	case "DocumentType":
		return one(func(v string) bool { return v == d.kind })
	case "PlatformTypes":
		return one(func(v string) bool { return v == "Linux" || v == "MacOS" })
	case "SearchKeyword":
		return one(func(v string) bool { return strings.Contains(strings.ToLower(d.name), strings.ToLower(v)) })
	}
	return false, refuse("InvalidFilterKey", "%s is not a valid filter key", key)
}

type createDocumentIn struct {
	Content        string   `json:"Content" required:"true"`
	Name           string   `json:"Name" required:"true"`
	DisplayName    *string  `json:"DisplayName"`
	VersionName    *string  `json:"VersionName"`
	DocumentType   *string  `json:"DocumentType"`
	DocumentFormat *string  `json:"DocumentFormat"`
	TargetType     *string  `json:"TargetType"`
	Tags           []ssmTag `json:"Tags"`
}

type createDocumentOut struct {
	DocumentDescription documentDescription `json:"DocumentDescription"`
}

var documentName = regexp.MustCompile(`^[a-zA-Z0-9_\-.]{3,128}$`)

func createDocument(c *call, in *createDocumentIn) (*createDocumentOut, error) {
	reserved := strings.HasPrefix(strings.ToLower(in.Name), "aws-") || strings.HasPrefix(strings.ToLower(in.Name), "amazon-")
	switch {
	case !documentName.MatchString(in.Name) || reserved:
		return nil, c.unfit("Value '%s' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9_\\-.]{3,128}$", in.Name)
	case c.ssm().documents[in.Name] != nil:
		return nil, refuse("DocumentAlreadyExists", "Document with same name %s already exists", in.Name)
	case len(in.Content) > 64<<10:
		return nil, refuse("MaxDocumentSizeExceeded", "The document is larger than 64 KB")
	case in.DocumentFormat != nil && *in.DocumentFormat != "JSON":
		return nil, notHere("documents in %s", *in.DocumentFormat)
	}
	d, err := newDocument(in.Name, in.Content)
	if err != nil {
		return nil, refuse("InvalidDocumentContent", "JSON not well-formed. %v", err)
	}
	if want := deref(in.DocumentType); want != "" && want != d.kind {
		return nil, refuse("InvalidDocumentContent", "The content is that of a %s document, not of a %s document", d.kind, want)
	}
	if err := d.checkSchema(); err != nil {
		return nil, err
	}
	if d.tags, err = mergedSSMTags(nil, in.Tags); err != nil {
		return nil, err
	}
	d.displayName, d.versionName, d.targetType = deref(in.DisplayName), deref(in.VersionName), deref(in.TargetType)
	d.owner, d.created = c.caller.account, c.now
	c.ssm().documents[d.name] = d
	return &createDocumentOut{d.describe()}, nil
}

// agentPlugins are what the agent can do in a step.
var agentPlugins = []string{
	"aws:applications", "aws:cloudWatch", "aws:configureDocker", "aws:configurePackage", "aws:domainJoin", "aws:downloadContent", "aws:psModule",
	"aws:refreshAssociation", "aws:runDockerAction", "aws:runDocument", "aws:runPowerShellScript", "aws:runShellScript", "aws:softwareInventory",
	"aws:updateAgent", "aws:updateSsmAgent",
}

func (d *ssmDocument) checkSchema() error {
	version := d.parsed.SchemaVersion
	switch {
	case d.kind == "Session" && version != "1.0", d.kind == "Command" && !slices.Contains([]string{"1.2", "2.0", "2.2"}, version):
		return refuse("InvalidDocumentSchemaVersion", "Schema version %s is not supported for %s documents", version, d.kind)
	case d.kind == "Command" && len(d.steps(nil)) == 0:
		return refuse("InvalidDocumentContent", "The document has no steps")
	}
	for _, step := range d.steps(nil) {
		if !slices.Contains(agentPlugins, step.plugin) {
			return refuse("InvalidDocumentContent", "Document content has unsupported action %s", step.plugin)
		}
	}
	return nil
}

type deleteDocumentIn struct {
	Name            string  `json:"Name" required:"true"`
	DocumentVersion *string `json:"DocumentVersion"`
	VersionName     *string `json:"VersionName"`
	Force           *bool   `json:"Force"`
}

func deleteDocument(c *call, in *deleteDocumentIn) (*struct{}, error) {
	if c.ssm().documents[in.Name] == nil {
		if awsDocuments[in.Name] != nil {
			return nil, refuse("InvalidDocumentOperation", "Document %s is owned by Amazon and can't be deleted", in.Name)
		}
		return nil, noDocument(in.Name)
	}
	delete(c.ssm().documents, in.Name)
	return &struct{}{}, nil
}

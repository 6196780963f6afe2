package localaws

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// A launchTemplate is a launch's parameters, kept in versions.
type launchTemplate struct {
	id, name, createdBy string
	created             time.Time
	standard, latest    int64
	versions            map[int64]*templateVersion
}

type templateVersion struct {
	number      int64
	description string
	created     time.Time
	createdBy   string
	data        launchData
}

var templateNames = regexp.MustCompile(`^[a-zA-Z0-9()./_-]{3,128}$`)

type createTemplateInput struct {
	dryRun
	tagSpecs
	Name               string      `query:"LaunchTemplateName"`
	VersionDescription string      `query:"VersionDescription"`
	Data               *launchData `query:"LaunchTemplateData"`
	ClientToken        *string     `query:"ClientToken"`
}

type templateDescription struct {
	ID        string   `xml:"launchTemplateId"`
	Name      string   `xml:"launchTemplateName"`
	Created   string   `xml:"createTime"`
	CreatedBy string   `xml:"createdBy"`
	Standard  int64    `xml:"defaultVersionNumber"`
	Latest    int64    `xml:"latestVersionNumber"`
	Tags      set[tag] `xml:"tagSet"`
}

type templateOutput struct {
	Template templateDescription `xml:"launchTemplate"`
}

func (p *ec2Place) describeTemplate(t *launchTemplate) templateDescription {
	return templateDescription{t.id, t.name, ec2Time(t.created), t.createdBy, t.standard, t.latest, p.tagSet(t.id)}
}

func (s *Server) createLaunchTemplate(c *call, in *createTemplateInput) (*templateOutput, error) {
	p := c.place()
	if !templateNames.MatchString(in.Name) {
		return nil, refuse("InvalidLaunchTemplateName.MalformedException", "A launch template name must be between 3 and 128 characters, and may contain letters, numbers, and the following characters: - ( ) . / _.")
	}
	if in.Data == nil {
		return nil, missing("LaunchTemplateData")
	}
	tags, err := in.forTypes("launch-template")
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	t, err := repeatable(c, in.ClientToken, func() (*launchTemplate, error) {
		for _, other := range p.launchTemplates {
			if other.name == in.Name {
				return nil, refuse("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
			}
		}
		t := &launchTemplate{id: newID("lt"), name: in.Name, createdBy: c.caller.arn, created: c.now, standard: 1, versions: map[int64]*templateVersion{}}
		t.add(c, in.VersionDescription, *in.Data)
		p.launchTemplates[t.id] = t
		p.setTags(t.id, tags["launch-template"])
		return t, nil
	})
	if err != nil {
		return nil, err
	}
	return &templateOutput{p.describeTemplate(t)}, nil
}

func (t *launchTemplate) add(c *call, description string, data launchData) *templateVersion {
	t.latest++
	v := &templateVersion{t.latest, description, c.now, c.caller.arn, data}
	t.versions[t.latest] = v
	return v
}

// template finds a launch template by id or name.
func (p *ec2Place) template(id, name string) (*launchTemplate, error) {
	if (id == "") == (name == "") {
		return nil, refuse("MissingParameter", "Either launchTemplateId or launchTemplateName, and not both, must be specified.")
	}
	for _, t := range p.launchTemplates {
		if t.id == id || t.name == name {
			return t, nil
		}
	}
	if id != "" {
		return nil, refuse("InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID %s, does not exist.", id)
	}
	return nil, refuse("InvalidLaunchTemplateName.NotFoundException", "The specified launch template, with template name %s, does not exist.", name)
}

// version finds a version by its number, $Default or $Latest.
func (t *launchTemplate) version(number string) (*templateVersion, error) {
	n, err := strconv.ParseInt(number, 10, 64)
	switch number {
	case "", "$Default":
		n, err = t.standard, nil
	case "$Latest":
		n, err = t.latest, nil
	}
	if v := t.versions[n]; err == nil && v != nil {
		return v, nil
	}
	return nil, refuse("InvalidLaunchTemplateId.VersionNotFound", "Could not find launch template version %s for the specified launch template, with template ID %s.", number, t.id)
}

func (p *ec2Place) findTemplateVersion(r *templateRequest) (*templateVersion, error) {
	t, err := p.template(r.ID, r.Name)
	if err != nil {
		return nil, err
	}
	return t.version(valueOr(r.Version, ""))
}

type createVersionInput struct {
	dryRun
	ID          string      `query:"LaunchTemplateId"`
	Name        string      `query:"LaunchTemplateName"`
	Source      string      `query:"SourceVersion"`
	Description string      `query:"VersionDescription"`
	Data        *launchData `query:"LaunchTemplateData"`
	ClientToken *string     `query:"ClientToken"`
}

type versionDescription struct {
	ID          string      `xml:"launchTemplateId"`
	Name        string      `xml:"launchTemplateName"`
	Number      int64       `xml:"versionNumber"`
	Description string      `xml:"versionDescription,omitempty"`
	Created     string      `xml:"createTime"`
	CreatedBy   string      `xml:"createdBy"`
	Standard    bool        `xml:"defaultVersion"`
	Data        *launchData `xml:"launchTemplateData"`
}

type versionOutput struct {
	Version versionDescription `xml:"launchTemplateVersion"`
}

func (t *launchTemplate) describe(v *templateVersion) versionDescription {
	return versionDescription{t.id, t.name, v.number, v.description, ec2Time(v.created), v.createdBy, v.number == t.standard, &v.data}
}

func (s *Server) createTemplateVersion(c *call, in *createVersionInput) (*versionOutput, error) {
	t, err := c.place().template(in.ID, in.Name)
	if err != nil {
		return nil, err
	}
	if in.Data == nil {
		return nil, missing("LaunchTemplateData")
	}
	data := *in.Data
	if in.Source != "" {
		source, err := t.version(in.Source)
		if err != nil {
			return nil, err
		}
		data = source.data.under(data)
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	v, err := repeatable(c, in.ClientToken, func() (*templateVersion, error) { return t.add(c, in.Description, data), nil })
	if err != nil {
		return nil, err
	}
	return &versionOutput{t.describe(v)}, nil
}

type templateInput struct {
	dryRun
	ID   string `query:"LaunchTemplateId"`
	Name string `query:"LaunchTemplateName"`
}

func (s *Server) deleteLaunchTemplate(c *call, in *templateInput) (*templateOutput, error) {
	p := c.place()
	t, err := p.template(in.ID, in.Name)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	d := p.describeTemplate(t)
	delete(p.launchTemplates, t.id)
	delete(p.tags, t.id)
	return &templateOutput{d}, nil
}

type modifyTemplateInput struct {
	templateInput
	Standard    string  `query:"SetDefaultVersion"`
	ClientToken *string `query:"ClientToken"`
}

func (s *Server) modifyLaunchTemplate(c *call, in *modifyTemplateInput) (*templateOutput, error) {
	p := c.place()
	t, err := p.template(in.ID, in.Name)
	if err != nil {
		return nil, err
	}
	v, err := t.version(in.Standard)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	t.standard = v.number
	return &templateOutput{p.describeTemplate(t)}, nil
}

type describeTemplatesInput struct {
	dryRun
	page
	IDs     []string `query:"LaunchTemplateId"`
	Names   []string `query:"LaunchTemplateName"`
	Filters []filter `query:"Filter"`
}

type describeTemplatesOutput struct {
	Templates set[templateDescription] `xml:"launchTemplates"`
	NextToken string                   `xml:"nextToken,omitempty"`
}

var templateFilters = filterTable[*launchTemplate]{
	"create-time":          one(func(t *launchTemplate) string { return ec2Time(t.created) }),
	"launch-template-name": one(func(t *launchTemplate) string { return t.name }),
}

func (s *Server) describeLaunchTemplates(c *call, in *describeTemplatesInput) (*describeTemplatesOutput, error) {
	p := c.place()
	ids := slices.Clone(in.IDs)
	for _, name := range in.Names {
		t, err := p.template("", name)
		if err != nil {
			return nil, err
		}
		ids = append(ids, t.id)
	}
	all, err := byID(ids, p.launchTemplates, func(id string) (*launchTemplate, error) { return p.template(id, "") })
	if err != nil {
		return nil, err
	}
	all, err = templateFilters.keep(in.Filters, func(t *launchTemplate) map[string]string { return p.tags[t.id] }, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 1, 200, all)
	return &describeTemplatesOutput{setFrom(part, p.describeTemplate), next}, err
}

type describeVersionsInput struct {
	templateInput
	page
	Versions   []string `query:"LaunchTemplateVersion"`
	MinVersion string   `query:"MinVersion"`
	MaxVersion string   `query:"MaxVersion"`
	Filters    []filter `query:"Filter"`
}

type describeVersionsOutput struct {
	Versions  set[versionDescription] `xml:"launchTemplateVersionSet"`
	NextToken string                  `xml:"nextToken,omitempty"`
}

var versionFilters = filterTable[versionDescription]{
	"image-id":           one(func(v versionDescription) string { return v.Data.ImageID }),
	"instance-type":      one(func(v versionDescription) string { return v.Data.Type }),
	"is-default-version": one(func(v versionDescription) string { return boolWord(v.Standard) }),
}

func (s *Server) describeTemplateVersions(c *call, in *describeVersionsInput) (*describeVersionsOutput, error) {
	t, err := c.place().template(in.ID, in.Name)
	if err != nil {
		return nil, err
	}
	all, err := t.asked(in.Versions)
	if err != nil {
		return nil, err
	}
	least, _ := strconv.ParseInt(in.MinVersion, 10, 64)
	most, _ := strconv.ParseInt(in.MaxVersion, 10, 64)
	all = slices.DeleteFunc(all, func(v versionDescription) bool { return v.Number < least || most > 0 && v.Number > most })
	if all, err = versionFilters.keep(in.Filters, nil, all); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 1, 200, all)
	return &describeVersionsOutput{setOf(part), next}, err
}

// asked are the versions of the given numbers, or all of them, the newest first.
func (t *launchTemplate) asked(numbers []string) ([]versionDescription, error) {
	var all []versionDescription
	for _, number := range numbers {
		v, err := t.version(number)
		if err != nil {
			return nil, err
		}
		all = append(all, t.describe(v))
	}
	if len(numbers) > 0 {
		return all, nil
	}
	for n := t.latest; n > 0; n-- {
		if v := t.versions[n]; v != nil {
			all = append(all, t.describe(v))
		}
	}
	return all, nil
}

type deleteVersionsInput struct {
	templateInput
	Versions []string `query:"LaunchTemplateVersion"`
}

type deletedVersion struct {
	ID     string         `xml:"launchTemplateId"`
	Name   string         `xml:"launchTemplateName"`
	Number string         `xml:"versionNumber"`
	Error  *responseError `xml:"responseError"`
}

type responseError struct {
	Code    string `xml:"code"`
	Message string `xml:"message"`
}

type deleteVersionsOutput struct {
	Deleted set[deletedVersion] `xml:"successfullyDeletedLaunchTemplateVersionSet"`
	Failed  set[deletedVersion] `xml:"unsuccessfullyDeletedLaunchTemplateVersionSet"`
}

func (s *Server) deleteTemplateVersions(c *call, in *deleteVersionsInput) (*deleteVersionsOutput, error) {
	t, err := c.place().template(in.ID, in.Name)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	var out deleteVersionsOutput
	for _, number := range in.Versions {
		d := deletedVersion{ID: t.id, Name: t.name, Number: number}
		v, err := t.version(number)
		switch refused := (*apiError)(nil); {
		case errors.As(err, &refused):
			d.Error = &responseError{"launchTemplateVersionDoesNotExist", refused.message}
		case v.number == t.standard:
			d.Error = &responseError{"unexpectedError", "Cannot delete the default launch template version."}
		}
		if d.Error != nil {
			out.Failed.Items = append(out.Failed.Items, d)
			continue
		}
		delete(t.versions, v.number)
		out.Deleted.Items = append(out.Deleted.Items, d)
	}
	return &out, nil
}

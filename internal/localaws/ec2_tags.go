package localaws

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

type tag struct {
	Key   string `query:"Key" xml:"key"`
	Value string `query:"Value" xml:"value"`
}

// A tagSpec is one TagSpecification.N: tags that a call sets on what it makes.
type tagSpec struct {
	ResourceType string `query:"ResourceType" xml:"resourceType"`
	Tags         []tag  `query:"Tag" xml:"tagSet>item"`
}

type tagSpecs struct {
	TagSpecifications []tagSpec `query:"TagSpecification" xml:"tagSpecificationSet>item,omitempty"`
}

// forTypes checks the specifications and returns their tags by resource type; others than the allowed types are refused.
func (t tagSpecs) forTypes(allowed ...string) (map[string]map[string]string, error) {
	byType := map[string]map[string]string{}
	for _, spec := range t.TagSpecifications {
		if spec.ResourceType == "" {
			return nil, missing("TagSpecification.ResourceType")
		}
		if !slices.Contains(allowed, spec.ResourceType) {
			return nil, refuse("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", spec.ResourceType)
		}
		if _, twice := byType[spec.ResourceType]; twice {
			return nil, refuse("InvalidParameterValue", "Duplicate resource type '%s' found in TagSpecifications.", spec.ResourceType)
		}
		if len(spec.Tags) == 0 {
			return nil, refuse("InvalidParameterValue", "Tag specification must have at least one tag")
		}
		tags, err := checkedTags(spec.Tags)
		if err != nil {
			return nil, err
		}
		if len(tags) != len(spec.Tags) {
			return nil, refuse("InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		byType[spec.ResourceType] = tags
	}
	return byType, nil
}

// maxTags is the number of tags that a resource can have.
const maxTags = 50

func checkedTags(tags []tag) (map[string]string, error) {
	checked := map[string]string{}
	for _, t := range tags {
		if err := t.check(); err != nil {
			return nil, err
		}
		checked[t.Key] = t.Value
	}
	if len(checked) > maxTags {
		return nil, refuse("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
	}
	return checked, nil
}

func (t tag) check() error {
	switch {
	case t.Key == "":
		return refuse("InvalidParameterValue", "Tag key cannot be null or empty")
	case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
		return refuse("InvalidParameterValue", "Value ( %s ) for parameter key is invalid. Tag keys starting with 'aws:' are reserved for internal use", t.Key)
	case utf8.RuneCountInString(t.Key) > 127+1:
		return refuse("InvalidParameterValue", "Value ( %s ) for parameter key is invalid. Length exceeds maximum of 128.", t.Key)
	case utf8.RuneCountInString(t.Value) > 256:
		return refuse("InvalidParameterValue", "Value ( %s ) for parameter value is invalid. Length exceeds maximum of 256.", t.Value)
	}
	return nil
}

func (p *ec2Place) setTags(id string, tags map[string]string) {
	if len(tags) == 0 {
		return
	}
	if p.tags[id] == nil {
		p.tags[id] = map[string]string{}
	}
	maps.Copy(p.tags[id], tags)
}

// tagSet is a resource's tags as answered, in order of their keys.
func (p *ec2Place) tagSet(id string) set[tag] {
	var all set[tag]
	for _, k := range slices.Sorted(maps.Keys(p.tags[id])) {
		all.Items = append(all.Items, tag{k, p.tags[id][k]})
	}
	return all
}

type createTagsInput struct {
	dryRun
	Resources []string `query:"ResourceId"`
	Tags      []tag    `query:"Tag"`
}

func (s *Server) createTags(c *call, in *createTagsInput) (*done, error) {
	p := c.place()
	tags, err := tagRequest(c, in.Resources, in.Tags)
	if err != nil {
		return nil, err
	}
	for _, id := range in.Resources {
		merged := maps.Clone(p.tags[id])
		if merged == nil {
			merged = map[string]string{}
		}
		maps.Copy(merged, tags)
		if len(merged) > maxTags {
			return nil, refuse("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
		}
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	for _, id := range in.Resources {
		p.setTags(id, tags)
	}
	return succeeded, nil
}

func tagRequest(c *call, resources []string, tags []tag) (map[string]string, error) {
	if len(resources) == 0 {
		return nil, missing("resourceIdSet")
	}
	if len(resources) > 1000 {
		return nil, refuse("InvalidParameterValue", "The number of resources exceeds the maximum of 1000")
	}
	if len(tags) == 0 {
		return nil, missing("tagSet")
	}
	checked, err := checkedTags(tags)
	if err != nil {
		return nil, err
	}
	for _, id := range resources {
		if err := c.findTaggable(id); err != nil {
			return nil, err
		}
	}
	return checked, nil
}

type deleteTagsInput struct {
	dryRun
	Resources []string    `query:"ResourceId"`
	Tags      []deleteTag `query:"Tag"`
}

type deleteTag struct {
	Key   string  `query:"Key"`
	Value *string `query:"Value"`
}

func (s *Server) deleteTags(c *call, in *deleteTagsInput) (*done, error) {
	p := c.place()
	if len(in.Resources) == 0 {
		return nil, missing("resourceIdSet")
	}
	for _, id := range in.Resources {
		if err := c.findTaggable(id); err != nil {
			return nil, err
		}
	}
	for _, t := range in.Tags {
		if err := (tag{Key: t.Key}).check(); err != nil {
			return nil, err
		}
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	for _, id := range in.Resources {
		p.removeTags(id, in.Tags)
	}
	return succeeded, nil
}

// removeTags removes the given keys (where a value is given, only with that value), or all when none is given.
func (p *ec2Place) removeTags(id string, which []deleteTag) {
	if len(which) == 0 {
		delete(p.tags, id)
		return
	}
	for _, t := range which {
		if v, set := p.tags[id][t.Key]; set && (t.Value == nil || *t.Value == v) {
			delete(p.tags[id], t.Key)
		}
	}
}

type describeTagsInput struct {
	dryRun
	page
	Filters []filter `query:"Filter"`
}

type tagDescription struct {
	ResourceID   string `xml:"resourceId"`
	ResourceType string `xml:"resourceType"`
	Key          string `xml:"key"`
	Value        string `xml:"value"`
}

type describeTagsOutput struct {
	Tags      set[tagDescription] `xml:"tagSet"`
	NextToken string              `xml:"nextToken,omitempty"`
}

var tagFilters = filterTable[tagDescription]{
	"key":           one(func(t tagDescription) string { return t.Key }),
	"value":         func(t tagDescription) []string { return []string{t.Value} },
	"resource-id":   one(func(t tagDescription) string { return t.ResourceID }),
	"resource-type": one(func(t tagDescription) string { return t.ResourceType }),
}

func (s *Server) describeTags(c *call, in *describeTagsInput) (*describeTagsOutput, error) {
	p := c.place()
	var all []tagDescription
	for _, id := range slices.Sorted(maps.Keys(p.tags)) {
		for _, t := range p.tagSet(id).Items {
			all = append(all, tagDescription{id, resourceType(id), t.Key, t.Value})
		}
	}
	// Filters by tag name the tag's own key and value here, through the property table.
	filters := slices.Clone(in.Filters)
	for i, f := range filters {
		if key, ok := strings.CutPrefix(f.Name, "tag:"); ok {
			filters[i] = filter{"value", f.Values}
			filters = append(filters, filter{"key", []string{key}})
		}
	}
	all, err := tagFilters.keep(filters, nil, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &describeTagsOutput{setOf(part), next}, err
}

package localaws

import (
	"regexp"
	"slices"
	"strings"
)

func ssmTagOperations() map[string]operation {
	return map[string]operation{
		"AddTagsToResource":      jsonOp(addTagsToResource),
		"ListTagsForResource":    jsonOp(listTagsForResource),
		"RemoveTagsFromResource": jsonOp(removeTagsFromResource),
	}
}

const maxSSMTags = 50

var ssmTagText = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

type ssmResourceIn struct {
	ResourceType string `json:"ResourceType"`
	ResourceID   string `json:"ResourceId"`
}

// tags are the tags of the resource that a call names.
func (in *ssmResourceIn) tags(c *call) (*[]ssmTag, error) {
	switch in.ResourceType {
	case "Parameter":
		if p := c.ssm().parameters[in.ResourceID]; p != nil {
			return &p.tags, nil
		}
	case "Document":
		if d := c.ssm().documents[in.ResourceID]; d != nil {
			return &d.tags, nil
		}
	}
	return nil, refuse("InvalidResourceId", "")
}

type addTagsIn struct {
	ssmResourceIn
	Tags []ssmTag `json:"Tags"`
}

func addTagsToResource(c *call, in *addTagsIn) (*struct{}, error) {
	have, err := in.tags(c)
	if err != nil {
		return nil, err
	}
	merged, err := mergedSSMTags(*have, in.Tags)
	if err != nil {
		return nil, err
	}
	*have = merged
	return &struct{}{}, nil
}

// mergedSSMTags lays tags over those that stand, and refuses what Systems Manager refuses in tags.
func mergedSSMTags(have, add []ssmTag) ([]ssmTag, error) {
	merged := slices.Clone(have)
	seen := map[string]bool{}
	for _, tag := range add {
		switch {
		case strings.HasPrefix(strings.ToLower(tag.Key), "aws:"):
			return nil, refuse("ValidationException", "System tags cannot be added/updated by requester")
		case !ssmTagText.MatchString(tag.Key) || !ssmTagText.MatchString(tag.Value):
			return nil, refuse("ValidationException", "The tag %s has characters that tags can't have.", tag.Key)
		case seen[tag.Key]:
			return nil, refuse("ValidationException", "Duplicate tag keys found: %s.", tag.Key)
		}
		seen[tag.Key] = true
		merged = append(slices.DeleteFunc(merged, func(t ssmTag) bool { return t.Key == tag.Key }), tag)
	}
	if len(merged) > maxSSMTags {
		return nil, refuse("TooManyTagsError", "")
	}
	return merged, nil
}

type tagListOut struct {
	TagList []ssmTag `json:"TagList"`
}

func listTagsForResource(c *call, in *ssmResourceIn) (*tagListOut, error) {
	have, err := in.tags(c)
	if err != nil {
		return nil, err
	}
	return &tagListOut{nonNil(*have)}, nil
}

type removeTagsIn struct {
	ssmResourceIn
	TagKeys []string `json:"TagKeys"`
}

func removeTagsFromResource(c *call, in *removeTagsIn) (*struct{}, error) {
	have, err := in.tags(c)
	if err != nil {
		return nil, err
	}
	*have = slices.DeleteFunc(*have, func(t ssmTag) bool { return slices.Contains(in.TagKeys, t.Key) })
	return &struct{}{}, nil
}

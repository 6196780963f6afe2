package localaws

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	namePattern = regexp.MustCompile(`^[\w+=,.@-]+$`)
	pathPattern = regexp.MustCompile(`^(/|/[!-~]+/)$`)
	tagPattern  = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
)

// checkName refuses a name that IAM refuses; parameter is in its case.
func (c *call) checkName(parameter, name string, limit int) error {
	if len(name) > limit {
		return c.unfit("Value '%s' at '%s' failed to satisfy constraint: Member must have length less than or equal to %d", name, parameter, limit)
	}
	if name == "" {
		return c.unfit("Value '' at '%s' failed to satisfy constraint: Member must have length greater than or equal to 1", parameter)
	}
	if !namePattern.MatchString(name) {
		return refuse("ValidationError", "The specified value for %s is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-", parameter)
	}
	return nil
}

// checkNamed checks a name and a path, and answers the path or its default.
func (c *call) checkNamed(parameter, name string, limit int, path string) (string, error) {
	if err := c.checkName(parameter, name, limit); err != nil {
		return "", err
	}
	if path == "" {
		return "/", nil
	}
	if len(path) > 512 || !pathPattern.MatchString(path) {
		return "", refuse("ValidationError", "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.")
	}
	return path, nil
}

// iamTags are the tags of one IAM resource in the order they were set.
type iamTags []iamTag

type iamTag struct {
	Key   string `query:"Key,required"`
	Value string `query:"Value"`
}

const maxIAMTags = 50

// checkTags adds tags to those that stand; keys are alike whatever their case.
func (c *call) checkTags(have iamTags, add []iamTag) (iamTags, error) {
	tags := slices.Clone(have)
	seen := map[string]bool{}
	for _, tag := range add {
		key := strings.ToLower(tag.Key)
		if seen[key] {
			return nil, refuse("InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[key] = true
		if err := c.checkTag(tag); err != nil {
			return nil, err
		}
		tags = append(slices.DeleteFunc(tags, func(t iamTag) bool { return strings.EqualFold(t.Key, tag.Key) }), tag)
	}
	if len(tags) > maxIAMTags {
		return nil, conflict("LimitExceeded", "The number of tags has reached the maximum limit.")
	}
	return tags, nil
}

func (c *call) checkTag(tag iamTag) error {
	switch {
	case tag.Key == "" || len(tag.Key) > 128:
		return c.unfit("Value '%s' at 'tags.1.member.key' failed to satisfy constraint: Member must have length between 1 and 128", tag.Key)
	case len(tag.Value) > 256:
		return c.unfit("Value '%s' at 'tags.1.member.value' failed to satisfy constraint: Member must have length less than or equal to 256", tag.Value)
	case !tagPattern.MatchString(tag.Key) || !tagPattern.MatchString(tag.Value):
		return c.unfit(`Value at 'tags.1.member' failed to satisfy constraint: Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+`)
	case strings.HasPrefix(strings.ToLower(tag.Key), "aws:"):
		return refuse("InvalidInput", "Tag keys starting with 'aws:' are reserved for system use.")
	}
	return nil
}

// iamPage and iamMore are the paging that all of IAM's lists share.
type iamPage struct {
	MaxItems *int64 `query:"MaxItems"`
	Marker   string `query:"Marker"`
}

type iamMore struct {
	IsTruncated bool
	Marker      string `xml:",omitempty"`
}

func iamPaginate[T any](c *call, items []T, page iamPage) ([]T, iamMore, error) {
	limit := int64(100)
	if page.MaxItems != nil {
		limit = *page.MaxItems
		if limit < 1 || limit > 1000 {
			return nil, iamMore{}, c.unfit("Value '%d' at 'maxItems' failed to satisfy constraint: Member must be between 1 and 1000", limit)
		}
	}
	from, ok := readMarker(page.Marker)
	if !ok || from > len(items) {
		return nil, iamMore{}, refuse("ValidationError", "Invalid Marker: %s", page.Marker)
	}
	to := min(from+int(limit), len(items))
	more := iamMore{IsTruncated: to < len(items)}
	if more.IsTruncated {
		more.Marker = writeMarker(to)
	}
	return items[from:to], more, nil
}

// A marker is an offset that clients can't read.
func writeMarker(offset int) string {
	return base64.StdEncoding.EncodeToString([]byte("offset:" + strconv.Itoa(offset)))
}

func readMarker(marker string) (offset int, ok bool) {
	if marker == "" {
		return 0, true
	}
	text, err := base64.StdEncoding.DecodeString(marker)
	if err != nil {
		return 0, false
	}
	digits, ok := strings.CutPrefix(string(text), "offset:")
	if !ok {
		return 0, false
	}
	offset, err = strconv.Atoi(digits)
	return offset, err == nil && offset >= 0
}

// paginate cuts one page out of items for EC2 and SSM: from token on, at most
// maxResults of them, which must lie between lo and hi; without maxResults all.
func paginate[T any](c *call, items []T, maxResults *int64, token *string, lo, hi int64) (page []T, next *string, err error) {
	from, to := 0, len(items)
	if token != nil {
		var ok bool
		if from, ok = readMarker(*token); !ok || from > len(items) {
			return nil, nil, c.badToken(*token)
		}
	}
	if maxResults != nil {
		if *maxResults < lo || *maxResults > hi {
			return nil, nil, c.badMaxResults(*maxResults, lo, hi)
		}
		to = min(from+int(*maxResults), to)
	}
	if to < len(items) {
		marker := writeMarker(to)
		next = &marker
	}
	return items[from:to], next, nil
}

func (c *call) badToken(token string) error {
	if c.service == "ec2" {
		return refuse("InvalidPaginationToken", "The pagination token '%s' is invalid", token)
	}
	if c.service == "kms" {
		return refuse("InvalidMarkerException", "The marker is not valid.")
	}
	return refuse("InvalidNextToken", "The specified token is not valid.")
}

func (c *call) badMaxResults(n, lo, hi int64) error {
	if c.service == "ec2" {
		return refuse("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value between %d and %d.", n, lo, hi)
	}
	return c.unfit("Value '%d' at 'maxResults' failed to satisfy constraint: Member must be between %d and %d", n, lo, hi)
}

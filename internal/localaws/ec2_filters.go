package localaws

import (
	"errors"
	"slices"
	"strings"
)

// A filter is one condition of a Describe call: the named property has one of the values.
type filter struct {
	Name   string   `query:"Name"`
	Values []string `query:"Value"`
}

// A filterTable names the properties that a kind of resource can be filtered
// by. A property may have several values (a reservation's groups).
type filterTable[T any] map[string]func(T) []string

// one makes a property of a function with a single value; an empty one is no value.
func one[T any](f func(T) string) func(T) []string {
	return func(t T) []string {
		if v := f(t); v != "" {
			return []string{v}
		}
		return nil
	}
}

func boolWord(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// keep returns those of all that every filter lets through. tags gives a resource's tags; nil when the kind has none.
func (table filterTable[T]) keep(filters []filter, tags func(T) map[string]string, all []T) ([]T, error) {
	if err := table.check(filters, tags != nil); err != nil {
		return nil, err
	}
	kept := make([]T, 0, len(all))
	for _, t := range all {
		if table.passes(filters, tags, t) {
			kept = append(kept, t)
		}
	}
	return kept, nil
}

func (table filterTable[T]) check(filters []filter, tagged bool) error {
	for _, f := range filters {
		name := f.Name
		if name == "" {
			return refuse("InvalidParameterValue", "The filter 'null' is invalid")
		}
		isTag := tagged && (strings.HasPrefix(name, "tag:") || name == "tag-key" || name == "tag-value")
		if _, known := table[name]; !known && !isTag {
			return unknownFilter(name)
		}
		if len(f.Values) > 200 {
			return refuse("FilterLimitExceeded", "The maximum number of filter values specified on a single call is 200")
		}
		if len(f.Values) == 0 {
			return missing("filter value")
		}
	}
	return nil
}

func unknownFilter(name string) *apiError {
	refusal := refuse("InvalidParameterValue", "The filter '%s' is invalid", name)
	refusal.filter = name
	return refusal
}

// orNotHere is an operation's refusal, in other words if it is of a filter that
// AWS has and this server has not.
func (c *call) orNotHere(err error) error {
	var refusal *apiError
	if !errors.As(err, &refusal) || refusal.filter == "" || c.service != "ec2" {
		return err
	}
	if _, has := slices.BinarySearch(models()["ec2"].Filters[c.action], refusal.filter); has {
		return notHere("the filter %s of ec2:%s", refusal.filter, c.action)
	}
	return err
}

func (table filterTable[T]) passes(filters []filter, tags func(T) map[string]string, t T) bool {
	for _, f := range filters {
		var have []string
		if property, known := table[f.Name]; known {
			have = property(t)
		} else {
			have = tagProperty(f.Name, tags(t))
		}
		if !anyMatches(f.Values, have) {
			return false
		}
	}
	return true
}

// tagProperty is what tags have for a filter tag:KEY, tag-key or tag-value.
func tagProperty(name string, tags map[string]string) []string {
	if key, ok := strings.CutPrefix(name, "tag:"); ok {
		if v, set := tags[key]; set {
			return []string{v}
		}
		return nil
	}
	var all []string
	for k, v := range tags {
		if name == "tag-key" {
			all = append(all, k)
		} else {
			all = append(all, v)
		}
	}
	return all
}

func anyMatches(patterns, values []string) bool {
	return slices.ContainsFunc(values, func(v string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { return wildcard(p, v) })
	})
}

// wildcard matches as EC2's filters do: * is any run of characters, ? any one,
// a backslash takes the meaning from the next; upper and lower case differ.
func wildcard(pattern, s string) bool {
	for len(pattern) > 0 {
		switch pattern[0] {
		case '*':
			pattern = strings.TrimLeft(pattern, "*")
			for i := 0; i <= len(s); i++ {
				if wildcard(pattern, s[i:]) {
					return true
				}
			}
			return false
		case '?':
			if s == "" {
				return false
			}
		default:
			if pattern[0] == '\\' && len(pattern) > 1 {
				pattern = pattern[1:]
			}
			if s == "" || s[0] != pattern[0] {
				return false
			}
		}
		pattern, s = pattern[1:], s[1:]
	}
	return s == ""
}

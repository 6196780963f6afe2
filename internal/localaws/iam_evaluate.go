package localaws

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A question is what a policy is asked: may this action happen on this
// resource, given these context keys?
type question struct {
	action   string
	resource string
	context  map[string][]string // keys in lower case
}

// A verdict is what one policy, or a set of them, says.
type verdict int

const (
	silent  verdict = iota // nothing applies
	allowed                // a statement allows it and none denies it
	denied                 // a statement denies it
)

// evaluate is the verdict of a set of policies: a denial wins.
func evaluate(q question, docs []*policyDocument) verdict {
	result := silent
	for _, doc := range docs {
		switch doc.evaluate(q) {
		case denied:
			return denied
		case allowed:
			result = allowed
		case silent:
		}
	}
	return result
}

func (doc *policyDocument) evaluate(q question) verdict {
	result := silent
	for i := range doc.Statement {
		st := &doc.Statement[i]
		if !st.applies(q) {
			continue
		}
		if st.Effect == "Deny" {
			return denied
		}
		result = allowed
	}
	return result
}

// applies says whether the statement speaks about the question. Principals are
// not looked at: trusts does that.
func (st *statement) applies(q question) bool {
	if len(st.Action) > 0 && !matchesAny(st.Action, q.action, strings.ToLower) {
		return false
	}
	if len(st.NotAction) > 0 && matchesAny(st.NotAction, q.action, strings.ToLower) {
		return false
	}
	if len(st.Resource) > 0 && !q.matchesResource(st.Resource) {
		return false
	}
	if len(st.NotResource) > 0 && q.matchesResource(st.NotResource) {
		return false
	}
	return q.meets(st.Condition)
}

func (q question) matchesResource(patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		return matches(q.expand(pattern), q.resource)
	})
}

func matchesAny(patterns []string, text string, fold func(string) string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(fold(pattern), fold(text)) })
}

var variablePattern = regexp.MustCompile(`\$\{([^}]+)\}`)

// expand puts values in place of policy variables: ${aws:userid}. A variable
// without a value leaves a pattern that nothing matches.
func (q question) expand(pattern string) string {
	return variablePattern.ReplaceAllStringFunc(pattern, func(variable string) string {
		name, fallback, _ := strings.Cut(variable[2:len(variable)-1], ",")
		switch name {
		case "*", "?", "$":
			return name
		}
		if values := q.context[strings.ToLower(name)]; len(values) > 0 {
			return values[0]
		}
		if fallback = strings.Trim(fallback, " '"); fallback != "" {
			return fallback
		}
		return variable
	})
}

var patterns sync.Map // from pattern to *regexp.Regexp

// matches compares with * for any run of characters and ? for any one.
func matches(pattern, text string) bool {
	if pattern == "*" || pattern == text {
		return true
	}
	if !strings.ContainsAny(pattern, "*?") {
		return false
	}
	compiled, ok := patterns.Load(pattern)
	if !ok {
		quoted := regexp.QuoteMeta(pattern)
		quoted = strings.ReplaceAll(strings.ReplaceAll(quoted, `\*`, `.*`), `\?`, `.`)
		compiled, _ = patterns.LoadOrStore(pattern, regexp.MustCompile(`(?s)^`+quoted+`$`))
	}
	re, ok := compiled.(*regexp.Regexp)
	return ok && re.MatchString(text)
}

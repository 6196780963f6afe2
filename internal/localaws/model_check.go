package localaws

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// A violation is one constraint of the model that a request does not satisfy.
type violation struct {
	value string // quoted, with its space; empty for a secret
	path  string
	rule  string
}

func (v violation) String() string {
	return "Value " + v.value + "at '" + v.path + "' failed to satisfy constraint: " + v.rule
}

// A modelChecker holds a request against the model, as IAM, STS, SSM and KMS do
// before they look at what it means: all violations are told at once.
type modelChecker struct {
	model *serviceModel
	found []violation

	unknown, unknownName string // a member that the model does not have: where it is, and its name
}

// checkModel refuses a request that the service's model does not allow. sent is
// the request as maps, lists and scalars.
func (c *call) checkModel(sent map[string]any) error {
	m := models()[c.service]
	shape := m.input(c.action)
	if shape == nil {
		return nil
	}
	if c.service == "ec2" {
		return c.checkEC2Model(sent, shape)
	}
	check := &modelChecker{model: m}
	check.structure("", sent, shape)
	if check.unknown != "" {
		return c.unknownParameter(check.unknown, memberPath(check.unknown, check.unknownName))
	}
	if len(check.found) == 0 {
		return nil
	}
	if c.service == "iam" {
		if refusal := misnamed(check.found); refusal != nil {
			return refusal
		}
	}
	return c.unfitAll(check.found)
}

const patternRule = "Member must satisfy regular expression pattern: "

// iamPatterns are the patterns whose refusals IAM puts into plain words.
var iamPatterns = map[string]string{
	`[\w+=,.@-]+`: "It must contain only alphanumeric characters and/or the following: +=,.@_-",
	`(\u002F)|(\u002F[\u0021-\u007E]+\u002F)`: "It must begin and end with / and contain only alphanumeric characters and/or / characters.",
	`((/[A-Za-z0-9\.,\+@=_-]+)*)/`:            "It must begin and end with / and contain only alphanumeric characters and/or / characters.",
	`\u002F[\u0021-\u007F]*`:                  "It must begin with / and contain only alphanumeric characters and/or / characters.",
}

// misnamed is IAM's refusal of a name or a path; nil when those are as they should be.
func misnamed(found []violation) *apiError {
	for _, v := range found {
		pattern, _ := strings.CutPrefix(v.rule, patternRule)
		if words := iamPatterns[pattern]; words != "" && !strings.Contains(v.path, ".") {
			return refuse("ValidationError", "The specified value for %s is invalid. %s", v.path, words)
		}
	}
	return nil
}

// described says whether the model has the call's action.
func (c *call) described() bool { return models()[c.service].input(c.action) != nil }

// unfitAll words violations as the services that share this check do.
func (c *call) unfitAll(found []violation) *apiError {
	code := "ValidationException"
	if c.service == "iam" || c.service == "sts" {
		code = "ValidationError"
	}
	words := make([]string, len(found))
	for i, v := range found {
		words[i] = v.String()
	}
	plural := "s"
	if len(found) == 1 {
		plural = ""
	}
	return refuse(code, "%d validation error%s detected: %s", len(found), plural, strings.Join(words, "; "))
}

func (k *modelChecker) shape(name string) *modelShape { return k.model.Shapes[name] }

func (k *modelChecker) structure(path string, sent map[string]any, shape *modelShape) {
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		if _, known := shape.Members[name]; !known && k.unknown == "" {
			k.unknown, k.unknownName = join(path, name), name
		}
	}
	for _, name := range slices.Sorted(maps.Keys(shape.Members)) {
		at := lowerFirst(name)
		if path != "" {
			at = path + "." + at
		}
		value, given := sent[name]
		if !given || value == nil {
			if slices.Contains(shape.Required, name) {
				k.found = append(k.found, violation{"null ", at, "Member must not be null"})
			}
			continue
		}
		k.value(at, value, k.shape(shape.Members[name]))
	}
}

func (k *modelChecker) value(path string, sent any, shape *modelShape) {
	switch value := sent.(type) {
	case map[string]any:
		switch shape.Type {
		case "structure":
			k.structure(path, value, shape)
		case "map":
			k.mapping(path, value, shape)
		}
	case []any:
		if shape.Type == "list" {
			k.list(path, value, shape)
		}
	default:
		for _, rule := range shape.broken(value) {
			k.found = append(k.found, violation{shape.quote(value), path, rule})
		}
	}
}

func (k *modelChecker) list(path string, sent []any, shape *modelShape) {
	of := k.shape(shape.Of)
	for _, rule := range shape.brokenLength(len(sent)) {
		k.found = append(k.found, violation{of.quoteAll(sent), path, rule})
	}
	for i, item := range sent {
		switch item.(type) {
		case map[string]any, []any:
			k.value(fmt.Sprintf("%s.%d.member", path, i+1), item, of)
			continue
		}
		if len(of.broken(item)) > 0 {
			k.found = append(k.found, violation{of.quoteAll(sent), path, "Member must satisfy constraint: [" + strings.Join(of.rules(), ", ") + "]"})
			return
		}
	}
}

func (k *modelChecker) mapping(path string, sent map[string]any, shape *modelShape) {
	key, of := k.shape(shape.Key), k.shape(shape.Of)
	for _, rule := range shape.brokenLength(len(sent)) {
		k.found = append(k.found, violation{"", path, rule})
	}
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		if len(key.broken(name)) > 0 {
			k.found = append(k.found, violation{"", path, "Map keys must satisfy constraint: [" + strings.Join(key.rules(), ", ") + "]"})
		}
		switch item := sent[name].(type) {
		case map[string]any, []any:
			k.value(path+"."+name+".member", item, of)
		default:
			if len(of.broken(item)) > 0 {
				k.found = append(k.found, violation{"", path, "Map value must satisfy constraint: [" + strings.Join(of.rules(), ", ") + "]"})
			}
		}
	}
}

// quote is a value in an error; secrets are left out.
func (shape *modelShape) quote(value any) string {
	if shape.Sensitive || shape.Type == "blob" {
		return ""
	}
	if n, isNumber := value.(float64); isNumber {
		value = strconv.FormatFloat(n, 'f', -1, 64)
	}
	return fmt.Sprintf("'%v' ", value)
}

func (shape *modelShape) quoteAll(values []any) string {
	if shape.Sensitive || shape.Type == "structure" {
		return ""
	}
	words := make([]string, len(values))
	for i, value := range values {
		words[i] = fmt.Sprint(value)
	}
	return "'[" + strings.Join(words, ", ") + "]' "
}

// broken are the constraints that a scalar does not satisfy. One of another type satisfies them: the decoder refuses it.
func (shape *modelShape) broken(value any) []string {
	switch shape.Type {
	case "string":
		if text, ok := value.(string); ok {
			return shape.brokenText(text)
		}
	case "blob":
		if text, ok := value.(string); ok {
			if bytes, err := base64.StdEncoding.DecodeString(text); err == nil {
				return shape.brokenLength(len(bytes))
			}
		}
	case "integer", "long", "float", "double":
		if n, ok := numberOf(value); ok {
			return shape.brokenNumber(n)
		}
	}
	return nil
}

func (shape *modelShape) brokenText(text string) []string {
	var broken []string
	if len(shape.Enum) > 0 && !slices.Contains(shape.Enum, text) {
		broken = append(broken, shape.enumRule())
	}
	broken = append(broken, shape.brokenLength(utf8.RuneCountInString(text))...)
	if shape.Pattern != "" && !fits(shape.Pattern, text) {
		broken = append(broken, patternRule+shape.Pattern)
	}
	return broken
}

func (shape *modelShape) brokenLength(n int) []string {
	switch {
	case shape.Max != nil && n > int(*shape.Max):
		return []string{shape.bound("length", "less", *shape.Max)}
	case shape.Min != nil && n < int(*shape.Min):
		return []string{shape.bound("length", "greater", *shape.Min)}
	}
	return nil
}

func (shape *modelShape) brokenNumber(n float64) []string {
	switch {
	case shape.Max != nil && n > *shape.Max:
		return []string{shape.bound("value", "less", *shape.Max)}
	case shape.Min != nil && n < *shape.Min:
		return []string{shape.bound("value", "greater", *shape.Min)}
	}
	return nil
}

// rules are all constraints of a list's element, as they are told when one is broken.
func (shape *modelShape) rules() []string {
	what := "length"
	if shape.Type != "string" {
		what = "value"
	}
	var all []string
	if shape.Max != nil {
		all = append(all, shape.bound(what, "less", *shape.Max))
	}
	if shape.Min != nil {
		all = append(all, shape.bound(what, "greater", *shape.Min))
	}
	if shape.Pattern != "" {
		all = append(all, patternRule+shape.Pattern)
	}
	if len(shape.Enum) > 0 {
		all = append(all, shape.enumRule())
	}
	return append(all, "Member must not be null")
}

func (*modelShape) bound(what, than string, n float64) string {
	return fmt.Sprintf("Member must have %s %s than or equal to %s", what, than, strconv.FormatFloat(n, 'f', -1, 64))
}

func (shape *modelShape) enumRule() string {
	return "Member must satisfy enum value set: [" + strings.Join(shape.Enum, ", ") + "]"
}

// numberOf reads a number of JSON or of a form.
func numberOf(value any) (float64, bool) {
	switch v := value.(type) {
	case float64:
		return v, true
	case json.Number:
		n, err := v.Float64()
		return n, err == nil
	case string:
		n, err := strconv.ParseFloat(v, 64)
		return n, err == nil
	}
	return 0, false
}

var (
	wholePatterns sync.Map // of *regexp.Regexp, nil where Go can't have the pattern, by pattern
	javaEscape    = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)
)

// fits says whether all of a text matches a pattern of Java's. One that Go
// can't have, because it looks ahead or repeats too often, fits everything.
func fits(pattern, text string) bool {
	known, ok := wholePatterns.Load(pattern)
	if !ok {
		re, err := regexp.Compile(`^(?:` + javaEscape.ReplaceAllString(pattern, `\x{$1}`) + `)$`)
		if err != nil {
			re = nil
		}
		known, _ = wholePatterns.LoadOrStore(pattern, re)
	}
	re, ok := known.(*regexp.Regexp)
	return !ok || re == nil || re.MatchString(text)
}

package localaws

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A formTree reads a form by the model: structures, lists and scalars as they
// would be in JSON.
type formTree struct {
	model  *serviceModel
	form   url.Values
	member string          // what stands between a list's name and an element's number
	names  map[string]bool // of the form's parameters, and of what they are in
}

func (c *call) formTree() *formTree {
	t := &formTree{model: models()[c.service], form: c.form, names: map[string]bool{}}
	for key := range c.form {
		t.names[key] = true
		for end := strings.LastIndexByte(key, '.'); end >= 0 && !t.names[key[:end]]; end = strings.LastIndexByte(key[:end], '.') {
			t.names[key[:end]] = true
		}
	}
	if c.service != "ec2" {
		t.member = "member."
	}
	return t
}

func (t *formTree) structure(prefix string, shape *modelShape) map[string]any {
	read := map[string]any{}
	for name, member := range shape.Members {
		if value := t.value(prefix+name, t.model.Shapes[member]); value != nil {
			read[name] = value
		}
	}
	return read
}

// value is what the form has under a name; nil when there is nothing.
func (t *formTree) value(name string, shape *modelShape) any {
	if !t.names[name] {
		return nil
	}
	switch shape.Type {
	case "structure":
		return t.structure(name+".", shape)
	case "list":
		return t.list(name+"."+t.member, t.model.Shapes[shape.Of])
	case "map":
		return nil // none of the served operations has one
	}
	if !t.form.Has(name) {
		return nil
	}
	return t.form.Get(name)
}

func (t *formTree) list(prefix string, of *modelShape) []any {
	items := []any{}
	for _, n := range t.numbers(prefix) {
		if value := t.value(prefix+strconv.Itoa(n), of); value != nil {
			items = append(items, value)
		}
	}
	return items
}

// numbers are those that follow prefix in the form, in order.
func (t *formTree) numbers(prefix string) []int {
	var found []int
	for key := range t.form {
		if rest, ok := strings.CutPrefix(key, prefix); ok {
			digits, _, _ := strings.Cut(rest, ".")
			if n, err := strconv.Atoi(digits); err == nil {
				found = append(found, n)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// knows says whether the model has a parameter, by its full name in a form or
// its path in JSON (a[0].b, where lists and maps are entered by any key).
func (m *serviceModel) knows(shape *modelShape, path []string) bool {
	switch {
	case shape == nil:
		return false
	case len(path) == 0, shape.Type == "document":
		return true
	case shape.Type == "structure":
		return m.knows(m.Shapes[shape.Members[path[0]]], path[1:])
	case shape.Type == "list" && path[0] == "member":
		return m.knows(shape, path[1:])
	case shape.Type == "list" || shape.Type == "map":
		return m.knows(m.Shapes[shape.Of], path[1:])
	}
	return false
}

// unknownParameter refuses what no field of the operation takes. EC2 refuses
// what it does not know either; the other services pass over it, which would
// hide a mistake here.
func (c *call) unknownParameter(name string, path []string) *apiError {
	m := models()[c.service]
	switch {
	case m.knows(m.input(c.action), path):
		return notHere("the parameter %s of %s:%s", name, c.service, c.action)
	case c.service == "ec2":
		return refuse("UnknownParameter", "The parameter %s is not recognized", name)
	}
	return notHere("a parameter %s of %s:%s; as far as it knows AWS has none either, and would ignore it", name, c.service, c.action)
}

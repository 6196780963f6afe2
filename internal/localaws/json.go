package localaws

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// decodeJSON fills in, a pointer to a struct with json tags, from the call's
// body. Members are matched by their exact names; one that in does not declare
// is refused. A field tagged `required:"true"` must be there.
func decodeJSON(c *call, in any) error {
	body := c.body
	if len(bytes.TrimSpace(body)) == 0 {
		body = json.RawMessage("{}")
	}
	var sent any
	if err := json.Unmarshal(body, &sent); err != nil {
		return refuse("SerializationException", "The request is not valid JSON: %v", err)
	}
	if err := checkMembers(c, "", sent, reflect.TypeOf(in).Elem()); err != nil {
		return err
	}
	if err := json.Unmarshal(body, in); err != nil {
		return refuse("SerializationException", "%s", serializationProblem(err))
	}
	members, _ := sent.(map[string]any)
	return c.checkModel(members)
}

// serializationProblem words a type mismatch without repeating the value,
// which may be a secret.
func serializationProblem(err error) string {
	var t *json.UnmarshalTypeError
	if !errors.As(err, &t) {
		return "The request does not have the shape of its operation"
	}
	sent, _, _ := strings.Cut(t.Value, " ") // "number 7" is a number
	switch sent {
	case "object":
		return "Start of structure or map found where not expected."
	case "array":
		return "Start of list found where not expected"
	}
	class := map[string]string{"string": "String", "number": "Number", "bool": "Boolean"}[sent]
	switch t.Type.Kind() {
	case reflect.Slice, reflect.Map, reflect.Struct:
		return "Unrecognized collection type class java.lang." + class
	case reflect.String:
		return strings.ToUpper(sent) + "_VALUE can not be converted to a String"
	case reflect.Bool:
		return strings.ToUpper(sent) + "_VALUE can not be converted to a Boolean"
	default:
		return strings.ToUpper(sent) + "_VALUE can not be converted to a Number"
	}
}

// checkMembers refuses members that t does not declare and misses those that
// t requires, at any depth.
func checkMembers(c *call, path string, sent any, t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch value := sent.(type) {
	case map[string]any:
		if t.Kind() == reflect.Map {
			return checkMapValues(c, path, value, t.Elem())
		}
		if t.Kind() == reflect.Struct {
			return checkStructMembers(c, path, value, t)
		}
	case []any:
		if t.Kind() != reflect.Slice {
			return nil // json.Unmarshal refuses it
		}
		for i, item := range value {
			if err := checkMembers(c, fmt.Sprintf("%s[%d]", path, i), item, t.Elem()); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkMapValues(c *call, path string, sent map[string]any, t reflect.Type) error {
	for key, item := range sent {
		if err := checkMembers(c, join(path, key), item, t); err != nil {
			return err
		}
	}
	return nil
}

func checkStructMembers(c *call, path string, sent map[string]any, t reflect.Type) error {
	known := map[string]reflect.StructField{}
	for _, field := range reflect.VisibleFields(t) {
		if name := memberName(field); name != "" {
			known[name] = field
		}
	}
	if len(known) == 0 {
		if t == timeType || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
			return nil // it reads itself
		}
	}
	for name, item := range sent {
		field, ok := known[name]
		if !ok {
			at := join(path, name)
			return c.unknownParameter(at, memberPath(at, name))
		}
		if err := checkMembers(c, join(path, name), item, field.Type); err != nil {
			return err
		}
	}
	for name, field := range known {
		if field.Tag.Get("required") == "true" && sent[name] == nil && !c.described() {
			return c.missing(join(path, name))
		}
	}
	return nil
}

// memberName is a field's name on the wire; empty when it has none.
func memberName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	switch {
	case !field.IsExported() || field.Anonymous || name == "-":
		return ""
	case name == "":
		return field.Name
	}
	return name
}

// memberPath is the way to a member as the model has it: a[0].b is A, 0, B. The
// last name is the member's own, upper and lower case as they were sent.
func memberPath(at, name string) []string {
	var path []string
	for _, part := range strings.FieldsFunc(at, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		path = append(path, upperFirst(part))
	}
	path[len(path)-1] = name
	return path
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + lowerFirst(name)
}

// epochSeconds is a time as the JSON protocol has it: seconds since 1970 with
// milliseconds as a fraction. The zero time is null.
type epochSeconds time.Time

// MarshalJSON writes the seconds.
func (t epochSeconds) MarshalJSON() ([]byte, error) {
	when := time.Time(t)
	if when.IsZero() {
		return []byte("null"), nil
	}
	ms := when.UnixMilli()
	return fmt.Appendf(nil, "%d.%03d", ms/1000, ms%1000), nil
}

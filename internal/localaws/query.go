package localaws

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decodeQuery fills in, a pointer to a struct with query tags, from the call's
// form. Every parameter must belong to a field, every field marked required
// (`query:"RoleName,required"`) must be there. Fields of embedded structs
// count as the outer struct's own; fields without a tag are left alone.
func decodeQuery(c *call, in any) error {
	d := &queryDecoder{call: c, left: map[string]string{}}
	for key, values := range c.form {
		if key == "Action" || key == "Version" {
			continue
		}
		if len(values) > 1 {
			return refuse("MalformedQueryString", "The query string contains the parameter %s more than once", key)
		}
		if path := strings.Split(key, "."); c.described() && !models()[c.service].knows(models()[c.service].input(c.action), path) {
			return c.unknownParameter(key, path)
		}
		d.left[key] = values[0]
	}
	if err := d.fields("", reflect.ValueOf(in).Elem()); err != nil {
		return err
	}
	if len(d.left) > 0 {
		name := firstKey(d.left)
		return c.unknownParameter(name, strings.Split(name, "."))
	}
	if shape := models()[c.service].input(c.action); shape != nil {
		return c.checkModel(c.formTree().structure("", shape))
	}
	return nil
}

func firstKey(m map[string]string) string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	return slices.Min(keys)
}

// A queryDecoder holds the parameters that no field has taken yet.
type queryDecoder struct {
	call *call
	left map[string]string
}

var timeType = reflect.TypeFor[time.Time]()

// fields fills a struct whose parameters' names begin with prefix.
func (d *queryDecoder) fields(prefix string, v reflect.Value) error {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		tag, tagged := field.Tag.Lookup("query")
		if field.Anonymous && !tagged && field.Type.Kind() == reflect.Struct {
			if err := d.fields(prefix, v.Field(i)); err != nil {
				return err
			}
			continue
		}
		name, option, _ := strings.Cut(tag, ",")
		if !tagged || name == "-" {
			continue
		}
		if !d.any(prefix + name) {
			if option == "required" && (d.call.service == "ec2" || !d.call.described()) {
				return d.call.missing(prefix + name)
			}
			continue
		}
		if err := d.value(prefix+name, v.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

// any says whether a parameter of this name or below it was sent.
func (d *queryDecoder) any(name string) bool {
	if _, ok := d.left[name]; ok {
		return true
	}
	for key := range d.left {
		if strings.HasPrefix(key, name+".") {
			return true
		}
	}
	return false
}

func (d *queryDecoder) value(name string, v reflect.Value) error {
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return d.value(name, v.Elem())
	case v.Kind() == reflect.Slice:
		return d.list(name, v)
	case v.Kind() == reflect.Struct && v.Type() != timeType:
		return d.fields(name+".", v)
	}
	text, ok := d.left[name]
	if !ok {
		return nil // only deeper names were sent: they stay, and are refused
	}
	delete(d.left, name)
	if err := setScalar(v, text); err != nil {
		return d.call.invalid(name, text, err.Error())
	}
	return nil
}

// list fills a slice from name.1, name.2 (EC2) or name.member.1 (IAM, STS).
// An empty list may be sent as its bare name.
func (d *queryDecoder) list(name string, v reflect.Value) error {
	if text, ok := d.left[name]; ok {
		if text != "" {
			return d.call.invalid(name, text, "a list is expected")
		}
		delete(d.left, name)
	}
	prefix := name + "."
	if d.call.service != "ec2" {
		prefix += "member."
	}
	for _, index := range d.indexes(prefix) {
		item := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(prefix+strconv.Itoa(index), item); err != nil {
			return err
		}
		v.Set(reflect.Append(v, item))
	}
	return nil
}

// indexes are the numbers that follow prefix, in order.
func (d *queryDecoder) indexes(prefix string) []int {
	var found []int
	for key := range d.left {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		digits, _, _ := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(digits); err == nil && n > 0 && digits[0] != '0' {
			found = append(found, n)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// A typeProblem says what a scalar should have been.
type typeProblem string

func (p typeProblem) Error() string { return string(p) }

func setScalar(v reflect.Value, text string) error {
	if v.Type() == timeType {
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return typeProblem("a timestamp is expected")
		}
		v.Set(reflect.ValueOf(t))
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
		return nil
	case reflect.Bool:
		return setBool(v, text)
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return typeProblem("an integer is expected")
		}
		v.SetInt(n)
		return nil
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return typeProblem("a number is expected")
		}
		v.SetFloat(f)
		return nil
	default:
		panic("localaws: query field of type " + v.Type().String())
	}
}

func setBool(v reflect.Value, text string) error {
	switch strings.ToLower(text) {
	case "true":
		v.SetBool(true)
	case "false":
		v.SetBool(false)
	default:
		return typeProblem("true or false is expected")
	}
	return nil
}

// missing refuses a call without a required parameter, in its service's words.
func (c *call) missing(name string) *apiError {
	if c.service == "ec2" {
		return refuse("MissingParameter", "The request must contain the parameter %s", name)
	}
	return c.unfit("Value null at '%s' failed to satisfy constraint: Member must not be null", lowerFirst(name))
}

// invalid refuses a parameter whose text is not of its type.
func (c *call) invalid(name, text, problem string) *apiError {
	if c.service == "ec2" {
		return refuse("InvalidParameterValue", "Value (%s) for parameter %s is invalid. %s",
			text, lowerFirst(name), upperFirst(problem))
	}
	return refuse("MalformedInput", "Value '%s' at '%s' is malformed: %s", text, lowerFirst(name), problem)
}

// unfit is the validation error that IAM, STS, SSM and KMS share.
func (c *call) unfit(format string, args ...any) *apiError {
	code := "ValidationException"
	if c.service == "iam" || c.service == "sts" {
		code = "ValidationError"
	}
	return refuse(code, "1 validation error detected: "+format, args...)
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

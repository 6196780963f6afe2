package localaws

import (
	"bytes"
	"encoding/xml"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Answers in XML are written by this encoder rather than encoding/xml's, since
// AWS writes an empty list as an empty element, which clients turn into an
// empty list and not into a missing one, and times with milliseconds. It reads
// the same tags: `xml:"name"`, `xml:"set>item"`, `,omitempty`; embedded structs
// are inlined; nil pointers and zero times are left out.

const awsTime = "2006-01-02T15:04:05.000Z"

// xmlFields writes the fields of a struct, or of a pointer to one, as elements.
func xmlFields(b *bytes.Buffer, v reflect.Value) {
	v = reflect.Indirect(v)
	if !v.IsValid() {
		return
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		tag, tagged := field.Tag.Lookup("xml")
		if field.Anonymous && !tagged {
			xmlFields(b, v.Field(i))
			continue
		}
		path, option, _ := strings.Cut(tag, ",")
		if !field.IsExported() || path == "-" || field.Name == "XMLName" {
			continue
		}
		if path == "" {
			path = field.Name
		}
		if option == "omitempty" && isEmpty(v.Field(i)) {
			continue
		}
		xmlValue(b, strings.Split(path, ">"), v.Field(i))
	}
}

func isEmpty(v reflect.Value) bool {
	if v.Kind() == reflect.Slice {
		return v.Len() == 0
	}
	return v.IsZero()
}

// xmlValue writes v below the elements of path; a list repeats the last one.
func xmlValue(b *bytes.Buffer, path []string, v reflect.Value) {
	if v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return
		}
		xmlValue(b, path, v.Elem())
		return
	}
	if t, ok := v.Interface().(time.Time); ok && t.IsZero() {
		return
	}
	outer, name := path[:len(path)-1], path[len(path)-1]
	for _, element := range outer {
		b.WriteString("<" + element + ">")
	}
	if v.Kind() == reflect.Slice {
		for i := range v.Len() {
			xmlElement(b, name, reflect.Indirect(v.Index(i)))
		}
	} else {
		xmlElement(b, name, v)
	}
	for i := range outer {
		b.WriteString("</" + outer[len(outer)-1-i] + ">")
	}
}

func xmlElement(b *bytes.Buffer, name string, v reflect.Value) {
	b.WriteString("<" + name + ">")
	if v.Kind() == reflect.Struct && v.Type() != timeType {
		xmlFields(b, v)
	} else {
		_ = xml.EscapeText(b, []byte(xmlText(v))) // a bytes.Buffer takes all
	}
	b.WriteString("</" + name + ">")
}

func xmlText(v reflect.Value) string {
	if t, ok := v.Interface().(time.Time); ok {
		return t.UTC().Format(awsTime)
	}
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'f', -1, 64)
	default:
		panic("localaws: xml value of type " + v.Type().String())
	}
}

package localaws

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var botocoreData = flag.String("botocore", "", "write model.json again from this botocore/data `folder`")

// A botocoreModel is what is read of a service-2.json, AWS's own description of a service.
type botocoreModel struct {
	Operations map[string]struct {
		Input struct {
			Shape string `json:"shape"`
		} `json:"input"`
	} `json:"operations"`
	Shapes map[string]*botocoreShape `json:"shapes"`
}

type botocoreShape struct {
	Type    string                 `json:"type"`
	Members map[string]botocoreRef `json:"members"`
	Member  botocoreRef            `json:"member"`
	Key     botocoreRef            `json:"key"`
	Value   botocoreRef            `json:"value"`

	Required  []string `json:"required"`
	Enum      []string `json:"enum"`
	Min       *float64 `json:"min"`
	Max       *float64 `json:"max"`
	Pattern   string   `json:"pattern"`
	Sensitive bool     `json:"sensitive"`
}

type botocoreRef struct {
	Shape        string `json:"shape"`
	LocationName string `json:"locationName"`
	Doc          string `json:"documentation"`
	QueryName    string `json:"queryName"`
}

// Every operation that is served is in the model; with -botocore the model is made of AWS's descriptions first.
func TestModelHasWhatIsServed(t *testing.T) {
	s := quietServer(t, Options{})
	if *botocoreData != "" {
		made := map[string]*serviceModel{}
		for service, operations := range s.operations {
			made[service] = modelOf(t, service, slices.Collect(maps.Keys(operations)))
		}
		writeModel(t, made)
		return
	}
	for service, operations := range s.operations {
		for action := range operations {
			if models()[service].input(action) == nil {
				t.Errorf("%s:%s is not in model.json; make it again with go test -run TestModelHasWhatIsServed -botocore FOLDER", service, action)
			}
		}
	}
}

func modelOf(t *testing.T, service string, actions []string) *serviceModel {
	t.Helper()
	described := readBotocore(t, service)
	m := &serviceModel{Actions: slices.Sorted(maps.Keys(described.Operations)), Inputs: map[string]string{}, Filters: map[string][]string{}, Shapes: map[string]*modelShape{}}
	for _, action := range actions {
		if name := described.Operations[action].Input.Shape; name != "" {
			m.Inputs[action] = name
			if filters := described.filters(name); len(filters) > 0 {
				m.Filters[action] = filters
			}
			described.copyShape(service, name, m.Shapes)
		} else {
			m.Inputs[action] = "none"
			m.Shapes["none"] = &modelShape{Type: "structure"}
		}
	}
	addNewer(t, service, m)
	return m
}

// A newerModel is what the AWS SDK for Go has and the botocore that the model was made of had not.
type newerModel struct {
	Actions []string                          `json:"actions"`
	Members map[string]map[string]*modelShape `json:"members"` // by shape and name
	Enums   map[string][]string               `json:"enums"`
}

func addNewer(t *testing.T, service string, m *serviceModel) {
	t.Helper()
	text, err := os.ReadFile("testdata/model_newer.json")
	ok(t, err)
	var all map[string]newerModel
	ok(t, json.Unmarshal(text, &all))
	newer := all[service]
	m.Actions = slices.Compact(slices.Sorted(slices.Values(append(m.Actions, newer.Actions...))))
	for name, members := range newer.Members {
		for member, shape := range members {
			if owner := m.Shapes[name]; owner != nil && owner.Members[member] == "" {
				m.Shapes[name+member] = shape
				owner.Members[member] = name + member
			}
		}
	}
	for name, more := range newer.Enums {
		if shape := m.Shapes[name]; shape != nil {
			shape.Enum = slices.Compact(slices.Sorted(slices.Values(append(shape.Enum, more...))))
		}
	}
}

func readBotocore(t *testing.T, service string) *botocoreModel {
	t.Helper()
	versions, err := filepath.Glob(filepath.Join(*botocoreData, service, "*", "service-2.json.gz"))
	ok(t, err)
	if len(versions) == 0 {
		t.Fatalf("%s has no description of %s", *botocoreData, service)
	}
	zipped, err := os.ReadFile(slices.Max(versions))
	ok(t, err)
	z, err := gzip.NewReader(bytes.NewReader(zipped))
	ok(t, err)
	var described botocoreModel
	ok(t, json.NewDecoder(z).Decode(&described))
	return &described
}

func (m *botocoreModel) copyShape(service, name string, to map[string]*modelShape) {
	if to[name] != nil || name == "" {
		return
	}
	from := m.Shapes[name]
	shape := &modelShape{
		Type: from.Type, Enum: from.Enum, Min: from.Min, Max: from.Max, Pattern: from.Pattern, Sensitive: from.Sensitive,
		Of: from.Member.Shape + from.Value.Shape, Key: from.Key.Shape,
	}
	to[name] = shape
	for member, ref := range from.Members {
		wire := ref.onWire(service, member)
		if shape.Members == nil {
			shape.Members = map[string]string{}
		}
		shape.Members[wire] = ref.Shape
		if slices.Contains(from.Required, member) {
			shape.Required = append(shape.Required, wire)
		}
		m.copyShape(service, ref.Shape, to)
	}
	slices.Sort(shape.Required)
	m.copyShape(service, shape.Of, to)
	m.copyShape(service, shape.Key, to)
}

var filterName = regexp.MustCompile(`<code>([a-z][a-z0-9.-]*)</code>\s*[-–:]`)

// filters are the names that the documentation of a request's filters lists.
func (m *botocoreModel) filters(input string) []string {
	var names []string
	for _, found := range filterName.FindAllStringSubmatch(m.Shapes[input].Members["Filters"].Doc+m.Shapes[input].Members["Filter"].Doc, -1) {
		names = append(names, found[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// onWire is a member's name in a request, as each protocol makes it of the description.
func (ref botocoreRef) onWire(service, member string) string {
	switch {
	case service == "ec2" && ref.QueryName != "":
		return ref.QueryName
	case service == "ec2" && ref.LocationName != "":
		return upperFirst(ref.LocationName)
	case ref.LocationName != "":
		return ref.LocationName
	}
	return member
}

// writeModel writes a shape a line, so that a difference can be read.
func writeModel(t *testing.T, made map[string]*serviceModel) {
	t.Helper()
	text, err := json.Marshal(made)
	ok(t, err)
	lines := strings.NewReplacer(`},"`, "},\n\"", `"shapes":{`, "\"shapes\":{\n", `"inputs":{`, "\n\"inputs\":{\n").Replace(string(text))
	ok(t, os.WriteFile("model.json", []byte(lines+"\n"), 0o644))
}

package localaws

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
)

// modelJSON is AWS's own description of the requests of the operations that
// this server has, and the names of all the others: what AWS can be asked,
// beside what can be asked here. model_make_test.go makes it.
//
//go:embed model.json
var modelJSON []byte

// A serviceModel describes the requests of one service.
type serviceModel struct {
	Actions []string               `json:"actions"`           // all that AWS has, in order
	Inputs  map[string]string      `json:"inputs"`            // shape of the request, by action; of the served ones
	Filters map[string][]string    `json:"filters,omitempty"` // names that are documented, by action
	Shapes  map[string]*modelShape `json:"shapes"`
}

// A modelShape is a type of the description, with the constraints that a value has to satisfy.
type modelShape struct {
	Type      string            `json:"t"` // structure, list, map, string, integer, long, boolean, timestamp, blob; document: anything
	Members   map[string]string `json:"m,omitempty"`
	Required  []string          `json:"r,omitempty"`
	Of        string            `json:"of,omitempty"`  // of a list's elements or a map's values
	Key       string            `json:"key,omitempty"` // of a map's keys
	Enum      []string          `json:"e,omitempty"`
	Min       *float64          `json:"min,omitempty"` // of a number, or of a length
	Max       *float64          `json:"max,omitempty"`
	Pattern   string            `json:"p,omitempty"`
	Sensitive bool              `json:"s,omitempty"`
}

var models = sync.OnceValue(func() map[string]*serviceModel {
	var all map[string]*serviceModel
	if err := json.Unmarshal(modelJSON, &all); err != nil {
		panic("localaws: model.json: " + err.Error())
	}
	return all
})

// input is the shape of an action's request; nil when the action is not served.
func (m *serviceModel) input(action string) *modelShape {
	if m == nil {
		return nil
	}
	return m.Shapes[m.Inputs[action]]
}

// has says whether AWS has an action.
func (m *serviceModel) has(action string) bool {
	if m == nil {
		return false
	}
	_, found := slices.BinarySearch(m.Actions, action)
	return found
}

// codeNotHere is the code of what AWS has and this server has not. AWS never
// gives it, and no client takes its status for a reason to try again.
const codeNotHere = "NotInLocalaws"

// notHere refuses what AWS would have answered.
func notHere(format string, args ...any) *apiError {
	refusal := refuse(codeNotHere, "localaws does not have "+format, args...)
	refusal.status = http.StatusNotImplemented
	return refusal
}

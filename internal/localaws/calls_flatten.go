package localaws

import (
	"fmt"
	"strconv"
)

// flatten spreads a JSON value over its scalar members' paths.
func flatten(flat map[string]string, path string, value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, item := range value {
			flatten(flat, dotted(path, name), item)
		}
	case []any:
		for i, item := range value {
			flatten(flat, dotted(path, strconv.Itoa(i)), item)
		}
	case nil:
	default:
		flat[path] = fmt.Sprint(value)
	}
}

func dotted(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func lengthOf(value string) string { return strconv.Itoa(len(value)) + " bytes" }

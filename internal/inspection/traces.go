package inspection

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
)

// A Trace is one thing that a build could leave inside an image, and what was found of it.
type Trace struct {
	Name  string   // "authorized_keys"
	Found []string // none is what an image should have
}

//go:embed traces.sh
var tracesScript string

// Traces looks for what a build could have left in the guest: keys, daemons, users, files in /run and /tmp.
func (g *Guest) Traces(ctx context.Context) ([]Trace, error) {
	out, err := g.Run(ctx, tracesScript)
	if err != nil {
		return nil, err
	}
	traces := parseTraces(out)
	if want := strings.Count(tracesScript, "\nlook '"); len(traces) != want {
		return nil, fmt.Errorf("%d of %d looks answered: %q", len(traces), want, out)
	}
	return traces, nil
}

// parseTraces reads what traces.sh prints: "? name", then "! " before each finding.
func parseTraces(out string) []Trace {
	var traces []Trace
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		if name, is := strings.CutPrefix(line, "? "); is {
			traces = append(traces, Trace{Name: name})
		} else if finding, is := strings.CutPrefix(line, "! "); is && len(traces) > 0 {
			last := &traces[len(traces)-1]
			last.Found = append(last.Found, finding)
		}
	}
	return traces
}

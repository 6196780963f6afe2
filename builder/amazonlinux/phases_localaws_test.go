//go:build linux

package amazonlinux_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// A stretch of time that is, or is said to be, AWS's.
type stretch struct {
	what     string
	from, to time.Time
}

// The table of phases never takes for AWS's time what is the plugin's: each stretch of waiting
// that it counts lies within one in which AWS, by its own record, was at work.
func TestPhasesAreHonest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{Delays: &localaws.Delays{
		IAMPropagation: 4 * time.Second, InstancePending: 4 * time.Second, AgentOnline: 2 * time.Second, Stopping: 4 * time.Second,
		ImagePending: 4 * time.Second, CopyPending: 4 * time.Second, EC2Consistency: 300 * time.Millisecond, APILatency: 20 * time.Millisecond,
	}})
	var mu sync.Mutex
	told := map[time.Time]stretch{} // the longest of those that begin at the same time
	w.observe = func(what string, from, to time.Time) {
		mu.Lock()
		defer mu.Unlock()
		told[from] = stretch{what, from, to}
	}
	r := w.build(t.Context(), w.template(block{"ami_regions": []string{west}}), touch)
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, r.ui)
	}
	atWork := w.atWork()
	var whats []string
	for _, s := range told {
		whats = append(whats, s.what)
		// The record's times have no more than a microsecond's digits, so a millisecond is given.
		within := func(work stretch) bool {
			return !s.from.Before(work.from.Add(-time.Millisecond)) && !s.to.After(work.to.Add(time.Millisecond))
		}
		if s.to.After(s.from) && !slices.ContainsFunc(atWork, within) {
			t.Errorf("%s: %s from %s on is not AWS's; AWS was at work:\n%v", s.what, s.to.Sub(s.from), s.from.Format("05.000"), atWork)
		}
	}
	for _, want := range []string{"instance profile seen", "running", "agent online", "since the launch", "stopped", "available"} {
		if !slices.ContainsFunc(whats, func(what string) bool { return strings.Contains(what, want) }) {
			t.Errorf("no time is counted for %q: %q", want, whats)
		}
	}
}

// atWork are the stretches in which AWS was at something, by its own record.
func (w *world) atWork() []stretch {
	var list []stretch
	began := map[string]localaws.Change{} // by resource
	changes := w.aws.Changes()
	for _, c := range changes {
		switch c.State {
		case "pending", "stopping":
			began[c.Resource] = c
		case "running", "stopped", "available", localaws.AgentConnected:
			if from, ok := began[c.Resource]; ok { // an instance is pending until its agent is there
				list = append(list, stretch{c.Resource + " " + c.State, from.Time, c.Time})
			}
		}
	}
	var made time.Time
	var unseen time.Time
	for _, call := range w.aws.Calls() {
		switch {
		case call.Action == "AddRoleToInstanceProfile":
			made = call.Time
		case call.Action == "RunInstances" && !call.DryRun && call.Code != "":
			unseen = call.Time.Add(call.Elapsed)
		}
	}
	return append(list, stretch{"profile not seen", made, unseen})
}

package amazonlinux

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/middleware"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// phases record what took how long, and how much of that AWS took: its calls,
// and the states that were waited for. The zero value records; a nil one does not.
type phases struct {
	mu    sync.Mutex
	list  []phaseTime // guarded by mu, one after the other
	spans []span      // guarded by mu: AWS's, in any order, overlapping
	calls int         // guarded by mu

	observe func(what string, from, to time.Time) // told of each wait as it grows; may be nil
}

type phaseTime struct {
	name   string
	began  time.Time
	others bool // the time is the provisioners', not the plugin's
}

// A span is a stretch of time.
type span struct{ from, to time.Time }

const (
	phaseProvision = "provision"
	phaseCleanup   = "cleanup"
)

// phaseOf is the phase that a step belongs to.
func phaseOf(step multistep.Step) string {
	switch step.(type) {
	case *stepPlan:
		return "plan"
	case *stepEgressGroup, *stepProfile, *stepInstance:
		return "launch"
	case *stepSession:
		return "connect"
	case *stepProvision:
		return phaseProvision
	case *stepImage:
		return "image"
	case *stepRelease, *stepDistribute:
		return "distribute"
	}
	return ""
}

// begin ends the phase before and begins this one, unless that is under way.
func (p *phases) begin(name string) {
	if p == nil || name == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.list); n > 0 && p.list[n-1].name == name {
		return
	}
	p.list = append(p.list, phaseTime{name, time.Now(), name == phaseProvision})
}

// aws notes time that AWS took.
func (p *phases) aws(from, to time.Time) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// A wait grows look by look: only its longest span is of use.
	if n := len(p.spans); n > 0 && p.spans[n-1].from.Equal(from) {
		p.spans[n-1].to = to
		return
	}
	p.spans = append(p.spans, span{from, to})
}

// waited notes time in which something was not there yet on AWS's side: up to the last
// look that did not find it. What the next look comes too late is not AWS's.
func (p *phases) waited(what string, from, to time.Time) {
	if p == nil {
		return
	}
	p.aws(from, to)
	if p.observe != nil {
		p.observe(what, from, to)
	}
}

type phasesKey struct{}

// with is ctx under which waits are noted.
func (p *phases) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, phasesKey{}, p)
}

func phasesOf(ctx context.Context) *phases {
	p, _ := ctx.Value(phasesKey{}).(*phases)
	return p
}

// watch notes the waits under the context and the calls by the configuration.
func (p *phases) watch(ctx context.Context, cfg aws.Config) (context.Context, aws.Config) {
	note := middleware.InitializeMiddlewareFunc("phases", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		started := time.Now()
		out, meta, err := next.HandleInitialize(ctx, in)
		p.called(started)
		return out, meta, err
	})
	watched := cfg.Copy()
	watched.APIOptions = append(slices.Clone(cfg.APIOptions), func(stack *middleware.Stack) error {
		return stack.Initialize.Add(note, middleware.Before)
	})
	return p.with(ctx), watched
}

func (p *phases) called(started time.Time) {
	p.aws(started, time.Now())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
}

// tell prints the table of phases.
func (p *phases) tell(ui packersdk.Ui) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.ContainsFunc(p.list, func(t phaseTime) bool { return t.name == "launch" }) {
		return // a build that only looked
	}
	now := time.Now()
	spans := union(p.spans)
	lines := []string{fmt.Sprintf("%-11s %8s %8s %8s", "Phase", "seconds", "AWS", "plugin")}
	row := func(name string, all, aws, ours time.Duration) {
		lines = append(lines, fmt.Sprintf("%-11s %8.1f %8.1f %8.1f", name, all.Seconds(), aws.Seconds(), ours.Seconds()))
	}
	var all, theirs, ours time.Duration
	for i, phase := range p.list {
		end := now
		if i+1 < len(p.list) {
			end = p.list[i+1].began
		}
		took := end.Sub(phase.began)
		waited := within(spans, span{phase.began, end})
		own := took - waited
		if phase.others {
			own = 0 // what is not AWS's is the provisioners'
		}
		row(phase.name, took, waited, own)
		all, theirs, ours = all+took, theirs+waited, ours+own
	}
	row("all", all, theirs, ours)
	lines = append(lines, fmt.Sprintf("%d calls of AWS's API", p.calls))
	ui.Say(strings.Join(lines, "\n"))
}

// union makes spans of spans that don't overlap, in their order.
func union(spans []span) []span {
	sorted := slices.SortedFunc(slices.Values(spans), func(a, b span) int { return a.from.Compare(b.from) })
	var list []span
	for _, s := range sorted {
		if n := len(list); n > 0 && !s.from.After(list[n-1].to) {
			if s.to.After(list[n-1].to) {
				list[n-1].to = s.to
			}
			continue
		}
		list = append(list, s)
	}
	return list
}

// within is how much of a stretch the spans cover.
func within(spans []span, of span) time.Duration {
	var sum time.Duration
	for _, s := range spans {
		from, to := s.from, s.to
		if from.Before(of.from) {
			from = of.from
		}
		if to.After(of.to) {
			to = of.to
		}
		if to.After(from) {
			sum += to.Sub(from)
		}
	}
	return sum
}

package amazonlinux

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/multistep"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// What -on-error and -debug ask for is here, and not taken from the SDK's
// commonsteps: that package also downloads ISO files from everywhere, which
// would add Google's and Amazon's storage clients and twelve megabytes to the plugin.

// The values of -on-error.
const (
	onErrorAbort       = "abort"
	onErrorAsk         = "ask"
	onErrorProvisioner = "run-cleanup-provisioner"
)

// stateAborted says that the user wants everything left as it is.
const stateAborted = "aborted"

// newRunner runs the steps as -on-error and -debug say.
func newRunner(steps []multistep.Step, c *Config, ui packersdk.Ui) multistep.Runner {
	guarded := make([]multistep.Step, len(steps))
	for i, step := range steps {
		guarded[i] = &guard{step: step, onError: c.PackerOnError, ui: ui}
	}
	if !c.PackerDebug {
		return &multistep.BasicRunner{Steps: guarded}
	}
	return &multistep.DebugRunner{Steps: guarded, PauseFn: func(at multistep.DebugLocation, step string, bag multistep.StateBag) {
		where := "after"
		if at == multistep.DebugLocationBeforeCleanup {
			where = "before the cleanup of"
		}
		_, _ = ask(ui, bag, fmt.Sprintf("Pausing %s %s. Press enter to go on.", where, step))
	}}
}

// A guard is a step under -on-error.
type guard struct {
	step    multistep.Step
	onError string
	ui      packersdk.Ui
}

var _ multistep.StepWrapper = (*guard)(nil)

// InnerStepName is what -debug prints.
func (g *guard) InnerStepName() string {
	return reflect.Indirect(reflect.ValueOf(g.step)).Type().Name()
}

// Run runs the step, and with -on-error=ask again as often as the user likes.
func (g *guard) Run(ctx context.Context, bag multistep.StateBag) multistep.StepAction {
	buildOf(bag).phases.begin(phaseOf(g.step))
	for {
		action := g.step.Run(ctx, bag)
		if action == multistep.ActionHalt {
			explain(ctx, bag)
		}
		if action != multistep.ActionHalt || g.onError != onErrorAsk || ctx.Err() != nil {
			return action
		}
		if err := errorOf(bag); err != nil {
			g.ui.Error(err.Error())
		}
		switch g.decide(bag) {
		case 'r':
			continue
		case 'a':
			bag.Put(stateAborted, true)
		}
		return action
	}
}

// decide asks what to do about a failed step: c, a or r.
func (g *guard) decide(bag multistep.StateBag) byte {
	question := fmt.Sprintf("%s failed. [c] Clean up and exit, [a] abort without cleanup, or [r] retry?", g.InnerStepName())
	for {
		answer, ok := ask(g.ui, bag, question)
		answer = strings.ToLower(strings.TrimSpace(answer))
		if !ok || answer == "" {
			return 'c'
		}
		if strings.Contains("car", answer[:1]) {
			return answer[0]
		}
	}
}

// Cleanup runs the step's cleanup, unless what it would remove is to stay.
func (g *guard) Cleanup(bag multistep.StateBag) {
	b := buildOf(bag)
	b.phases.begin(phaseCleanup)
	if release, under := g.step.(*stepRelease); under {
		release.Cleanup(bag) // only waits
		return
	}
	_, provisions := g.step.(*stepProvision)
	failed := has(bag, multistep.StateHalted) || has(bag, multistep.StateCancelled)
	switch {
	case slices.Contains(b.released, g.step):
		return
	case has(bag, stateAborted):
		return
	case failed && g.onError == onErrorAbort:
		return
	case failed && g.onError == onErrorProvisioner && !provisions:
		return
	}
	g.step.Cleanup(bag)
}

// ask asks the user and gives up when the build is cancelled meanwhile: the
// question then stays unanswered, and nobody waits for it.
func ask(ui packersdk.Ui, bag multistep.StateBag, question string) (answer string, ok bool) {
	answers := make(chan string, 1)
	go func() {
		line, err := ui.Ask(question)
		if err != nil {
			line = ""
		}
		answers <- line
	}()
	for cancelled := time.NewTicker(100 * time.Millisecond); ; {
		select {
		case answer := <-answers:
			cancelled.Stop()
			return answer, true
		case <-cancelled.C:
			if has(bag, multistep.StateCancelled) {
				cancelled.Stop()
				return "", false
			}
		}
	}
}

package amazonlinux

import (
	"context"
	"slices"
	"sync"

	"github.com/hashicorp/packer-plugin-sdk/multistep"
)

// stepRelease lets go of what only provisioning needed, while the image is
// distributed: the image is available, so nothing needs the instance any more.
// It runs the steps' own cleanups; they are not run a second time.
type stepRelease struct {
	chains [][]multistep.Step // side by side; the steps of each in the order of their making

	running sync.WaitGroup
}

// Run starts the cleanups and does not wait for them.
func (s *stepRelease) Run(_ context.Context, bag multistep.StateBag) multistep.StepAction {
	b := buildOf(bag)
	if b.released == nil {
		b.released = slices.Concat(s.chains...)
		for _, steps := range s.chains {
			s.running.Go(func() {
				for _, step := range slices.Backward(steps) {
					step.Cleanup(bag)
				}
			})
		}
	}
	return multistep.ActionContinue
}

// Cleanup waits for the cleanups' end.
func (s *stepRelease) Cleanup(multistep.StateBag) { s.running.Wait() }

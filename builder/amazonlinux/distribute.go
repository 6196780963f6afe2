package amazonlinux

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// stepDistribute copies the image to its regions, all at once, then gives it
// its name, its users and its dates. What did not become available is removed.
type stepDistribute struct {
	copies []*pending

	mu    sync.Mutex
	loans []loan // guarded by mu: what other accounts may read, until they have copied it
}

func (s *stepDistribute) Run(ctx context.Context, bag multistep.StateBag) multistep.StepAction {
	return conclude(bag, phase("distribute", s.distribute(ctx, buildOf(bag))))
}

// Cleanup removes the copies that did not become available, and what other accounts were lent for them.
func (s *stepDistribute) Cleanup(bag multistep.StateBag) {
	undo(bag, imageRemoval, func(ctx context.Context, b *build) error {
		discards := make([]func() error, len(s.copies))
		for i, p := range s.copies {
			discards[i] = func() error { return p.discard(ctx, b) }
		}
		err := errors.Join(s.takeBack(ctx, b), all(discards...))
		b.keep(s.copies...)
		return err
	})
}

// distribute needs AWS's patience only for the copies. Once all are available
// the rest takes seconds, and is done even where the build is cancelled then:
// half an image would be of no use to anybody.
func (s *stepDistribute) distribute(ctx context.Context, b *build) error {
	if err := s.copy(ctx, b); err != nil {
		return err
	}
	ctx, cancel := creating(ctx)
	defer cancel()
	// An image is whole with a loan left over: the cleanup tries again, and tells.
	if err := s.takeBack(ctx, b); err != nil {
		slog.Warn("take back permissions", "error", err)
	}
	home := b.images[0]
	if err := replaceAll(ctx, b, slices.Concat(s.copies, []*pending{home})); err != nil {
		return err
	}
	final := s.copies
	if b.plan.images.keepBuild {
		final = append([]*pending{home}, s.copies...)
	}
	err := together(ctx, final, func(ctx context.Context, p *pending) error { return setAttributes(ctx, b, p) })
	if err != nil {
		return err
	}
	b.final = final
	s.tidy(ctx, b, home)
	return nil
}

// tidy removes what the image has made needless. The image is whole without
// that, so what fails is told, with how to do it by hand.
func (s *stepDistribute) tidy(ctx context.Context, b *build, home *pending) {
	if !b.plan.images.keepBuild {
		b.ui.Say("Removing " + home.what() + " of the build region (skip_save_build_region)...")
		b.made.enter(home.what(), "%s", home.target.removal(home.id))
		err := removeImage(ctx, home.api, home.id, func() ([]string, error) { return snapshotsOf(home.image), nil })
		if err != nil {
			b.ui.Error("distribute: " + home.what() + ": " + err.Error())
		} else {
			b.made.strike(home.what())
		}
	}
	if !b.config.ForceDeleteSnapshot {
		return
	}
	for _, p := range b.final {
		for _, old := range p.target.replaced {
			if err := removeSnapshots(ctx, p.api, snapshotsOf(old)); err != nil {
				b.ui.Error(fmt.Sprintf("distribute: force_delete_snapshot in %s: %v; the snapshots are %v", p.target.where(), err, snapshotsOf(old)))
			}
		}
	}
}

// together does the same for each image, side by side. The first that fails
// ends the others, and is what is told.
func together(ctx context.Context, list []*pending, do func(context.Context, *pending) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for _, p := range list {
		running.Go(func() {
			if err := awsclient.Err(do(ctx, p)); err != nil {
				cancel(fmt.Errorf("%s: %w", p.target.where(), err))
			}
		})
	}
	running.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return ctx.Err()
}

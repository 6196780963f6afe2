package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// firsts is how often the time to the first command is taken; the middle one counts.
const firsts = 3

// firstCommands measures from an agent that is online to the end of the first command: with nothing on the instance, where
// ours starts a daemon by Run Command and the peer's user places a key by Run Command, and with a key that is there already.
func (w *world) firstCommands(ctx context.Context) error {
	const (
		bare   = "time to first command"
		beyond = "time to first command, beyond the Run Command's own"
		keyed  = "time to first command, with a key on the instance"
	)
	if w.wanted(bare) || w.wanted(beyond) {
		mine, _, err := w.firstOurs(ctx, order{})
		if err != nil {
			return err
		}
		// The peer can't be told to open its connections as on AWS. This row has none.
		_, rest, err := w.firstOurs(ctx, order{Opening: 2 * roundTrip})
		if err != nil {
			return err
		}
		others, err := w.firstPeer(ctx, true)
		if err != nil {
			return err
		}
		w.add(row{Name: bare, Unit: "s", Ours: mine.Seconds(), bound: ratioAtLeast(1)}, others.Seconds())
		w.add(row{Name: beyond, Unit: "round trips", Ours: rest.Seconds() / roundTrip.Seconds(), bound: oursAtMost(5)}, 0)
	}
	if !w.wanted(keyed) {
		return nil
	}
	if err := w.placeKey(ctx); err != nil {
		return err
	}
	mine, _, err := w.firstOurs(ctx, order{KeyFile: w.keyFile})
	if err != nil {
		return err
	}
	others, err := w.firstPeer(ctx, false)
	w.add(row{Name: keyed, Unit: "s", Ours: mine.Seconds(), bound: ratioAtLeast(1)}, others.Seconds())
	return err
}

// firstOurs is our client's time, and what of it was not Run Command's.
func (w *world) firstOurs(ctx context.Context, how order) (took, beyond time.Duration, err error) {
	how.Instance = w.cloud.Instance
	var rest []time.Duration
	middle, err := repeated(ctx, firsts, nil, func(ctx context.Context, _ client) (time.Duration, usage, error) {
		o, err := startOurs(w.cloud)
		if err != nil {
			return 0, usage{}, err
		}
		took, err := timed(ctx, func(ctx context.Context) error {
			if err := o.connectBy(how); err != nil {
				return err
			}
			return first(ctx, o)
		})
		rest = append(rest, took-o.inRun)
		return took, usage{}, errors.Join(err, o.close(ctx))
	})
	if err != nil {
		return 0, 0, fmt.Errorf("first command: %w", err)
	}
	slices.Sort(rest)
	return middle.took, rest[len(rest)/2], nil
}

// firstPeer is the peer's time. Its user may have to place a key before.
func (w *world) firstPeer(ctx context.Context, place bool) (time.Duration, error) {
	middle, err := repeated(ctx, firsts, nil, func(ctx context.Context, _ client) (time.Duration, usage, error) {
		if place {
			if err := w.removeKey(ctx); err != nil {
				return 0, usage{}, err
			}
		}
		var p *peer
		took, err := timed(ctx, func(ctx context.Context) (err error) {
			if place {
				if err := w.placeKey(ctx); err != nil {
					return err
				}
			}
			if p, err = startPeer(ctx, w.cloud, w.plugin, w.keyFile, w.dir); err != nil {
				return err
			}
			return first(ctx, p)
		})
		if p != nil {
			err = errors.Join(err, p.close(ctx))
		}
		return took, usage{}, err
	})
	if err != nil {
		w.note("first command: AWS's client failed: %v", err)
		return 0, ctx.Err()
	}
	return middle.took, nil
}

func first(ctx context.Context, c client) error {
	out, err := c.run(ctx, "echo first")
	if err == nil && strings.TrimSpace(out) != "first" {
		err = &wrongError{"output of a command", "first", out}
	}
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// defaultSessions is how many sessions our client opens for a large transfer, beside that of the commands, unless told otherwise.
const defaultSessions = 8

// byRoundTrip measures how both clients bear distance.
func (w *world) byRoundTrip(ctx context.Context) error {
	defer w.cloud.SetRoundTrip(roundTrip)
	for _, trip := range []time.Duration{0, roundTrip, 150 * time.Millisecond} {
		if err := w.atRoundTrip(ctx, trip); err != nil {
			return err
		}
	}
	return nil
}

// growing is the fixture that is measured again and again.
func (w *world) growing() fixture { return w.fixtures[len(w.fixtures)-2] }

func (w *world) atRoundTrip(ctx context.Context, trip time.Duration) error {
	f, at := w.growing(), fmt.Sprintf(" at %d ms round trip", trip.Milliseconds())
	w.cloud.SetRoundTrip(trip)
	for _, direction := range []string{"upload", "download"} {
		name := direction + " " + f.name + at
		if !w.wanted(name) {
			continue
		}
		mine, others, err := w.both(ctx, name, 1, w.measure(direction, f), same)
		if err != nil {
			return err
		}
		w.add(row{Name: name, Unit: "MB/s", Ours: mine.rate(f.size), bound: ratioAtLeast(1)}, others.rate(f.size))
	}
	const count = 20
	name := "a command" + at
	if !w.wanted(name) {
		return nil
	}
	mine, others, err := w.both(ctx, name, 1, func(ctx context.Context, c client) (time.Duration, usage, error) {
		took, err := inARow(ctx, c, count, new([]time.Duration))
		return took / count, usage{}, err
	}, same)
	if err == nil {
		w.add(row{Name: name, Unit: "ms", Ours: 1e3 * mine.took.Seconds(), bound: ratioAtLeast(1)}, 1e3*others.took.Seconds())
	}
	return err
}

// bySessions measures what more sessions bring to our client; AWS's has one.
func (w *world) bySessions(ctx context.Context) error {
	files, _, _ := w.options.sizes()
	f := w.fixtures[len(files)-2] // the middle one
	for _, sessions := range []int{1, 2, 4, 8} {
		for _, direction := range []string{"upload", "download"} {
			name := fmt.Sprintf("%s %s with ssm_transfer_sessions = %d", direction, f.name, sessions)
			if !w.wanted(name) {
				continue
			}
			if err := w.overSessions(ctx, name, direction, f, sessions); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) overSessions(ctx context.Context, name, direction string, f fixture, sessions int) (err error) {
	o, err := w.connectOurs(ctx, sessions)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close(ctx)) }()
	mine, err := repeated(ctx, 1, o, w.measure(direction, f))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	w.watchPauses("our client")
	w.add(row{Name: name, Unit: "MB/s", Ours: mine.rate(f.size)}, 0)
	return nil
}

// oneSession measures a long upload over the session of the commands alone, and what memory it takes: our client alone.
func (w *world) oneSession(ctx context.Context) (err error) {
	size := int64(100 * mib)
	if w.options.quick {
		size = 2 * mib
	}
	name := fmt.Sprintf("upload %s over one session", sizeName(size))
	if !w.wanted(name) && !w.wanted("extra memory of "+name) {
		return nil
	}
	f, err := makeFile(w.dir, sizeName(size)+" for one session", size)
	if err != nil {
		return err
	}
	o, err := w.connectOurs(ctx, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close(ctx)) }()
	mine, err := repeated(ctx, 1, o, w.measure("upload", f))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	w.watchPauses("our client")
	w.add(row{Name: name, Unit: "MB/s", Ours: mine.rate(f.size), bound: oursAtLeast(0.9)}, 0)
	w.add(row{Name: "extra memory of " + name, Unit: "MiB", Ours: inMiB(mine.used.extra), bound: oursAtMost(64)}, 0)
	return nil
}

// sparse measures what a file costs that is far larger than memory should be, and empty: our client alone, for the peer would
// take hours.
func (w *world) sparse(ctx context.Context) (err error) {
	size := int64(4 << 30)
	if w.options.quick {
		size = 256 * mib
	}
	name := fmt.Sprintf("upload of a sparse file of %d MiB", size/mib)
	if !w.wanted(name) && !w.wanted("extra memory of "+name) {
		return nil
	}
	f, err := makeSparse(w.dir, size)
	if err != nil {
		return err
	}
	o, err := w.connectOurs(ctx, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close(ctx)) }()
	mine, err := repeated(ctx, 1, o, w.measure("upload", f))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	w.add(row{Name: name, Unit: "s", Ours: mine.took.Seconds()}, 0)
	w.add(row{Name: "extra memory of " + name, Unit: "MiB", Ours: inMiB(mine.used.extra), bound: oursAtMost(64)}, 0)
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A client is one of the two.
type client interface {
	upload(ctx context.Context, f fixture, remote string) error
	download(ctx context.Context, f fixture, remote, local string) error
	run(ctx context.Context, command string) (string, error)
	pids() []string
}

const (
	tries   = 3                // of the peer, which sometimes fails by no fault of the bench
	longest = 20 * time.Minute // of one measurement
)

// wanted says whether a row is asked for.
func (w *world) wanted(name string) bool { return w.options.only.MatchString(name) }

// add keeps a row. A peer of 0 is none. The bounds are of the full sizes.
func (w *world) add(r row, peer float64) {
	r.Ours = round(r.Ours)
	if w.options.quick {
		r.bound = nil
	}
	if peer != 0 {
		peer = round(peer)
		r.Peer = &peer
	}
	r.compare()
	w.rows = append(w.rows, &r)
	say("%s: ours %s, peer %s %s, ratio %s", r.Name, number(r.Ours), optional(r.Peer), r.Unit, optional(r.Ratio))
}

// A wrongError is bytes that arrived changed.
type wrongError struct{ what, want, got string }

func (e *wrongError) Error() string {
	return fmt.Sprintf("%s: wrong checksum: sent %s, arrived %s", e.what, e.want, e.got)
}

// checkRemote compares what is on the instance, by Run Command, which neither client has a part in.
func (w *world) checkRemote(ctx context.Context, f fixture, remote string) error {
	out, err := w.cloud.Run(ctx, sumScript(remote))
	if err != nil {
		return err
	}
	if got := strings.TrimSpace(out); got != f.sum {
		return &wrongError{f.name + " to " + remote, f.sum, got}
	}
	return nil
}

func (w *world) checkLocal(f fixture, path string) error {
	got, err := sumOf(path)
	if err == nil && got != f.sum {
		err = &wrongError{f.name + " to " + path, f.sum, got}
	}
	return err
}

// timed is how long do takes.
func timed(ctx context.Context, do func(ctx context.Context) error) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	began := time.Now()
	err := do(ctx)
	return time.Since(began), err
}

// upload measures one upload and checks it. Each goes to a place of its own: to write a file again costs less.
func (w *world) upload(ctx context.Context, c client, f fixture) (time.Duration, usage, error) {
	w.number++
	remote := fmt.Sprintf("%s/in%d", remoteDir, w.number)
	watched := startWatch(c.pids())
	took, err := timed(ctx, func(ctx context.Context) error { return c.upload(ctx, f, remote) })
	used := watched.end()
	if err == nil {
		err = w.checkRemote(ctx, f, remote)
	}
	_, removeErr := w.cloud.Run(ctx, "rm -rf "+remote)
	return took, used, errors.Join(err, removeErr)
}

func (w *world) download(ctx context.Context, c client, f fixture) (time.Duration, usage, error) {
	w.number++
	local := filepath.Join(w.dir, fmt.Sprintf("out%d", w.number))
	defer func() { _ = os.RemoveAll(local) }()
	result := local
	if f.files > 0 { // a folder arrives in a folder
		if err := os.Mkdir(local, 0o755); err != nil {
			return 0, usage{}, err
		}
		result = filepath.Join(local, filepath.Base(f.path))
	}
	watched := startWatch(c.pids())
	took, err := timed(ctx, func(ctx context.Context) error { return c.download(ctx, f, w.remote(f), local) })
	used := watched.end()
	if err == nil {
		err = w.checkLocal(f, result)
	}
	return took, used, err
}

// A measurement is one thing that both clients do.
type measurement func(ctx context.Context, c client) (time.Duration, usage, error)

// both measures our client, and the peer beside it. The peer has several tries, because it is known to corrupt what
// it carries (a lone newline) and to hang at the start; a try that failed is noted. Ours has one.
func (w *world) both(ctx context.Context, name string, repeat int, do measurement, as func(*peer) client) (mine, others result, err error) {
	if err := w.connect(ctx); err != nil {
		return mine, others, err
	}
	mine, err = repeated(ctx, repeat, w.ours, do)
	w.watchPauses("our client")
	if err != nil {
		return mine, others, fmt.Errorf("%s: %w", name, err)
	}
	for range tries {
		others, err = repeated(ctx, repeat, as(w.peer), do)
		w.watchPauses("AWS's client")
		if err == nil || ctx.Err() != nil {
			return mine, others, err
		}
		w.note("%s: AWS's client failed and is started again: %v", name, err)
		_ = w.peer.close(ctx) // it has failed already
		w.peer = nil
		if err := w.connectPeer(ctx); err != nil {
			return mine, others, err
		}
	}
	w.note("%s: AWS's client failed %d times: it has no result", name, tries)
	return mine, result{}, nil
}

// same takes the peer as it is.
func same(p *peer) client { return p }

// A result is the middle one of repeated measurements.
type result struct {
	took time.Duration
	used usage
}

func repeated(ctx context.Context, times int, c client, do measurement) (result, error) {
	var all []result
	for range times {
		took, used, err := do(ctx, c)
		if err != nil {
			return result{}, err
		}
		all = append(all, result{took, used})
	}
	slices.SortFunc(all, func(a, b result) int { return int(a.took - b.took) })
	return all[len(all)/2], nil
}

// rate is in MB/s; of nothing it is 0.
func (r result) rate(size int64) float64 {
	if r.took == 0 {
		return 0
	}
	return float64(size) / 1e6 / r.took.Seconds()
}

// pauses counts the sessions that the service has had to slow down, by client.
type pauses map[string]int

// watchPauses notes when the service paused a session of the client just measured. Sessions that have ended since are not seen.
func (w *world) watchPauses(who string) {
	if w.paused == nil {
		w.paused = pauses{}
	}
	for _, session := range w.cloud.Server.Channels().Live() {
		if n := session.Stats().Paused; n > w.paused[session.ID()] {
			w.paused[session.ID()] = n
			w.note("the service paused a session after too many messages, while %s was measured", who)
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// cases are the measurements, in the order of the table.
func (w *world) cases() []func(context.Context) error {
	return []func(context.Context) error{
		w.transfers, w.archives, w.commands, w.firstCommands, w.byRoundTrip, w.bySessions, w.oneSession, w.sparse,
	}
}

// A promise is what issue and documentation promise of a transfer, by its name without sizes.
func promise(direction string, f fixture) *bound {
	switch {
	case f.files > 0:
		return ratioAtLeast(20)
	case f.size == mib:
		return ratioAtLeast(1.2)
	case f.size < 64*mib:
		return ratioAtLeast(1)
	case direction == "upload":
		return ratioAtLeast(8)
	}
	return ratioAtLeast(7)
}

func (w *world) measure(direction string, f fixture) measurement {
	return func(ctx context.Context, c client) (time.Duration, usage, error) {
		if direction == "upload" {
			return w.upload(ctx, c, f)
		}
		return w.download(ctx, c, f)
	}
}

// transferred are the fixtures of the main rows: the files without the one for growth, and the tree.
func (w *world) transferred() []fixture {
	files, _, _ := w.options.sizes()
	return append(slices.Clone(w.fixtures[:len(files)]), w.tree())
}

func (w *world) tree() fixture { return w.fixtures[len(w.fixtures)-1] }

// transfers measures uploads and downloads, and what the largest cost in memory and processor time.
func (w *world) transfers(ctx context.Context) error {
	for _, f := range w.transferred() {
		for _, direction := range []string{"upload", "download"} {
			if err := w.transfer(ctx, direction, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) transfer(ctx context.Context, direction string, f fixture) error {
	name := direction + " " + f.name
	if !w.wanted(name) {
		return nil
	}
	repeat := 1
	if f.size <= mib && f.files == 0 {
		repeat = 3
	}
	mine, others, err := w.both(ctx, name, repeat, w.measure(direction, f), same)
	if err != nil {
		return err
	}
	w.add(row{Name: name, Unit: "MB/s", Ours: mine.rate(f.size), bound: promise(direction, f)}, others.rate(f.size))
	if f.files > 0 || f.name != w.largest().name {
		return nil
	}
	if direction == "upload" {
		w.share(name, mine.rate(f.size), defaultSessions+1)
	}
	w.add(row{Name: "processor time of " + name, Unit: "s", Ours: mine.used.seconds}, others.used.seconds)
	w.add(row{Name: "extra memory of " + name, Unit: "MiB", Ours: inMiB(mine.used.extra), bound: oursAtMost(64)}, inMiB(others.used.extra))
	return nil
}

func (w *world) largest() fixture {
	files, _, _ := w.options.sizes()
	return w.fixtures[len(files)-1]
}

func inMiB(n int64) float64 { return float64(n) / mib }

// share adds the row that says how much of what the service allows was used, by sessions that may carry data: also that of the
// commands, which helps while there are none.
func (w *world) share(name string, rate float64, sessions int) {
	allowed := float64(sessions) * modelRate * 1024 / 1e6
	w.add(row{Name: fmt.Sprintf("%s, share of what the service allows", name), Unit: "share", Ours: rate / allowed, bound: oursAtLeast(0.8)}, 0)
}

// archives compares the tree with what a user of AWS's client does who knows that scp is slow: tar, compressed, through ssh.
func (w *world) archives(ctx context.Context) error {
	f := w.tree()
	for _, direction := range []string{"upload", "download"} {
		name := direction + " " + f.name + ", peer by tar -z through ssh"
		if !w.wanted(name) {
			continue
		}
		mine, others, err := w.both(ctx, name, 1, w.measure(direction, f), func(p *peer) client { return archiver{p} })
		if err != nil {
			return err
		}
		w.add(row{Name: name, Unit: "MB/s", Ours: mine.rate(f.size)}, others.rate(f.size))
	}
	return nil
}

// An archiver is the peer with tar in the place of scp.
type archiver struct{ *peer }

func (a archiver) upload(ctx context.Context, f fixture, remote string) error {
	pack := exec.CommandContext(ctx, "tar", "-czf", "-", "-C", f.path, ".")
	unpack := a.command(ctx, "ssh", "localhost", fmt.Sprintf("mkdir %[1]s && tar -xzf - -C %[1]s", remote))
	return piped(pack, unpack)
}

func (a archiver) download(ctx context.Context, _ fixture, remote, local string) error {
	pack := a.command(ctx, "ssh", "localhost", fmt.Sprintf("tar -czf - -C %s %s", filepath.Dir(remote), filepath.Base(remote)))
	return piped(pack, exec.CommandContext(ctx, "tar", "-xzf", "-", "-C", local))
}

func piped(from, to *exec.Cmd) error {
	read, write := io.Pipe()
	from.Stdout, to.Stdin = write, read
	ended := make(chan error, 1)
	go func() {
		err := finish(from)
		_ = write.CloseWithError(err)
		ended <- err
	}()
	err := finish(to)
	_ = read.CloseWithError(errors.New("the reader has ended"))
	return errors.Join(err, <-ended)
}

// commands measures small commands on open connections.
func (w *world) commands(ctx context.Context) error {
	count := 200
	if w.options.quick {
		count = 20
	}
	name, latency := fmt.Sprintf("%d small commands in a row", count), "a command on an open connection"
	if !w.wanted(name) && !w.wanted(latency) {
		return nil
	}
	var each []time.Duration // of our client, which is first
	mine, others, err := w.both(ctx, name, 1, func(ctx context.Context, c client) (time.Duration, usage, error) {
		took, err := inARow(ctx, c, count, &each)
		return took, usage{}, err
	}, same)
	if err != nil {
		return err
	}
	w.add(row{Name: name, Unit: "s", Ours: mine.took.Seconds(), bound: ratioAtLeast(1)}, others.took.Seconds())
	n := float64(count)
	slices.Sort(each[:count])
	median := each[count/2].Seconds()
	w.add(row{Name: latency, Unit: "ms", Ours: 1e3 * median, bound: oursAtMost(1e3*2*roundTrip.Seconds() + 10)}, 1e3*others.took.Seconds()/n)
	return nil
}

// inARow runs commands one after the other and checks what each prints.
func inARow(ctx context.Context, c client, count int, each *[]time.Duration) (time.Duration, error) {
	began := time.Now()
	for i := range count {
		want := fmt.Sprintf("command %d", i)
		start := time.Now()
		out, err := c.run(ctx, "echo "+want)
		if err != nil {
			return 0, err
		}
		*each = append(*each, time.Since(start))
		if strings.TrimSpace(out) != want {
			return 0, &wrongError{"output of a command", want, out}
		}
	}
	return time.Since(began), nil
}

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// stuck is how long one operation may take, with everything that happens to it.
const stuck = 4 * time.Minute

// A job is a command whose end is known beforehand.
type job struct {
	name           string
	script         string
	stdin          []byte
	status         int
	stdout, stderr string
}

// jobs are the shapes of commands; each call makes another one of its shape.
var jobs = []func(*rand.Rand) job{
	func(r *rand.Rand) job {
		n := r.IntN(1000)
		return job{name: "command", script: fmt.Sprintf("echo out %d; echo err %d >&2", n, n),
			stdout: fmt.Sprintf("out %d\n", n), stderr: fmt.Sprintf("err %d\n", n)}
	},
	func(r *rand.Rand) job {
		status := 1 + r.IntN(250)
		return job{name: "command that fails", script: fmt.Sprintf("printf no; exit %d", status), status: status, stdout: "no"}
	},
	func(r *rand.Rand) job {
		data := randomBytes(r, r.IntN(200<<10))
		return job{name: "command with input", script: "sha256sum", stdin: data, stdout: fmt.Sprintf("%x  -\n", sha256.Sum256(data))}
	},
	func(r *rand.Rand) job {
		n := 1 + r.IntN(40_000)
		return job{name: "command with much output", script: fmt.Sprintf("seq 1 %d; exit 3", n), status: 3, stdout: sequence(n)}
	},
	func(r *rand.Rand) job {
		n := 2 + r.IntN(30)
		return job{name: "slow command", script: fmt.Sprintf("for i in $(seq 1 %d); do echo $i; sleep 0.3; done; echo done >&2; exit 7", n),
			status: 7, stdout: sequence(n), stderr: "done\n"}
	},
}

func sequence(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strconv.Itoa(i+1) + "\n")
	}
	return b.String()
}

func randomBytes(r *rand.Rand, n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// command runs one command and compares everything about its end.
func (w *world) command(r *rand.Rand) error {
	j := jobs[r.IntN(len(jobs))](r)
	return w.try(j.name, func() error { return w.check(j) })
}

// check runs a job.
func (w *world) check(j job) error {
	var stdout, stderr bytes.Buffer
	command := &packersdk.RemoteCmd{Command: j.script, Stdout: &stdout, Stderr: &stderr}
	if j.stdin != nil {
		command.Stdin = struct{ io.Reader }{bytes.NewReader(j.stdin)}
	}
	if err := w.comm.Start(context.Background(), command); err != nil {
		return err
	}
	status := command.Wait()
	switch {
	case status == packersdk.CmdDisconnect:
		return fmt.Errorf("disconnected after %d bytes of output", stdout.Len())
	case status != j.status:
		return fmt.Errorf("exit status %d, not %d: %.300q", status, j.status, stderr.String())
	case stdout.String() != j.stdout:
		return fmt.Errorf("stdout: %s", difference(stdout.String(), j.stdout))
	case stderr.String() != j.stderr:
		return fmt.Errorf("stderr: %s", difference(stderr.String(), j.stderr))
	}
	return nil
}

// difference says where two texts part.
func difference(got, want string) string {
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	around := func(s string) string { return fmt.Sprintf("%.60q", s[at:]) }
	return fmt.Sprintf("%d bytes, not %d; from byte %d on it is %s, not %s", len(got), len(want), at, around(got), around(want))
}

// try does something once and counts how it ended. A failure counts only if no reboot can have caused it, and the time
// is up for what takes too long.
func (w *world) try(name string, do func() error) error {
	mark := w.boots.mark()
	watchdog := time.AfterFunc(stuck, func() {
		fmt.Fprintf(os.Stderr, "soak: %s is stuck after %s\n", name, stuck)
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, stackDepth)
		w.fail(fmt.Errorf("%s: not done after %s", name, stuck))
		w.comm.Disconnect()
	})
	defer watchdog.Stop()
	err := do()
	switch {
	case err == nil:
		w.counts.add(workCount, name)
	case w.boots.disturbed(mark):
		w.counts.add(lostCount, name)
	default:
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

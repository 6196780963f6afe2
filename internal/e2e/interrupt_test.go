//go:build linux

package e2e

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// interrupted builds a template, has Packer interrupted by whatever calls interrupt, and holds it to what it owes
// then: it ends by itself, says that it did not succeed, and leaves nothing.
func (w *world) interrupted(dir string, arrange func(interrupt context.CancelFunc) (seen func(line string))) {
	w.Helper()
	ctx, interrupt := context.WithCancel(w.Context())
	defer interrupt()
	watch := &watcher{seen: arrange(interrupt)}
	command := w.packer.Command(ctx, dir, "build", "-color=false", ".")
	command.Stdout, command.Stderr = watch, watch
	err := command.Run()
	w.Logf("packer build: %v\n%s", err, watch.text())
	if ctx.Err() == nil {
		w.Error("the build ended before it was interrupted")
	}
	if code := command.ProcessState.ExitCode(); code <= 0 {
		w.Errorf("exit %d, want a failure of its own accord", code)
	}
	w.images(0)
	w.nothingLeft()
}

// A watcher keeps what is written and shows each write as it comes.
type watcher struct {
	seen func(text string) // may be nil
	mu   sync.Mutex
	all  bytes.Buffer
}

func (w *watcher) Write(p []byte) (int, error) {
	if w.seen != nil {
		w.seen(string(p))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.Write(p)
}

func (w *watcher) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.String()
}

func TestInterruptedWhileProvisioning(t *testing.T) {
	w := newWorld(t, localaws.Options{})
	dir := w.template(source("", `
  provisioner "shell" {
    inline = ["echo the command runs", "exec sleep 600"]
  }`))
	w.interrupted(dir, func(interrupt context.CancelFunc) func(string) {
		return func(text string) {
			if strings.Contains(text, "test: the command runs") {
				interrupt()
			}
		}
	})
}

// TestInterruptedAtCall interrupts while AWS is about to do what was asked: the answer comes to a build that no longer
// wants it.
func TestInterruptedAtCall(t *testing.T) {
	for _, action := range []string{"CreateRole", "RunInstances", "SendCommand", "StartSession", "StopInstances", "CreateImage"} {
		t.Run(action, func(t *testing.T) {
			w := newWorld(t, localaws.Options{})
			w.interrupted(w.template(source("", "")), func(interrupt context.CancelFunc) func(string) {
				w.aws.Inject(localaws.Fault{Action: action, Delay: 100 * time.Millisecond, Before: func(localaws.Call) { interrupt() }})
				return nil
			})
		})
	}
}

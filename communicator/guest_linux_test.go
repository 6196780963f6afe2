package communicator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	sdkcommunicator "github.com/hashicorp/packer-plugin-sdk/communicator"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/communicator"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

// These tests run the scripts and OpenSSH's real server on an isolated machine.
// Run Command is a process there, and a session a connection made there.

// guest is a machine that boots again when it reboots.
type guest struct {
	*machine.Machine
	mu    sync.Mutex
	up    chan struct{} // closed while it is up
	ports map[*guestPort]bool
	halts sync.WaitGroup
	off   chan struct{} // closed when it has powered itself off
	sent  atomic.Int64  // bytes that went to it
}

func newGuest(t *testing.T) *guest {
	t.Helper()
	host, err := machine.NewHost(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	base, err := host.Base(t.Context(), machine.AL2, "x86_64")
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{up: make(chan struct{}), off: make(chan struct{}), ports: map[*guestPort]bool{}}
	g.Machine, err = host.Create(t.Context(), machine.Spec{
		ID: "i-0123456789abcdef0", Layers: []machine.LayerID{base},
		OnHalt: func(how machine.How) { g.halted(t, how) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := host.Close(); err != nil {
			t.Error(err)
		}
		g.halts.Wait()
	})
	if err := g.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(g.up)
	return g
}

func (g *guest) halted(t *testing.T, how machine.How) {
	g.mu.Lock()
	g.up = make(chan struct{})
	up := g.up
	for p := range g.ports {
		p.End(errors.New("document worker timed out"))
	}
	clear(g.ports)
	g.mu.Unlock()
	if how != machine.Rebooted {
		close(g.off)
		return
	}
	g.halts.Go(func() {
		if err := g.Boot(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("boot again: %v", err)
		}
		close(up)
	})
}

func (g *guest) online(ctx context.Context) error {
	g.mu.Lock()
	up := g.up
	g.mu.Unlock()
	select {
	case <-up:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type exitError struct {
	status int
	stderr string
}

func (e *exitError) Error() string           { return fmt.Sprintf("exit status %d: %s", e.status, e.stderr) }
func (e *exitError) ExitStatus() (int, bool) { return e.status, true }

func (g *guest) run(ctx context.Context, script string) (string, error) {
	if err := g.online(ctx); err != nil {
		return "", err
	}
	var out, errs bytes.Buffer
	status, err := g.Exec(ctx, machine.Command{
		Path: "/bin/sh", Args: []string{"-c", script}, Stdout: &out, Stderr: &errs,
	})
	if err != nil {
		return "", err
	}
	if status != 0 {
		return out.String(), &exitError{status, errs.String()}
	}
	return out.String(), nil
}

// must runs a script as root that has to succeed.
func (g *guest) must(t *testing.T, script string) string {
	t.Helper()
	out, err := g.run(t.Context(), script)
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return strings.TrimSpace(out)
}

func (g *guest) connect(t *testing.T, cfg communicator.Config) *communicator.Communicator {
	t.Helper()
	if cfg.SSH == nil {
		cfg.SSH = &sdkcommunicator.Config{}
	}
	cfg.SSH.SSHDisableAgentForwarding = true
	c, err := communicator.ConnectOver(t.Context(), cfg, g.open, g.run, g.online)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Disconnect)
	return c
}

func execute(t *testing.T, c *communicator.Communicator, text string, stdin io.Reader) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := &packersdk.RemoteCmd{Command: text, Stdin: stdin, Stdout: &out, Stderr: &errs}
	if err := c.Start(t.Context(), cmd); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return cmd.Wait(), out.String(), errs.String()
}

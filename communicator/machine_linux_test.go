package communicator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

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
	g := &guest{up: make(chan struct{}), ports: map[*guestPort]bool{}}
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
		p.end(errors.New("document worker timed out"))
	}
	clear(g.ports)
	g.mu.Unlock()
	if how != machine.Rebooted {
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

// guestPort is a session to a port of the guest.
type guestPort struct {
	g      *guest
	number int
	done   chan struct{}
	mu     sync.Mutex
	err    error
	conns  []net.Conn
}

func (g *guest) open(ctx context.Context, number int) (communicator.Port, error) {
	if err := g.online(ctx); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p := &guestPort{g: g, number: number, done: make(chan struct{})}
	g.ports[p] = true
	return p, nil
}

func (p *guestPort) Dial(ctx context.Context) (net.Conn, error) {
	conn, err := p.g.Dial(ctx, p.number)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		_ = conn.Close()
		return nil, p.err
	}
	p.conns = append(p.conns, conn)
	return conn, nil
}

func (p *guestPort) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return
	}
	p.err = err
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	close(p.done)
}

func (p *guestPort) Done() <-chan struct{} { return p.done }

func (p *guestPort) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *guestPort) Close() error {
	p.end(net.ErrClosed)
	return nil
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

func TestPrivateDaemon(t *testing.T) {
	g := newGuest(t)
	before := g.must(t, "ls /run; pgrep -x sshd | sort")
	c := g.connect(t, communicator.Config{})
	for _, status := range []int{0, 1, 42, 255} {
		if got, _, _ := execute(t, c, fmt.Sprint("exit ", status), nil); got != status {
			t.Errorf("exit %d: got %d", status, got)
		}
	}
	status, out, errs := execute(t, c, "id -un; cat; echo oops >&2", strings.NewReader("input\n"))
	if status != 0 || out != "ec2-user\ninput\n" || errs != "oops\n" {
		t.Errorf("status %d, stdout %q, stderr %q", status, out, errs)
	}
	dir := "/run/" + c.Name()
	if got := g.must(t, "stat -c '%U %a' "+dir+" "+dir+"/host_key "+dir+"/authorized_keys"); got != "root 711\nroot 600\nroot 644" {
		t.Errorf("the daemon's directory is %q", got)
	}
	if _, out, _ := execute(t, c, "env", nil); strings.Contains(out, "AWS_") || !strings.Contains(out, "HOME=/home/ec2-user") {
		t.Errorf("environment of a command:\n%s", out)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if after := g.must(t, "ls /run; pgrep -x sshd | sort"); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestBootstrapTwiceIsOnce(t *testing.T) {
	g := newGuest(t)
	c := g.connect(t, communicator.Config{TTL: time.Hour})
	daemons := "cd /run/" + c.Name() + " && cat pid port host_key.pub"
	timers := "grep -lz '^" + c.Name() + "-ttl$' /proc/[0-9]*/cmdline | wc -l; ls /run/systemd/transient 2>/dev/null | grep -c ttl || :"
	first := g.must(t, daemons)
	armed := g.must(t, timers)
	// Lose the session: the daemon is found again, and so nothing is doubled.
	g.mu.Lock()
	for p := range g.ports {
		p.end(errors.New("maximum duration"))
	}
	g.mu.Unlock()
	if status, _, _ := execute(t, c, "exit 4", nil); status != 4 {
		t.Errorf("exit status %d", status)
	}
	if again := g.must(t, daemons); again != first {
		t.Errorf("daemon before %q, after %q", first, again)
	}
	if again := g.must(t, timers); again != armed {
		t.Errorf("timers before %q, after %q", armed, again)
	}
}

func TestRebootInACommand(t *testing.T) {
	g := newGuest(t)
	c := g.connect(t, communicator.Config{})
	boot := g.must(t, "cat /proc/sys/kernel/random/boot_id; touch /run/marker")
	status, _, _ := execute(t, c, "sudo reboot; sleep 600", nil)
	if status != packersdk.CmdDisconnect {
		t.Errorf("exit status %d, want the one of a lost connection", status)
	}
	// What comes next waits for the instance, without being told to.
	if err := c.Upload("/tmp/after", strings.NewReader("text"), nil); err != nil {
		t.Fatal(err)
	}
	if status, out, _ := execute(t, c, "cat /tmp/after; ls /run/marker", nil); out != "text" || status == 0 {
		t.Errorf("status %d, stdout %q", status, out)
	}
	t.Logf("boot id before %s", boot)
}

func TestFilesOnOpenSSH(t *testing.T) {
	g := newGuest(t)
	c := g.connect(t, communicator.Config{})
	source := filepath.Join(t.TempDir(), "site")
	for name, content := range map[string]string{"sub/b": "\n", "sub/empty": "", "c d": strings.Repeat("\x00\n\xff", 100000)} {
		path := filepath.Join(source, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.UploadDir("/tmp", source, nil); err != nil {
		t.Fatal(err)
	}
	if got := g.must(t, "cd /tmp/site && stat -c '%n %s %a %U' * sub/*"); got != "c d 300000 640 ec2-user\nsub 4096 755 ec2-user\nsub/b 1 640 ec2-user\nsub/empty 0 640 ec2-user" &&
		!strings.HasPrefix(got, "c d 300000 640 ec2-user\nsub ") {
		t.Errorf("uploaded:\n%s", got)
	}
	back := t.TempDir()
	if err := c.DownloadDir("/tmp/site/", back, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(back, "site", "sub", "b")); err != nil || string(got) != "\n" {
		t.Errorf("downloaded %q, %v", got, err)
	}
	g.must(t, "mkdir -p /tmp/l && ln -s . /tmp/l/loop")
	if err := c.DownloadDir("/tmp/l/", t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "is a link to a directory that it is in") {
		t.Errorf("a loop: %v", err)
	}
	if err := c.Upload("~/home-file", strings.NewReader("x"), nil); err != nil {
		t.Error(err)
	}
	if got := g.must(t, "stat -c '%U %a' /home/ec2-user/home-file"); got != "ec2-user 644" {
		t.Errorf("file in the home directory: %s", got)
	}
	if err := c.Upload("/root/f", strings.NewReader("x"), nil); !errors.Is(err, os.ErrPermission) {
		t.Errorf("upload to where the user may not write: %v", err)
	}
}

func TestBootstrapRefusals(t *testing.T) {
	g := newGuest(t)
	connect := func(user string) error {
		c, err := communicator.ConnectOver(t.Context(), communicator.Config{User: user}, g.open, g.run, g.online)
		if err == nil {
			c.Disconnect()
		}
		return err
	}
	for user, words := range map[string]string{
		"nemo":   "there is no user nemo on the instance; set ssh_username",
		"nobody": "may not log in",
	} {
		if err := connect(user); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("user %s: %v", user, err)
		}
	}
	if err := connect("root"); err != nil {
		t.Errorf("root: %v", err)
	}
}

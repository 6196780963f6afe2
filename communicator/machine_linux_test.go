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
	"sync/atomic"
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
		p.end(errors.New("document worker timed out"))
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
	return &countedConn{conn, &p.g.sent}, nil
}

type countedConn struct {
	net.Conn
	sent *atomic.Int64
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.sent.Add(int64(n))
	return n, err
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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

func TestInstanceEndsItself(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	script, err := communicator.BootstrapScripts("ec2-user")
	if err != nil {
		t.Fatal(err)
	}
	const timers = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c '^packer-ssm-.*-ttl$' || :"
	g.must(t, script(time.Hour))
	g.must(t, script(2*time.Hour))
	if got := g.must(t, timers); got != "1" {
		t.Errorf("%s timers, want the first replaced by the second", got)
	}
	g.must(t, script(time.Second))
	select {
	case <-g.off:
	case <-time.After(30 * time.Second):
		t.Error("the instance is still up")
	}
}

// echo is a port of this machine that sends back what it gets.
func echo(t *testing.T) (number int) {
	t.Helper()
	listener := listen(t)
	var serving sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			})
		}
	})
	return portOf(t, listener)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func portOf(t *testing.T, listener net.Listener) (number int) {
	t.Helper()
	if _, err := fmt.Sscanf(listener.Addr().String(), "127.0.0.1:%d", &number); err != nil {
		t.Fatal(err)
	}
	return number
}

func TestTunnelsSurviveAReboot(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	reserved := listen(t)
	near := portOf(t, reserved)
	_ = reserved.Close()
	c := g.connect(t, communicator.Config{SSH: &sdkcommunicator.Config{SSH: sdkcommunicator.SSH{
		SSHLocalTunnels:  []string{fmt.Sprintf("%d:127.0.0.1:22", near)},
		SSHRemoteTunnels: []string{fmt.Sprintf("9191:127.0.0.1:%d", echo(t))},
	}}})
	try := func() {
		t.Helper()
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", near))
		if err != nil {
			t.Fatal(err)
		}
		banner := make([]byte, 8)
		if _, err := io.ReadFull(conn, banner); err != nil || string(banner) != "SSH-2.0-" {
			t.Errorf("through the local tunnel: %q, %v", banner, err)
		}
		_ = conn.Close()
		const say = `bash -c 'exec 3<>/dev/tcp/127.0.0.1/9191; echo there >&3; read -r back <&3; echo "$back"'`
		if _, out, errs := execute(t, c, say, nil); out != "there\n" {
			t.Errorf("through the remote tunnel: %q, %q", out, errs)
		}
	}
	try()
	if status, _, _ := execute(t, c, "sudo reboot; sleep 600", nil); status != packersdk.CmdDisconnect {
		t.Errorf("exit status %d", status)
	}
	if status, _, _ := execute(t, c, "true", nil); status != 0 {
		t.Errorf("exit status %d", status)
	}
	try()
}

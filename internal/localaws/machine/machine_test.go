//go:build linux

package machine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

// sharedHost is the host of all tests that don't need one of their own; TestMain closes it.
var sharedHost = sync.OnceValues(func() (*machine.Host, error) {
	dir, err := os.MkdirTemp("", "machines-")
	if err != nil {
		return nil, err
	}
	sharedDir = dir
	return machine.NewHost(context.Background(), dir)
})

var sharedDir string

func newHost(t *testing.T) *machine.Host {
	t.Helper()
	h, err := sharedHost()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func baseOf(t *testing.T, h *machine.Host, release machine.Release) machine.LayerID {
	t.Helper()
	base, err := h.Base(t.Context(), release, "x86_64")
	if err != nil {
		t.Fatal(err)
	}
	return base
}

// machines counts those that boot names.
var machines atomic.Int32

func boot(t *testing.T, h *machine.Host, s machine.Spec) *machine.Machine {
	t.Helper()
	if s.ID == "" {
		s.ID = fmt.Sprintf("i-%08x", machines.Add(1))
	}
	if s.Layers == nil {
		s.Layers = []machine.LayerID{baseOf(t, h, machine.AL2)}
	}
	m, err := h.Create(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Destroy(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	up(t, m)
	return m
}

func up(t *testing.T, m *machine.Machine) {
	t.Helper()
	if err := m.Boot(t.Context()); err != nil {
		console, consoleErr := m.Console()
		t.Fatalf("%v\n%s%v", err, console, consoleErr)
	}
}

func down(t *testing.T, m *machine.Machine) {
	t.Helper()
	if err := m.Halt(t.Context(), true); err != nil {
		t.Fatal(err)
	}
}

func capture(t *testing.T, m *machine.Machine) machine.LayerID {
	t.Helper()
	id, err := m.Capture(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// sh runs a script as user and returns its status and everything that it printed.
func sh(t *testing.T, m *machine.Machine, user, script string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	status, err := m.Exec(t.Context(), machine.Command{Path: "/bin/sh", Args: []string{"-c", script}, User: user, Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return status, strings.TrimSuffix(out.String(), "\n")
}

// must runs a script as root that has to succeed, and returns what it printed.
func must(t *testing.T, m *machine.Machine, script string) string {
	t.Helper()
	status, out := sh(t, m, "", script)
	if status != 0 {
		t.Fatalf("%s: exit status %d\n%s", script, status, out)
	}
	return out
}

// eventually waits until the script succeeds.
func eventually(t *testing.T, m *machine.Machine, script string) {
	t.Helper()
	must(t, m, "for i in $(seq 500); do if "+script+"; then exit 0; fi; sleep 0.02; done; exit 1")
}

func TestExec(t *testing.T) {
	m := boot(t, newHost(t), machine.Spec{Hostname: "web"})
	for _, c := range []struct {
		user, script, want string
		status             int
	}{
		{"", "id -un; pwd; hostname; echo $HOME", "root\n/\nweb\n/root", 0},
		{"ec2-user", "id -un; pwd; id -Gn; echo $SHELL", "ec2-user\n/home/ec2-user\nec2-user adm wheel systemd-journal\n/bin/bash", 0},
		{"ec2-user", "sudo -n id -un", "root", 0},
		{"", "su - ec2-user -c 'id -un'", "ec2-user", 0},
		{"", "echo out; echo err >&2; exit 7", "out\nerr", 7},
		{"", "kill -TERM $$", "", 128 + 15},
		{"", "sudo -u ec2-user touch /etc/x", "touch: cannot touch '/etc/x': Permission denied", 1},
	} {
		if status, out := sh(t, m, c.user, c.script); status != c.status || out != c.want {
			t.Errorf("%s: %s: got %d %q, want %d %q", c.user, c.script, status, out, c.status, c.want)
		}
	}
	if _, err := m.Exec(t.Context(), machine.Command{Path: "/nowhere"}); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("missing program: %v", err)
	}
	if _, err := m.Exec(t.Context(), machine.Command{Path: "id", User: "nobody-knows"}); err == nil {
		t.Error("missing user: no error")
	}
}

func TestExecStreams(t *testing.T) {
	m := boot(t, newHost(t), machine.Spec{})
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
	var out bytes.Buffer
	status, err := m.Exec(t.Context(), machine.Command{Path: "cat", Stdin: bytes.NewReader(data), Stdout: &out})
	if status != 0 || err != nil || !bytes.Equal(out.Bytes(), data) {
		t.Errorf("cat of %d bytes: %d, %v, %d bytes", len(data), status, err, out.Len())
	}
	out.Reset()
	if status, err := m.Exec(t.Context(), machine.Command{Path: "sh", Args: []string{"-c", "sleep 1000 & echo started"}, Stdout: &out}); status != 0 || err != nil || out.String() != "started\n" {
		t.Errorf("command that leaves a process behind: %d, %v, %q", status, err, out.String())
	}
	must(t, m, "pgrep -x sleep")
	long := strings.Repeat("x", 100_000)
	out.Reset()
	if _, err := m.Exec(t.Context(), machine.Command{Path: "printf", Args: []string{"%s", long}, Env: []string{"A=" + long}, Stdout: &out}); err != nil || out.String() != long {
		t.Errorf("long argument: %v, %d bytes", err, out.Len())
	}
}

func TestExecCancel(t *testing.T) {
	m := boot(t, newHost(t), machine.Spec{})
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	go func() {
		_, _ = reader.Read(make([]byte, 1))
		cancel()
	}()
	_, err := m.Exec(ctx, machine.Command{Path: "sh", Args: []string{"-c", "sleep 999 & echo; sleep 999"}, Stdout: writer})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	eventually(t, m, "! pgrep -x sleep")
}

func TestTerminal(t *testing.T) {
	m := boot(t, newHost(t), machine.Spec{})
	var out bytes.Buffer
	status, err := m.Exec(t.Context(), machine.Command{
		Path: "bash", Args: []string{"-c", "read line; echo got $line; stty size < /dev/tty; tty; exit 3"}, User: "ec2-user",
		Stdin: strings.NewReader("hello\n"), Stdout: &out, Terminal: &machine.Terminal{Rows: 33, Cols: 111},
	})
	if status != 3 || err != nil || !strings.Contains(out.String(), "got hello\r\n33 111\r\n/dev/pts/0") {
		t.Errorf("got %d, %v, %q", status, err, out.String())
	}
}

func TestIsolation(t *testing.T) {
	canary := filepath.Join(t.TempDir(), "canary")
	if err := os.WriteFile(canary, []byte("sings"), 0o644); err != nil {
		t.Fatal(err)
	}
	m := boot(t, newHost(t), machine.Spec{})
	for _, dir := range []string{filepath.Dir(canary), "/root/.bash_history", "/home/tester", "/state", "/old", "/new"} {
		if status, out := sh(t, m, "", "ls "+dir); status == 0 {
			t.Errorf("%s is seen in the machine: %s", dir, out)
		}
	}
	if out := must(t, m, "ps -eo pid= | sort -n | head -1"); strings.TrimSpace(out) != "1" {
		t.Errorf("first process is %s", out)
	}
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	must(t, m, "hostnamectl set-hostname changed.example && test $(hostname) = changed.example")
	if now, err := os.Hostname(); err != nil || now != hostname {
		t.Errorf("host is called %s now, %v", now, err)
	}
	for _, script := range []string{
		"echo b > /proc/sysrq-trigger", "echo x > /proc/sys/kernel/core_pattern", "mknod /dev/disk b 8 0", "date -s @0", "modprobe dummy", "mount -t ext4 /dev/vda /mnt", "cat /proc/1/environ > /dev/null && nsenter -t 1 -m ls /state",
	} {
		if status, out := sh(t, m, "", script); status == 0 {
			t.Errorf("%s: succeeded: %s", script, out)
		}
	}
	must(t, m, "mount -t tmpfs none /mnt && umount /mnt")
	must(t, m, "rm -rf /usr/share/doc /usr/bin/awk /usr/bin/perl /home /opt /var/log; test ! -e /usr/share/doc; test ! -e /home")
	_, _ = sh(t, m, "", "rm -rf --no-preserve-root /etc /root /srv /usr/share/misc")
	for _, path := range []string{canary, "/etc/passwd", "/usr/share/misc", "/usr/bin/perl", "/home", "/var/log"} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("on the host: %v", err)
		}
	}
}

func TestRootOwnsItsMachine(t *testing.T) {
	m := boot(t, newHost(t), machine.Spec{})
	must(t, m, `set -e
echo '#!/bin/sh' > /usr/local/bin/tool; chmod 755 /usr/local/bin/tool; tool
echo hello > /usr/bin/added; rm /usr/bin/added
cp /bin/true /usr/bin/awk.new; mv /usr/bin/awk.new /usr/bin/awk; awk
mkdir -p /usr/share/nginx/html /usr/lib/python3/dist-packages/mine /etc/a/b /opt/app /var/www
useradd -m app; su - app -c 'touch file'; test -f /home/app/file; echo app:secret | chpasswd; usermod -aG wheel app; userdel -r app
groupadd g1; chown nobody:g1 /opt/app
touch -d '2001-01-01' /opt/app/f; chmod 4755 /opt/app/f; ln /opt/app/f /opt/app/hard; ln -s f /opt/app/soft; mkfifo /opt/app/fifo
setfattr -n user.x -v y /opt/app/f 2>/dev/null || true`)
	must(t, m, "hostname -f; getent hosts $(hostname); ! getent hosts example.com; sudo -n true 2>&1 | wc -c | grep -qx 0")
}

func TestReboot(t *testing.T) {
	for _, script := range []string{"reboot", "systemctl reboot", "shutdown -r now", "kill -TERM 1", "systemctl reboot -f", "init 6"} {
		t.Run(script, func(t *testing.T) { reboot(t, script) })
	}
}

func reboot(t *testing.T, script string) {
	halted := make(chan machine.How, 1)
	m := boot(t, newHost(t), machine.Spec{OnHalt: func(how machine.How) { halted <- how }})
	before := must(t, m, "touch /run/left /var/left; cat /proc/sys/kernel/random/boot_id; (setsid sleep 999 >/dev/null 2>&1 &)")
	if before != m.BootID() {
		t.Errorf("boot id is %s in the machine and %s outside", before, m.BootID())
	}
	_, err := m.Exec(t.Context(), machine.Command{Path: "sh", Args: []string{"-c", script + "; sleep 100"}})
	if err != nil && !errors.Is(err, machine.ErrDown) {
		t.Fatal(err)
	}
	if how := <-halted; how != machine.Rebooted {
		t.Fatalf("machine %v", how)
	}
	if _, err := m.Dial(t.Context(), 22); !errors.Is(err, machine.ErrDown) {
		t.Errorf("dial while down: %v", err)
	}
	up(t, m)
	after := must(t, m, "test ! -e /run/left && test -e /var/left && ! pgrep -x sleep >&2 && cat /proc/sys/kernel/random/boot_id")
	if after == before {
		t.Error("boot id is the same after the reboot")
	}
}

func TestPowerOff(t *testing.T) {
	for script, want := range map[string]machine.How{
		"poweroff": machine.PoweredOff, "shutdown -h now": machine.PoweredOff, "halt -p": machine.PoweredOff, "systemctl poweroff": machine.PoweredOff,
	} {
		halted := make(chan machine.How, 1)
		m := boot(t, newHost(t), machine.Spec{OnHalt: func(how machine.How) { halted <- how }})
		if status, out := sh(t, m, "ec2-user", "shutdown -h now"); status == 0 {
			t.Fatalf("a user shuts down: %s", out)
		}
		must(t, m, "shutdown -h +10 && test ! -e /run/nologin && shutdown -r 4 && sleep 0.1 && test -e /run/nologin && shutdown -c && sleep 0.1 && test ! -e /run/nologin")
		if _, err := m.Exec(t.Context(), machine.Command{Path: "sh", Args: []string{"-c", script}}); err != nil && !errors.Is(err, machine.ErrDown) {
			t.Fatal(err)
		}
		if how := <-halted; how != want || m.Running() {
			t.Errorf("%s: machine %v, running %v", script, how, m.Running())
		}
	}
}

func TestHaltIsNotReported(t *testing.T) {
	h := newHost(t)
	m := boot(t, h, machine.Spec{OnHalt: func(how machine.How) { t.Errorf("machine %v", how) }})
	must(t, m, "trap '' TERM; (setsid sh -c 'trap \"\" TERM; sleep 999' >/dev/null 2>&1 &)")
	down(t, m)
	if _, err := m.Exec(t.Context(), machine.Command{Path: "true"}); !errors.Is(err, machine.ErrDown) {
		t.Errorf("exec on a machine that is down: %v", err)
	}
	up(t, m)
	if err := m.Boot(t.Context()); err == nil {
		t.Error("booted twice")
	}
	if err := m.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Boot(t.Context()); !errors.Is(err, machine.ErrDestroyed) {
		t.Errorf("boot of a destroyed machine: %v", err)
	}
}

func TestDial(t *testing.T) {
	m := boot(t, newHost(t), machine.Spec{})
	conn, err := m.Dial(t.Context(), 22)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	banner := make([]byte, 8)
	if _, err := io.ReadFull(conn, banner); err != nil || string(banner) != "SSH-2.0-" {
		t.Errorf("%q, %v", banner, err)
	}
	if _, err := m.Dial(t.Context(), 23); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("closed port: %v", err)
	}
}

func TestMetadata(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /latest/meta-data/instance-id", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "i-1") })
	m := boot(t, newHost(t), machine.Spec{Metadata: mux, PrivateIP: netip.MustParseAddr("172.31.5.6"), Hostname: "ip-172-31-5-6.ec2.internal"})
	out := must(t, m, "curl -s http://169.254.169.254/latest/meta-data/instance-id; echo; getent hosts ip-172-31-5-6.ec2.internal; curl -sm5 http://example.com; echo $?")
	if out != "i-1\n172.31.5.6      ip-172-31-5-6.ec2.internal\n6" {
		t.Errorf("got %q", out)
	}
	down(t, m)
	up(t, m)
	must(t, m, "curl -sf http://169.254.169.254/latest/meta-data/instance-id")
}

func TestManyMachines(t *testing.T) {
	h := newHost(t)
	base := baseOf(t, h, machine.AL2023)
	var wait sync.WaitGroup
	for _, id := range strings.Fields("a b c d e f g h i j") {
		wait.Go(func() {
			m, err := h.Create(t.Context(), machine.Spec{ID: id, Layers: []machine.LayerID{base}})
			if err != nil {
				t.Error(err)
				return
			}
			defer func() {
				if err := m.Destroy(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			}()
			if err := m.Boot(t.Context()); err != nil {
				t.Error(err)
				return
			}
			var out bytes.Buffer
			if _, err := m.Exec(t.Context(), machine.Command{Path: "hostname", Stdout: &out}); err != nil || out.String() != id+"\n" {
				t.Errorf("%s: %q, %v", id, out.String(), err)
			}
		})
	}
	wait.Wait()
}

// within fails the test when the condition does not come true.
func within(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if condition() {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatalf("not within 20 s: %s", what)
}

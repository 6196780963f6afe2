package communicator_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	sdkcommunicator "github.com/hashicorp/packer-plugin-sdk/communicator"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"golang.org/x/crypto/ssh/agent"

	"github.com/taccoform/packer-plugin-ssm/communicator"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

// lose ends every session to the guest, as the maximum duration does.
func (g *guest) lose() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for p := range g.ports {
		p.End(errors.New("maximum duration"))
	}
	clear(g.ports)
}

// trigger is a writer that calls what is due when so many bytes have come.
type trigger struct {
	bytes.Buffer
	due map[int]func()
}

func (w *trigger) Write(b []byte) (int, error) {
	n, err := w.Buffer.Write(b)
	for at, call := range w.due {
		if w.Len() >= at {
			delete(w.due, at)
			call()
		}
	}
	return n, err
}

// numbers is what `seq to` writes.
func numbers(to int) string {
	var text strings.Builder
	for n := 1; n <= to; n++ {
		fmt.Fprintln(&text, n)
	}
	return text.String()
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	t.Errorf("%s: %d bytes, want %d; they differ from byte %d on: %.60q, want %.60q", what, len(got), len(want), at, got[at:], want[at:])
}

// TestJobIsAsUnderSSH compares a command that can outlive its connection with
// one that has input and so can't.
func TestJobIsAsUnderSSH(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.must(t, `echo 'export RC=$RC:read; umask 027; greet() { echo hello; }' >>/home/ec2-user/.bashrc`)
	c := g.connect(t, communicator.Config{Say: func(s string) { t.Log(s) }})
	for name, command := range map[string]string{
		"environment":     `env | grep -v -e ^SSH_C -e ^XDG_SESSION_ID | sort`,
		"shell":           `echo "$0 $# $- $SHLVL"; pwd; umask; ulimit -a; type greet; greet`,
		"descriptors":     `ls /proc/self/fd; readlink /proc/self/fd/1 /proc/self/fd/2 | sed 's/[0-9]*//g'`,
		"no terminal":     `tty; ps -o tty= -p $$ 2>/dev/null; (exec </dev/tty) 2>&1 | sed 's/.*: //'`,
		"signals":         `grep ^Sig[BIC] /proc/self/status`,
		"status":          `exit 200`,
		"killed":          `kill -9 $$`,
		"syntax error":    `if`,
		"not found":       `no-such-program`,
		"here document":   "cat <<END\n$HOME 'x'\nEND",
		"reopened output": `echo one; echo two >/dev/stdout; echo three >/dev/stderr`,
		"sudo":            `sudo id; sudo sh -c 'echo $SUDO_USER; exit 5'`,
		"script":          `printf '#!/bin/sh\necho "$0 $1"\nexit 9\n' >/tmp/s; chmod +x /tmp/s; V=1 /tmp/s x`,
		"background":      `(sleep 0.5; echo late) & echo early`,
		"exec":            `exec sh -c 'echo replaced; exit 3'`,
		"in between":      `printf 'no newline'; printf '\0\r\n\n' >&2`,
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			wantStatus, wantOut, wantErrs := execute(t, c, command, strings.NewReader(""))
			status, out, errs := execute(t, c, command, nil)
			if status != wantStatus {
				t.Errorf("exit status %d, want %d", status, wantStatus)
			}
			same(t, "stdout", out, wantOut)
			same(t, "stderr", errs, wantErrs)
		})
	}
	if left := g.must(t, "ls /run/"+c.Name()+"/jobs | sed 's/[.].*//' | sort -u | wc -l"); left != "1" {
		t.Errorf("files of %s jobs are left, want those of the last one", left)
	}
}

// TestJobOutlivesItsConnection loses the session in the middle of what commands
// write.
func TestJobOutlivesItsConnection(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	c := g.connect(t, communicator.Config{Say: func(s string) { t.Log(s) }})
	run := func(t *testing.T, command string, due map[int]func()) (status int, out, errs string) {
		t.Helper()
		stdout, stderr := &trigger{due: due}, &bytes.Buffer{}
		cmd := &packersdk.RemoteCmd{Command: command, Stdout: stdout, Stderr: stderr}
		if err := c.Start(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
		status = cmd.Wait()
		return status, stdout.String(), stderr.String()
	}
	t.Run("once", func(t *testing.T) {
		status, out, errs := run(t, "echo first; sleep 1; echo second; echo oops >&2; exit 7", map[int]func(){1: g.lose})
		if status != 7 || out != "first\nsecond\n" || errs != "oops\n" {
			t.Errorf("status %d, stdout %q, stderr %q", status, out, errs)
		}
	})
	t.Run("in-a-flood", func(t *testing.T) {
		due := map[int]func(){1 << 20: g.lose, 3 << 20: g.lose, 9 << 20: g.lose, 15 << 20: g.lose}
		status, out, errs := run(t, "seq 1 3000000; seq 1 100 >&2; exit 3", due)
		if status != 3 {
			t.Errorf("status %d", status)
		}
		same(t, "stdout", out, numbers(3_000_000))
		same(t, "stderr", errs, numbers(100))
	})
	t.Run("line-by-line", func(t *testing.T) {
		due := map[int]func(){}
		for n := range 8 {
			due[100+n*400] = g.lose
		}
		status, out, errs := run(t, "n=0; while [ $n -lt 1000 ]; do n=$((n+1)); echo $n; echo $n >&2; [ $((n%50)) != 0 ] || sleep 0.1; done; exit 9", due)
		if status != 9 {
			t.Errorf("status %d", status)
		}
		same(t, "stdout", out, numbers(1000))
		same(t, "stderr", errs, numbers(1000))
	})
	t.Run("its-own-sshd", func(t *testing.T) {
		status, out, _ := run(t, "echo before; sudo pkill -x 'sshd|sshd-session'; sleep 1; echo after; exit 4", nil)
		if status != 4 || out != "before\nafter\n" {
			t.Errorf("status %d, stdout %q", status, out)
		}
	})
	t.Run("several", func(t *testing.T) {
		var running sync.WaitGroup
		for n := range 4 {
			running.Go(func() {
				due := map[int]func(){}
				if n == 0 {
					due[3] = g.lose
				}
				command := fmt.Sprintf("for i in 1 2 3 4 5 6; do echo %d$i; sleep 0.2; done; exit %d", n, n)
				status, out, _ := run(t, command, due)
				if want := fmt.Sprintf("%[1]d1\n%[1]d2\n%[1]d3\n%[1]d4\n%[1]d5\n%[1]d6\n", n); status != n || out != want {
					t.Errorf("status %d, stdout %q, want %q", status, out, want)
				}
			})
		}
		running.Wait()
	})
}

// TestFollowerBeforeTheFile has a job that has said which process writes its
// output, whose file is not there yet: what the follower's shell and tools say
// of that is not the command's output.
func TestFollowerBeforeTheFile(t *testing.T) {
	for _, shell := range []string{"sh", "bash"} {
		job := filepath.Join(t.TempDir(), "1")
		put := func(name, content string) {
			t.Helper()
			if err := os.WriteFile(job+"."+name, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		pump := exec.CommandContext(t.Context(), "sleep", "3600")
		if err := pump.Start(); err != nil {
			t.Fatal(err)
		}
		put("pid", fmt.Sprintln(pump.Process.Pid, os.Getpid()))
		put("o.index", fmt.Sprintln(0, pump.Process.Pid))
		put("e.index", fmt.Sprintln(0, pump.Process.Pid))
		var stdout, stderr bytes.Buffer
		follower := exec.CommandContext(t.Context(), shell, "job.sh")
		follower.Env = append(os.Environ(), "ssm_verb=follow", "ssm_job="+job, "ssm_out=0", "ssm_err=2")
		follower.Stdout, follower.Stderr = &stdout, &stderr
		if err := follower.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond) // it looks twenty times a second
		put("status", "7\n")
		put("o.0", "one\n")
		put("e.0", "a\nb\n")
		put("o.end", "")
		put("e.end", "")
		_ = pump.Process.Kill()
		_ = pump.Wait()
		if err := follower.Wait(); follower.ProcessState.ExitCode() != 7 || stdout.String() != "one\n" || stderr.String() != "b\n" {
			t.Errorf("%s: %v, stdout %q, stderr %q", shell, err, stdout.String(), stderr.String())
		}
	}
}

// TestJobWaitsForItsReader checks that a command whose connection is lost is
// held up, rather than filling the machine's memory.
func TestJobWaitsForItsReader(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	c := g.connect(t, communicator.Config{Say: func(s string) { t.Log(s) }})
	stdout := &trigger{}
	hold := make(chan struct{})
	stdout.due = map[int]func(){1 << 20: func() {
		g.mu.Lock()
		up := g.up
		g.up = make(chan struct{}) // no session can be opened
		held := g.up
		g.mu.Unlock()
		g.lose()
		go func() {
			<-hold
			g.mu.Lock()
			g.up = up
			g.mu.Unlock()
			close(held)
		}()
	}}
	cmd := &packersdk.RemoteCmd{Command: "head -c 40000000 /dev/zero; exit 2", Stdout: stdout}
	if err := c.Start(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	size := func() (n int) {
		var out bytes.Buffer
		_, _ = g.Exec(t.Context(), machine.Command{Path: "/bin/sh", Args: []string{"-c", "du -sk /run/" + c.Name() + "/jobs"}, Stdout: &out})
		_, _ = fmt.Sscan(out.String(), &n)
		return n
	}
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	full := 0
	for last := -1; full < 16<<10 || full != last; {
		last = full
		<-tick.C
		full = size()
	}
	if full < 16<<10 || full > 28<<10 {
		t.Errorf("%d KiB are kept", full)
	}
	close(hold)
	if status := cmd.Wait(); status != 2 || sha256.Sum256(stdout.Bytes()) != sha256.Sum256(make([]byte, 40_000_000)) {
		t.Errorf("status %d, %d bytes", status, stdout.Len())
	}
}

func TestDisconnectEndsTheJob(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	for name, leave := range map[string]func(*communicator.Communicator){
		"disconnect": (*communicator.Communicator).Disconnect,
		"close after a loss": func(c *communicator.Communicator) {
			g.lose()
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		},
	} {
		c := g.connect(t, communicator.Config{Say: func(s string) { t.Log(s) }})
		r, w := io.Pipe()
		cmd := &packersdk.RemoteCmd{Command: "echo up; sudo sleep 4711; sleep 4711", Stdout: w}
		if err := c.Start(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadFull(r, make([]byte, 3))
		go func() { _, _ = io.Copy(io.Discard, r) }()
		leave(c)
		if status := cmd.Wait(); status != packersdk.CmdDisconnect {
			t.Errorf("%s: status %d", name, status)
		}
		_ = w.Close()
		deadline := time.Now().Add(20 * time.Second)
		for g.must(t, "pgrep -f 'sleep 471[1]' || :") != "" {
			if time.Now().After(deadline) {
				t.Fatalf("%s: the command goes on", name)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// TestAgentForwarding has an SSH agent with one key on this machine.
func TestAgentForwarding(t *testing.T) {
	ring := agent.NewKeyring()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err == nil {
		err = ring.Add(agent.AddedKey{PrivateKey: key, Comment: "from afar"})
	}
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agent") // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
		_ = os.RemoveAll(dir)
	})
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				_ = agent.ServeAgent(ring, conn)
				_ = conn.Close()
			})
		}
	})
	t.Setenv("SSH_AUTH_SOCK", dir+"/s")
	g := newGuest(t)
	c, err := communicator.ConnectOver(t.Context(), communicator.Config{}, g.open, g.run, g.online)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Disconnect)
	for _, when := range []string{"first", "later", "after a loss"} {
		if when == "after a loss" {
			g.lose()
		}
		if status, out, errs := execute(t, c, "ssh-add -l", nil); status != 0 || !strings.Contains(out, "from afar") {
			t.Errorf("%s: status %d, stdout %q, stderr %q", when, status, out, errs)
		}
	}
}

// TestTerminal checks that commands have a terminal where ssh_pty asks for it.
func TestTerminal(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	c := g.connect(t, communicator.Config{SSH: &sdkcommunicator.Config{SSH: sdkcommunicator.SSH{SSHPty: true}}})
	if status, out, _ := execute(t, c, "tty >/dev/null && echo yes; exit 6", nil); status != 6 || out != "yes\r\n" {
		t.Errorf("status %d, stdout %q", status, out)
	}
}

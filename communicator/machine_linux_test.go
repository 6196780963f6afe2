package communicator_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/communicator"
)

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
		p.End(errors.New("maximum duration"))
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

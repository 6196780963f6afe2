package communicator_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	sdkcommunicator "github.com/hashicorp/packer-plugin-sdk/communicator"

	"github.com/taccoform/packer-plugin-ssm/communicator"
)

// TestRebootInADownload: what has been given to the output is not given again.
func TestRebootInADownload(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	c := g.connect(t, communicator.Config{})
	g.must(t, "head -c 20000000 /dev/urandom >/home/ec2-user/f")
	sum := g.must(t, "sha256sum </home/ec2-user/f")
	var back bytes.Buffer
	var once sync.Once
	err := c.Download("f", writerFunc(func(b []byte) (int, error) {
		if back.Len() > 6_000_000 {
			once.Do(func() { g.must(t, "(sleep 0.1; reboot) >/dev/null 2>&1 &") })
		}
		return back.Write(b)
	}))
	if err != nil || hexSum(back.Bytes())+"  -" != sum {
		t.Errorf("%d bytes came back, %v", back.Len(), err)
	}
	g.clean(t)
}

// TestDiskFull: whoever fills the instance's disk is told so, and nothing of
// the file stays.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	c := g.connect(t, communicator.Config{})
	g.must(t, "mkdir /srv/small && mount -t tmpfs -o size=3m,mode=777 tmpfs /srv/small")
	content := random(6 << 20)
	local := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(local, content, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(local)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(local+".d", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(local, filepath.Join(local+".d", "f")); err != nil {
		t.Fatal(err)
	}
	for name, upload := range map[string]func() error{
		"of known size":   func() error { return c.Upload("/srv/small/f", bytes.NewReader(content), &info) },
		"of unknown size": func() error { return c.Upload("/srv/small/f", onlyReader{bytes.NewReader(content)}, nil) },
		"small":           func() error { return fill(c, "/srv/small", random(250<<10)) },
		"directory":       func() error { return c.UploadDir("/srv/small", local+".d/", nil) },
	} {
		err := upload()
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), "no space left") {
			t.Errorf("%s: %v", name, err)
		}
		if left := g.must(t, "cd /srv/small && find . -type f ! -name 'n*'; find /srv/small -name n16 -o -name n15 -o -name n14"); left != "" {
			t.Errorf("%s: left: %s", name, left)
		}
		g.must(t, "rm -rf /srv/small/*") // the small ones that there was room for
	}
	if err := c.Upload("/srv/small/f", bytes.NewReader(content[:1<<20]), nil); err != nil {
		t.Errorf("what there is room for: %v", err)
	}
	g.clean(t)
}

// fill uploads small files until one fails.
func fill(c *communicator.Communicator, folder string, content []byte) error {
	for n := range 20 {
		if err := c.Upload(fmt.Sprintf("%s/n%d", folder, n), bytes.NewReader(content), nil); err != nil {
			return err
		}
	}
	return nil
}

// TestStripesWithOwnCredentials goes to the machine's own sshd, which is
// nobody's but the machine's.
func TestStripesWithOwnCredentials(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	key := filepath.Join(t.TempDir(), "key")
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	g.must(t, fmt.Sprintf("install -d -o ec2-user -m 700 /home/ec2-user/.ssh; echo '%s' >/home/ec2-user/.ssh/authorized_keys; chown ec2-user /home/ec2-user/.ssh/authorized_keys",
		strings.TrimSpace(string(public))))
	c := g.connect(t, communicator.Config{OwnCredentials: true, SSH: &sdkcommunicator.Config{SSH: sdkcommunicator.SSH{
		SSHUsername: "ec2-user", SSHPrivateKeyFile: key,
	}}})
	content := random(20 << 20)
	in := &hookReader{bytes.NewReader(content), 16 << 20, func() { g.loseSome(5) }}
	if err := c.Upload("f", onlyReader{in}, nil); err != nil {
		t.Fatal(err)
	}
	if got := g.must(t, "sha256sum </home/ec2-user/f"); got != hexSum(content)+"  -" {
		t.Error("wrong content")
	}
	g.mu.Lock()
	open := len(g.ports)
	g.mu.Unlock()
	if open < 3 {
		t.Errorf("%d sessions", open)
	}
	var back bytes.Buffer
	if err := c.Download("f", io.Writer(&back)); err != nil || !bytes.Equal(back.Bytes(), content) {
		t.Errorf("%d bytes came back, %v", back.Len(), err)
	}
	if started := g.must(t, "ls -d /run/packer-ssm-* 2>/dev/null || :"); started != "" {
		t.Errorf("a daemon was started: %s", started)
	}
	g.clean(t)
}

package communicator_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/communicator"
)

func hexSum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// clean checks that no transfer left anything on the guest.
func (g *guest) clean(t *testing.T) {
	t.Helper()
	if left := g.must(t, "find /tmp /var/tmp /home /root -name '.packer-ssm-*'; pgrep -fa '[.]packer-ssm-[0-9a-f]' || :"); left != "" {
		t.Errorf("left on the instance: %s", left)
	}
}

// onlyReader hides that the input could be read twice.
type onlyReader struct{ io.Reader }

// hookReader calls f once, when so many bytes have been read.
type hookReader struct {
	io.ReadSeeker
	after int64
	f     func()
}

func (h *hookReader) Read(b []byte) (int, error) {
	n, err := h.ReadSeeker.Read(b)
	if h.after -= int64(n); h.after <= 0 && h.f != nil {
		h.f()
		h.f = nil
	}
	return n, err
}

// What a target is decides how it is written, and what it is stays.
func TestTargetsStayWhatTheyAre(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	c := g.connect(t, communicator.Config{})
	g.must(t, `cd /tmp && umask 022 && su ec2-user -c 'echo old >linked && ln -s linked link && echo old >twice && ln twice again && echo old >modes && chmod 751 modes && ln -s none dangling'
		mkdir /srv/d && echo old >/srv/d/roots && chmod 666 /srv/d/roots && mkdir /tmp/folder`)
	for name, want := range map[string]string{
		"/tmp/link": "symbolic link", "/tmp/twice": "regular file 2", "/tmp/modes": "regular file 1 751 ec2-user",
		"/srv/d/roots": "regular file 1 666 root", "/tmp/dangling": "symbolic link",
	} {
		content := random(1 << 20)
		if err := c.Upload(name, bytes.NewReader(content), nil); err != nil {
			t.Error(err)
			continue
		}
		if got := g.must(t, "stat -c '%F %h %a %U' "+name); !strings.HasPrefix(got, want) {
			t.Errorf("%s is now %q, want %q", name, got, want)
		}
		if got := g.must(t, "sha256sum <"+name); got != hexSum(content)+"  -" {
			t.Errorf("%s: wrong content", name)
		}
	}
	if err := c.Upload("/tmp/folder", bytes.NewReader(random(1<<20)), nil); err == nil || !strings.Contains(err.Error(), "end the destination with a slash") {
		t.Errorf("onto a directory: %v", err)
	}
	if err := c.Upload("/srv/d/new", bytes.NewReader(random(1<<20)), nil); !errors.Is(err, os.ErrPermission) {
		t.Errorf("to where the user may not write: %v", err)
	}
	if err := c.Upload("/tmp/none/new", bytes.NewReader(random(1<<20)), nil); err == nil || !strings.Contains(err.Error(), "does the directory /tmp/none exist?") {
		t.Errorf("to a directory that does not exist: %v", err)
	}
	g.clean(t)
}

func TestUnchangedIsNotSentAgain(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	c := g.connect(t, communicator.Config{})
	content := random(5<<20 + 7)
	local := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(local, content, 0o640); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(local)
	if err != nil {
		t.Fatal(err)
	}
	send := func(content []byte) (sent int64) {
		before := g.sent.Load()
		if err := c.Upload("/tmp/f", onlyReader{bytes.NewReader(content)}, &info); err != nil {
			t.Fatal(err)
		}
		if got := g.must(t, "sha256sum </tmp/f; stat -c %a /tmp/f"); got != hexSum(content)+"  -\n640" {
			t.Errorf("on the instance %q", got)
		}
		return g.sent.Load() - before
	}
	if sent := send(content); sent < int64(len(content)) {
		t.Errorf("%d bytes went at first", sent)
	}
	inode := g.must(t, "stat -c %i:%y /tmp/f")
	if sent := send(content); sent > 100_000 {
		t.Errorf("%d bytes went for the same again", sent)
	}
	if again := g.must(t, "stat -c %i:%y /tmp/f"); again != inode {
		t.Errorf("the file was %s and is %s", inode, again)
	}
	content[3<<20]++
	if sent := send(content); sent > 2<<20 {
		t.Errorf("%d bytes went for one that differs", sent)
	}
	if sent := send(append(content, 'x')); sent == 0 { // not as long as announced
		t.Error("nothing went")
	}
	if sent := send(content); sent == 0 {
		t.Error("nothing went")
	}
	if status, _, _ := execute(t, c, "sudo reboot; sleep 600", nil); status != packersdk.CmdDisconnect {
		t.Errorf("exit status %d", status)
	}
	if sent := send(content); sent > 100_000 {
		t.Errorf("%d bytes went for the same again after a reboot", sent)
	}
	g.clean(t)
}

// With fewer sessions than wanted a transfer takes longer and is no error.
func TestFewerSessions(t *testing.T) {
	t.Parallel()
	for _, allowed := range []int32{1, 3} {
		t.Run(fmt.Sprint(allowed), func(t *testing.T) {
			t.Parallel()
			g := newGuest(t)
			var opened atomic.Int32
			open := func(ctx context.Context, number int) (communicator.Port, error) {
				if opened.Add(1) > allowed {
					return nil, errors.New("ThrottlingException: Rate exceeded")
				}
				return g.open(ctx, number)
			}
			c, err := communicator.ConnectOver(t.Context(), communicator.Config{}, open, g.run, g.online)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Disconnect()
			content := random(8 << 20)
			if err := c.Upload("/tmp/f", bytes.NewReader(content), nil); err != nil {
				t.Fatal(err)
			}
			var back bytes.Buffer
			if err := c.Download("/tmp/f", &back); err != nil || !bytes.Equal(back.Bytes(), content) {
				t.Errorf("%d bytes came back, %v", back.Len(), err)
			}
			g.clean(t)
		})
	}
}

// loseSome ends n sessions, whichever.
func (g *guest) loseSome(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for p := range g.ports {
		if n > 0 {
			p.End(errors.New("terminated by an operator"))
			delete(g.ports, p)
			n--
		}
	}
}

func TestSessionsLostInATransfer(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]int{"one": 1, "half": 5, "all": 99} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuest(t)
			c := g.connect(t, communicator.Config{})
			content := random(18 << 20)
			// Not to be read twice: what was not confirmed is kept.
			in := onlyReader{&hookReader{bytes.NewReader(content), 14 << 20, func() { g.loseSome(lose) }}}
			if err := c.Upload("/tmp/f", in, nil); err != nil {
				t.Fatal(err)
			}
			if got := g.must(t, "sha256sum </tmp/f"); got != hexSum(content)+"  -" {
				t.Error("wrong content")
			}
			var back bytes.Buffer
			once := int64(8 << 20)
			err := c.Download("/tmp/f", writerFunc(func(b []byte) (int, error) {
				if once -= int64(len(b)); once <= 0 && once > -int64(len(b)) {
					g.loseSome(lose)
				}
				return back.Write(b)
			}))
			if err != nil || !bytes.Equal(back.Bytes(), content) {
				t.Errorf("%d bytes came back, %v", back.Len(), err)
			}
			g.clean(t)
		})
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestRebootInAnUpload(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	c := g.connect(t, communicator.Config{})
	content := random(20 << 20)
	in := &hookReader{bytes.NewReader(content), 16 << 20, func() {
		if _, err := g.run(t.Context(), "rm -f /tmp/.packer-ssm-*; (sleep 0.1; reboot) >/dev/null 2>&1 &"); err != nil {
			t.Error(err)
		}
	}}
	if err := c.Upload("/tmp/f", in, nil); err != nil {
		t.Fatal(err)
	}
	if got := g.must(t, "sha256sum </tmp/f"); got != hexSum(content)+"  -" {
		t.Error("wrong content")
	}
	g.clean(t)
}

func TestFailedTransfersLeaveNothing(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	c := g.connect(t, communicator.Config{})
	failing := errors.New("disk full")
	broken := io.MultiReader(bytes.NewReader(random(8<<20)), readerFunc(func([]byte) (int, error) { return 0, failing }))
	if err := c.Upload("/tmp/f", broken, nil); !errors.Is(err, failing) {
		t.Errorf("upload of a failing reader: %v", err)
	}
	if got := g.must(t, "ls /tmp/f 2>&1 || :"); !strings.Contains(got, "No such file") {
		t.Errorf("left: %s", got)
	}
	g.must(t, "head -c 9000000 /dev/urandom >/tmp/g")
	if err := c.Download("/tmp/g", writerFunc(func([]byte) (int, error) { return 0, failing })); !errors.Is(err, failing) {
		t.Errorf("download to a failing writer: %v", err)
	}
	grown := false
	err := c.Download("/tmp/g", writerFunc(func(b []byte) (int, error) {
		if !grown {
			grown = true
			g.must(t, "echo more >>/tmp/g")
		}
		return len(b), nil
	}))
	if err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("download of a file that grows: %v", err)
	}
	if err := c.Download("/proc/cpuinfo", io.Discard); err != nil {
		t.Errorf("a file without a size: %v", err)
	}
	g.clean(t)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

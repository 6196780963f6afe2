package communicator

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// noise is n bytes of which no two runs are alike, but each test run is.
func noise(n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(b)
	return b
}

func TestFilesGoThereAndBack(t *testing.T) {
	c := connectTo(t, newInstance(t), Config{})
	for name, content := range map[string][]byte{
		"empty": nil, "newline": []byte("\n"), "small": []byte("text\r\n"), "packet": noise(packetSize), "large": noise(5 << 20),
	} {
		// A reader without a size, as Packer's RPC gives one.
		if err := c.Upload(name, io.MultiReader(bytes.NewReader(content)), nil); err != nil {
			t.Fatal(err)
		}
		var back bytes.Buffer
		if err := c.Download("~/"+name, &back); err != nil {
			t.Fatal(err)
		}
		if sha256.Sum256(back.Bytes()) != sha256.Sum256(content) {
			t.Errorf("%s: %d bytes came back, want %d equal ones", name, back.Len(), len(content))
		}
	}
}

func TestUploadReplacesAndSetsTheMode(t *testing.T) {
	i := newInstance(t)
	c := connectTo(t, i, Config{})
	local := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(local, []byte("short"), 0o750); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(local)
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"longer than that", "short"} {
		if err := c.Upload("f", strings.NewReader(content), &info); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(filepath.Join(i.home, "f"))
	if err != nil || string(got) != "short" {
		t.Errorf("read %q, %v", got, err)
	}
	there, err := os.Stat(filepath.Join(i.home, "f"))
	if err != nil || runtime.GOOS != "windows" && there.Mode().Perm() != 0o750 {
		t.Errorf("mode %v, %v", there.Mode(), err)
	}
}

func TestTransferErrorsSayWhatToDo(t *testing.T) {
	i := newInstance(t)
	c := connectTo(t, i, Config{})
	if err := os.Mkdir(filepath.Join(i.home, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	check := func(err error, words string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("error %v, want %q in it", err, words)
		}
	}
	check(c.Upload("dir", strings.NewReader("x"), nil), "end the destination with a slash")
	check(c.Upload("none/f", strings.NewReader("x"), nil), "does the directory none exist?")
	check(c.Download("dir", io.Discard), "end the source with a slash")
	if err := c.Download("none", io.Discard); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("download of nothing: %v", err)
	}
	failing := errors.New("disk full")
	if err := c.Download("dir/../f", failingWriter{failing}); err == nil {
		t.Error("download of nothing succeeded")
	}
	lay(t, i.home, map[string]string{"f": "old"})
	for size, left := range map[int]int64{1 << 20: 3, 3 << 20: 0} { // read whole before anything is written, and not
		err := c.Upload("f", io.MultiReader(bytes.NewReader(noise(size)), failingReader{failing}), nil)
		if !errors.Is(err, failing) {
			t.Errorf("upload of a failing reader: %v", err)
		}
		if info, err := os.Stat(filepath.Join(i.home, "f")); err != nil || info.Size() > left {
			t.Errorf("an upload that failed after %d bytes left %v, %v", size, info, err)
		}
	}
	if err := c.Upload("f", bytes.NewReader(noise(1<<20)), nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Download("f", failingWriter{failing}); !errors.Is(err, failing) {
		t.Errorf("download to a failing writer: %v", err)
	}
}

// An input that breaks off is not one that has ended.
func TestUploadOfATruncatedInput(t *testing.T) {
	c := connectTo(t, newInstance(t), Config{})
	for _, size := range []int{10, 3 << 20} {
		err := c.Upload("f", io.MultiReader(bytes.NewReader(noise(size)), failingReader{io.ErrUnexpectedEOF}), nil)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("broken off after %d bytes: %v", size, err)
		}
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// cutReader cuts the power when it is read for the nth time.
type cutReader struct {
	from io.Reader
	n    int
	cut  func()
}

func (r *cutReader) Read(b []byte) (int, error) {
	if r.n--; r.n == 0 {
		r.cut()
	}
	return r.from.Read(b)
}

func TestUploadAcrossAReboot(t *testing.T) {
	i := newInstance(t)
	c := connectTo(t, i, Config{})
	// Lost before it begins: nobody notices.
	i.cut()
	if err := c.Upload("f", strings.NewReader("text"), nil); err != nil {
		t.Fatal(err)
	}
	// Lost in the middle: an error, soon.
	err := c.Upload("f", &cutReader{bytes.NewReader(noise(4 << 20)), 50, i.cut}, nil)
	if err == nil || !strings.Contains(err.Error(), "connection lost") {
		t.Errorf("upload cut in the middle: %v", err)
	}
	if err := c.Upload("f", strings.NewReader("text"), nil); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// lay makes files from a map of paths to contents; a path that ends with a
// slash is a directory, a content that begins with "->" a link.
func lay(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch target, link := strings.CutPrefix(content, "->"); {
		case err != nil:
		case link:
			err = os.Symlink(target, path)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// listing is the opposite of lay, without links.
func listing(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			found[filepath.ToSlash(rel)+"/"] = ""
			return nil
		}
		content, err := os.ReadFile(path)
		found[filepath.ToSlash(rel)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestDirectories(t *testing.T) {
	source := filepath.Join(t.TempDir(), "site")
	lay(t, source, map[string]string{
		"a": "1", "with space": "2", ".hidden": "3", "sub/b": "\n", "sub/deep/c": "", "empty/": "",
		"link": "->a", "dirlink": "->sub", "skip/x": "no", "sub/y.log": "no",
	})
	whole := map[string]string{
		"a": "1", "with space": "2", ".hidden": "3", "sub/": "", "sub/b": "\n", "sub/deep/": "", "sub/deep/c": "",
		"empty/": "", "link": "1", "dirlink/": "", "dirlink/b": "\n", "dirlink/deep/": "", "dirlink/deep/c": "",
	}
	named := map[string]string{"site/": ""}
	for name, content := range whole {
		named["site/"+name] = content
	}
	exclude := []string{"skip", "*.log"}
	i := newInstance(t)
	c := connectTo(t, i, Config{})
	for name, c2 := range map[string]struct {
		src  string
		want map[string]string
	}{
		"contents": {source + "/", whole},
		"named":    {source, named},
	} {
		if err := c.UploadDir(name, c2.src, exclude); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c2.want, listing(t, filepath.Join(i.home, name))); diff != "" {
			t.Errorf("upload of %s (-want +got):\n%s", c2.src, diff)
		}
	}
	back := t.TempDir()
	if err := c.DownloadDir("named/site/", back, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(named, listing(t, back)); diff != "" {
		t.Errorf("download (-want +got):\n%s", diff)
	}
	back = t.TempDir()
	if err := c.DownloadDir("contents/*", back, []string{"dirlink", "sub/deep", "l*"}); err != nil {
		t.Fatal(err)
	}
	if got := listing(t, back); got["a"] != "1" || got[".hidden"] != "" || got["sub/b"] != "\n" {
		t.Errorf("download of a pattern: %v", got)
	}
}

func TestDirectoryModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	source := filepath.Join(t.TempDir(), "d")
	lay(t, source, map[string]string{"read-only/f": "x", "exec": "y"})
	for name, mode := range map[string]fs.FileMode{"read-only": 0o555, "exec": 0o700} {
		if err := os.Chmod(filepath.Join(source, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	i := newInstance(t)
	c := connectTo(t, i, Config{})
	if err := c.UploadDir("up", source, nil); err != nil {
		t.Fatal(err)
	}
	back := t.TempDir()
	if err := c.DownloadDir("up/d", back, nil); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{filepath.Join(i.home, "up", "d"), filepath.Join(back, "d"), source} {
		for name, mode := range map[string]fs.FileMode{"read-only": 0o555, "exec": 0o700} {
			info, err := os.Stat(filepath.Join(root, name))
			if err != nil || info.Mode().Perm() != mode {
				t.Errorf("%s in %s: %v, %v", name, root, info.Mode(), err)
			}
		}
		if err := os.Chmod(filepath.Join(root, "read-only"), 0o755); err != nil {
			t.Error(err)
		}
	}
}

func TestDirectoryErrors(t *testing.T) {
	i := newInstance(t)
	c := connectTo(t, i, Config{})
	source := t.TempDir()
	lay(t, source, map[string]string{"loop": "->."})
	if err := c.UploadDir("up", source, nil); err == nil || !strings.Contains(err.Error(), "is a link to a directory that it is in") {
		t.Errorf("a loop: %v", err)
	}
	dangling := t.TempDir()
	lay(t, dangling, map[string]string{"a": "1", "link": "->gone"})
	if err := c.UploadDir("up", dangling, nil); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "it is a link to gone, which does not exist") {
		t.Errorf("a link that leads nowhere: %v", err)
	}
	lay(t, i.home, map[string]string{"l/loop": "->."})
	// The double does not resolve links in a real path, as OpenSSH does; there
	// the system's own limit is met.
	if err := c.DownloadDir("l/", t.TempDir(), nil); err == nil {
		t.Errorf("a remote loop: %v", err)
	}
	if err := c.DownloadDir("none/*", t.TempDir(), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a pattern without a match: %v", err)
	}
	if err := c.UploadDir("up", filepath.Join(source, "none"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no source: %v", err)
	}
}

func TestUploadHoldsLittleMemory(t *testing.T) {
	i := newInstance(t)
	c := connectTo(t, i, Config{})
	const size = 100 << 20
	peak := &peakReader{from: io.LimitReader(rand.NewChaCha8([32]byte{2}), size)}
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := c.Upload("big", peak, nil); err != nil {
		t.Fatal(err)
	}
	// The server of the double is in this process too.
	if extra := int64(peak.inUse) - int64(before.HeapInuse); extra > 64<<20 {
		t.Errorf("%d MiB more in use", extra>>20)
	}
	info, err := os.Stat(filepath.Join(i.home, "big"))
	if err != nil || info.Size() != size {
		t.Errorf("arrived: %v, %v", info.Size(), err)
	}
}

// peakReader looks at the heap now and then.
type peakReader struct {
	from  io.Reader
	reads int
	inUse uint64
}

func (r *peakReader) Read(b []byte) (int, error) {
	if r.reads++; r.reads%200 == 0 {
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		r.inUse = max(r.inUse, now.HeapInuse)
	}
	return r.from.Read(b)
}

// TestAFailedStartForgetsNothing: the script is told by the next one where its file is.
func TestAFailedStartForgetsNothing(t *testing.T) {
	k := &keeper{c: connectTo(t, newInstance(t), Config{}), script: func() string { return "" }}
	k.hello = map[string]string{"folder": hex.EncodeToString([]byte("/var/tmp"))}
	if err := k.open(t.Context()); err == nil {
		t.Error("a script that says nothing counts as started")
	}
	if got := k.folder(); got != "/var/tmp" {
		t.Errorf("its file is now in %q", got)
	}
}

package communicator_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taccoform/packer-plugin-ssm/communicator"
)

// TestDirectoryAsOneStream has all that a name, a mode and a link can be.
func TestDirectoryAsOneStream(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	c := g.connect(t, communicator.Config{})
	source := filepath.Join(t.TempDir(), "tree")
	files := map[string]fs.FileMode{
		"a": 0o644, "exec": 0o755, "secret": 0o600, "with space": 0o640, "new\nline": 0o644, "-dash": 0o644, "ümläut": 0o644, "\xff\xfe": 0o644,
		"deep/" + strings.Repeat("long name/", 20) + strings.Repeat("x", 200): 0o644, "sub/.hidden": 0o644, "sub/skip.log": 0o644, "skip/x": 0o644,
		"read only/f": 0o444, "*": 0o644, `back\slash`: 0o644, "'quoted' \"name\"": 0o644,
	}
	for name, mode := range files {
		path := filepath.Join(source, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(name), 0o644), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(source, "empty"), 0o750), os.Symlink("sub", filepath.Join(source, "link")),
		os.WriteFile(filepath.Join(source, "big"), random(6<<20), 0o644), os.Chmod(filepath.Join(source, "read only"), 0o555)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(source, "read only"), 0o755) })
	exclude := []string{"skip", "*.log"}
	g.must(t, "mkdir -p /tmp/real/sub && echo old >/tmp/real/a && chown -R ec2-user /tmp/real && ln -s real /tmp/to")
	for src, to := range map[string]string{source + "/": "/tmp/to", source: "/tmp/named"} {
		if err := c.UploadDir(to, src, exclude); err != nil {
			t.Fatal(err)
		}
		root := "/tmp/real"
		if to != "/tmp/to" {
			root = to + "/tree"
		}
		got := g.must(t, "cd "+root+` && find -L . -mindepth 1 \( -type d -printf 'd %m %p\0' -o -printf 'f %m %p\0' \) | sort -z | tr '\0' '|'`)
		if diff := cmp.Diff(expect(t, source), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", to, diff)
		}
	}
	back := t.TempDir()
	if err := c.DownloadDir("/tmp/named/tree/", back, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(back, "tree", "read only"), 0o755) })
	if diff := cmp.Diff(expect(t, source), expect(t, filepath.Join(back, "tree"))); diff != "" {
		t.Errorf("came back (-want +got):\n%s", diff)
	}
	for name := range files {
		if strings.Contains(name, "skip") {
			continue
		}
		if got, err := os.ReadFile(filepath.Join(back, "tree", name)); err != nil || string(got) != name {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	g.clean(t)
}

// expect is how find shows a tree that was uploaded, without what is excluded.
func expect(t *testing.T, root string) string {
	t.Helper()
	out, err := runLocally(t, root, `find -L . -mindepth 1 \( -path ./skip -prune \) -o -name '*.log' -o \( -type d -printf 'd %m %p\0' -o -printf 'f %m %p\0' \) | sort -z | tr '\0' '|'`)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func runLocally(t *testing.T, dir, script string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Dir = dir
	out, err := cmd.Output()
	return string(out), err
}

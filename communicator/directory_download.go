package communicator

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pkg/sftp"
)

// glob is what a shell makes of a pattern: hidden names need a pattern that
// begins with a dot, and a pattern without a match is an error.
func glob(files *sftp.Client, pattern string) ([]string, error) {
	found, err := files.Glob(strings.TrimRight(pattern, "/"))
	if err != nil {
		return nil, fmt.Errorf("pattern %s: %w", pattern, err)
	}
	hidden := strings.HasPrefix(path.Base(pattern), ".")
	found = slices.DeleteFunc(found, func(p string) bool {
		return !hidden && strings.HasPrefix(path.Base(p), ".")
	})
	if len(found) == 0 {
		return nil, fmt.Errorf("nothing matches: %w", fs.ErrNotExist)
	}
	return found, nil
}

func (t *tree) downloadSource(from, dst string) error {
	info, err := t.files.Stat(from)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	name := "." // of "dir/." and of "/": what is in it
	if base := path.Base(from); filepath.IsLocal(base) {
		name = base
	}
	return t.download(from, filepath.Join(dst, name), "", info, nil)
}

func (t *tree) download(from, to, rel string, info fs.FileInfo, above []string) error {
	switch {
	case info.IsDir():
		return t.downloadDirectory(from, to, rel, info, above)
	case info.Mode().IsRegular():
		t.copies.Go(func() error { return t.downloadFile(from, to, info) })
	}
	return nil
}

// downloadDirectory copies a directory; above are the real paths of those that
// it is in, for links that lead back to one of them.
func (t *tree) downloadDirectory(from, to, rel string, info fs.FileInfo, above []string) error {
	resolved, err := t.files.RealPath(from)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	if slices.Contains(above, resolved) {
		return fmt.Errorf("%s is a link to a directory that it is in", from)
	}
	mode := info.Mode().Perm()
	if err := os.MkdirAll(to, mode|0o700); err != nil {
		return err
	}
	t.modes = append(t.modes, func() error { return os.Chmod(to, mode) })
	entries, err := t.files.ReadDir(from)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	for _, entry := range entries {
		if err := t.downloadEntry(from, to, rel, entry, append(slices.Clip(above), resolved)); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) downloadEntry(from, to, rel string, entry fs.FileInfo, above []string) error {
	name := entry.Name()
	below := path.Join(rel, name)
	if t.exclude.has(below) {
		return nil
	}
	// The instance is not to choose where on this machine it writes.
	if !filepath.IsLocal(name) || strings.ContainsAny(name, `/`+string(filepath.Separator)) {
		return fmt.Errorf("%s: the name %q can't be used here", from, name)
	}
	source := path.Join(from, name)
	if entry.Mode()&fs.ModeSymlink != 0 {
		followed, err := t.files.Stat(source)
		if err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
		entry = followed
	}
	return t.download(source, filepath.Join(to, name), below, entry, above)
}

func (t *tree) downloadFile(from, to string, info fs.FileInfo) error {
	err := writeFile(to, info.Mode().Perm(), func(f *os.File) error { return fetch(t.files, from, f, nil) })
	if err != nil {
		return fmt.Errorf("%s to %s: %w", from, to, err)
	}
	return nil
}

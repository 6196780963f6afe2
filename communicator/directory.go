package communicator

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pkg/sftp"
	"golang.org/x/sync/errgroup"
)

// filesAtOnce hides the round trips of small files.
const filesAtOnce = 16

// UploadDir copies a local directory to dst on the instance, which is made
// where it is missing. The directory itself arrives as dst/<name>, or with a
// slash at the end of src only what is in it. Modes are kept, links are
// followed, empty directories are made, and sockets, pipes and devices left
// out. An entry is excluded, with all below it, by its path relative to src,
// or by a pattern (path.Match) of its path or name.
func (c *Communicator) UploadDir(dst, src string, exclude []string) error {
	err := c.withFiles(func(files *sftp.Client) error {
		return uploadTree(files, remotePath(dst), src, exclude)
	}, func() bool { return true })
	if err != nil {
		return fmt.Errorf("upload of directory %s to %s: %w", src, dst, err)
	}
	return nil
}

// DownloadDir copies a directory of the instance to dst/<name>, or what a
// pattern with *, ? or [ matches to below dst, as scp -r does. Links are
// followed. Exclusions are as for UploadDir.
func (c *Communicator) DownloadDir(src, dst string, exclude []string) error {
	err := c.withFiles(func(files *sftp.Client) error {
		return downloadTree(files, remotePath(src), dst, exclude)
	}, func() bool { return true })
	if err != nil {
		return fmt.Errorf("download of directory %s to %s: %w", src, dst, err)
	}
	return nil
}

// tree is one copy of a directory: directories are made in order by the walk,
// files are copied beside it, and modes of directories are set last, so that
// one without write permission can be filled.
type tree struct {
	files   *sftp.Client
	exclude []string
	copies  errgroup.Group
	modes   []func() error
}

func newTree(files *sftp.Client, root string, exclude []string) *tree {
	t := &tree{files: files}
	for _, x := range exclude {
		x = path.Clean(filepath.ToSlash(x))
		if rel, ok := strings.CutPrefix(x, path.Clean(filepath.ToSlash(root))+"/"); ok {
			x = rel // written with the root before it
		}
		t.exclude = append(t.exclude, strings.TrimPrefix(x, "/"))
	}
	t.copies.SetLimit(filesAtOnce)
	return t
}

// excluded tells whether an entry, by its path below the root, stays out.
func (t *tree) excluded(rel string) bool {
	return slices.ContainsFunc(t.exclude, func(x string) bool {
		whole, _ := path.Match(x, rel)
		name, _ := path.Match(x, path.Base(rel))
		return x == rel || whole || name
	})
}

// finish waits for the copies and sets the modes, innermost first.
func (t *tree) finish(walkErr error) error {
	if err := errors.Join(t.copies.Wait(), walkErr); err != nil {
		return err
	}
	for _, set := range slices.Backward(t.modes) {
		if err := set(); err != nil {
			return err
		}
	}
	return nil
}

func uploadTree(files *sftp.Client, dst, src string, exclude []string) error {
	info, err := os.Stat(src)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", src)
	}
	if err := files.MkdirAll(dst); err != nil {
		return fmt.Errorf("make %s: %w", dst, err)
	}
	t := newTree(files, src, exclude)
	if os.IsPathSeparator(src[len(src)-1]) || strings.HasSuffix(src, "/") {
		return t.finish(t.uploadEntries(src, dst, "", nil))
	}
	name := filepath.Base(src)
	if abs, err := filepath.Abs(src); err == nil {
		name = filepath.Base(abs) // of "." and ".."
	}
	return t.finish(t.uploadDirectory(src, path.Join(dst, name), "", info, nil))
}

// uploadDirectory makes a directory and copies what is in it; above are the
// directories that it is in, for links that lead back to one of them.
func (t *tree) uploadDirectory(src, dst, rel string, info fs.FileInfo, above []fs.FileInfo) error {
	if slices.ContainsFunc(above, func(a fs.FileInfo) bool { return os.SameFile(a, info) }) {
		return fmt.Errorf("%s is a link to a directory that it is in", src)
	}
	if err := t.makeDirectory(dst); err != nil {
		return err
	}
	t.modes = append(t.modes, func() error {
		if err := t.files.Chmod(dst, info.Mode().Perm()); err != nil && !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("mode of %s: %w", dst, err)
		}
		return nil
	})
	return t.uploadEntries(src, dst, rel, append(slices.Clip(above), info))
}

func (t *tree) makeDirectory(dst string) error {
	err := t.files.Mkdir(dst)
	if err == nil {
		return nil
	}
	if info, statErr := t.files.Stat(dst); statErr == nil && info.IsDir() {
		return nil
	}
	return fmt.Errorf("make %s: %w", dst, err)
}

func (t *tree) uploadEntries(src, dst, rel string, above []fs.FileInfo) error {
	entries, err := os.ReadDir(src)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		below := path.Join(rel, entry.Name())
		if t.excluded(below) {
			continue
		}
		from, to := filepath.Join(src, entry.Name()), path.Join(dst, entry.Name())
		info, err := os.Stat(from) // follows links
		if err != nil {
			return err
		}
		switch {
		case info.IsDir():
			if err := t.uploadDirectory(from, to, below, info, above); err != nil {
				return err
			}
		case info.Mode().IsRegular():
			t.copies.Go(func() error { return t.uploadFile(from, to, info) })
		}
	}
	return nil
}

func (t *tree) uploadFile(from, to string, info fs.FileInfo) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := send(t.files, to, f, &info); err != nil {
		return fmt.Errorf("%s to %s: %w", from, to, err)
	}
	return nil
}

func downloadTree(files *sftp.Client, src, dst string, exclude []string) error {
	sources := []string{src}
	if strings.ContainsAny(src, "*?[") {
		found, err := glob(files, src)
		if err != nil {
			return err
		}
		sources = found
	}
	for _, from := range sources {
		t := newTree(files, from, exclude)
		if err := t.finish(t.downloadSource(from, dst)); err != nil {
			return err
		}
	}
	return nil
}

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
	if t.excluded(below) {
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
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, info.Mode().Perm()|0o200)
	if err != nil {
		return err
	}
	err = fetch(t.files, from, f)
	if err == nil {
		err = f.Chmod(info.Mode().Perm())
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("%s to %s: %w", from, to, err)
	}
	return nil
}

package communicator

import (
	"context"
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
//
// It goes as one stream that is unpacked when all of it is there and its
// SHA-256 is right, or file by file where the instance can't unpack it. A file
// that is already there is replaced, not written over.
func (c *Communicator) UploadDir(dst, src string, exclude []string) error {
	if err := c.uploadDir(remotePath(dst), src, exclude); err != nil {
		return fmt.Errorf("upload of directory %s to %s: %w", src, dst, err)
	}
	return nil
}

func (c *Communicator) uploadDir(dst, src string, exclude []string) error {
	entries, err := list(src, newExclusion(src, exclude))
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		err := c.sendTree(dst, entries)
		var refused *refusal
		if !errors.Is(err, errNotHere) && (!errors.As(err, &refused) || refused.full()) {
			return err
		}
		c.cfg.Logger.Debug("a directory goes file by file", "to", dst, "why", err)
	}
	return c.withFiles(func(files *sftp.Client) error {
		return uploadTree(files, dst, entries)
	}, func() bool { return true })
}

// sendTree sends a directory as a tar stream.
func (c *Communicator) sendTree(dst string, entries []entry) error {
	ctx, done := c.untilClosed(context.Background())
	defer done()
	stream := &packing{entries: entries}
	defer stream.close()
	src := source{from: stream.open(), again: stream.again, size: packedSize(entries)}
	c.warm(c.lanesFor(src.size / 4)) // most trees can be compressed
	return c.sendStriped(ctx, src, "tree", dst, nil)
}

// DownloadDir copies a directory of the instance to dst/<name>, or what a
// pattern with *, ? or [ matches to below dst, as scp -r does. Links are
// followed. Exclusions are as for UploadDir.
func (c *Communicator) DownloadDir(src, dst string, exclude []string) error {
	if err := c.downloadDir(remotePath(src), dst, exclude); err != nil {
		return fmt.Errorf("download of directory %s to %s: %w", src, dst, err)
	}
	return nil
}

func (c *Communicator) downloadDir(src, dst string, exclude []string) error {
	sources, err := c.sources(src)
	if err != nil {
		return err
	}
	for _, from := range sources {
		err := errNotHere
		if from.directory {
			err = c.fetchTree(from.path, dst, exclude)
		}
		if errors.Is(err, errNotHere) {
			err = c.withFiles(func(files *sftp.Client) error {
				t := newTree(files, newExclusion(from.path, exclude))
				return t.finish(t.downloadSource(from.path, dst))
			}, func() bool { return true })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type remoteSource struct {
	path      string
	directory bool
}

// sources are what a path or pattern of the instance means.
func (c *Communicator) sources(src string) (found []remoteSource, err error) {
	err = c.withFiles(func(files *sftp.Client) error {
		found = nil
		names := []string{src}
		if strings.ContainsAny(src, "*?[") {
			if names, err = glob(files, src); err != nil {
				return err
			}
		}
		for _, name := range names {
			info, err := files.Stat(name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			found = append(found, remoteSource{name, info.IsDir()})
		}
		return nil
	}, func() bool { return true })
	return found, err
}

// fetchTree fetches a directory as a tar stream.
func (c *Communicator) fetchTree(from, dst string, exclude []string) error {
	ctx, done := c.untilClosed(context.Background())
	defer done()
	into := newUnpacking(from, dst, newExclusion(from, exclude))
	err := c.fetchStriped(ctx, "tree", from, into)
	return into.close(err)
}

// exclusion are the entries of a directory that stay out.
type exclusion []string

func newExclusion(root string, exclude []string) exclusion {
	var all exclusion
	for _, x := range exclude {
		x = path.Clean(filepath.ToSlash(x))
		if rel, ok := strings.CutPrefix(x, path.Clean(filepath.ToSlash(root))+"/"); ok {
			x = rel // written with the root before it
		}
		all = append(all, strings.TrimPrefix(x, "/"))
	}
	return all
}

// has tells whether an entry, by its path below the root, stays out.
func (all exclusion) has(rel string) bool {
	return slices.ContainsFunc(all, func(x string) bool {
		whole, _ := path.Match(x, rel)
		name, _ := path.Match(x, path.Base(rel))
		return x == rel || whole || name
	})
}

// entry is a file or directory of this machine that is to be sent.
type entry struct {
	from string
	to   string // its path below the destination, with slashes
	info fs.FileInfo
}

// list is what an upload of src has to send, each directory before what is in
// it.
func list(src string, exclude exclusion) ([]entry, error) {
	info, err := os.Stat(src)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a directory", src)
	}
	l := &lister{exclude: exclude}
	if os.IsPathSeparator(src[len(src)-1]) || strings.HasSuffix(src, "/") {
		err := l.list(src, "", "", []fs.FileInfo{info})
		return l.entries, err
	}
	name := filepath.Base(src)
	if abs, err := filepath.Abs(src); err == nil {
		name = filepath.Base(abs) // of "." and ".."
	}
	err = l.directory(src, name, "", info, nil)
	return l.entries, err
}

type lister struct {
	exclude exclusion
	entries []entry
}

// directory lists one and what is in it; above are the directories that it is
// in, for links that lead back to one of them.
func (l *lister) directory(from, to, rel string, info fs.FileInfo, above []fs.FileInfo) error {
	if slices.ContainsFunc(above, func(a fs.FileInfo) bool { return os.SameFile(a, info) }) {
		return fmt.Errorf("%s is a link to a directory that it is in", from)
	}
	l.entries = append(l.entries, entry{from, to, info})
	return l.list(from, to, rel, append(slices.Clip(above), info))
}

func (l *lister) list(from, to, rel string, above []fs.FileInfo) error {
	found, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, each := range found {
		below := path.Join(rel, each.Name())
		if l.exclude.has(below) {
			continue
		}
		path, target := filepath.Join(from, each.Name()), path.Join(to, each.Name())
		info, err := os.Stat(path) // follows links
		if err != nil {
			return leadsNowhere(path, err)
		}
		switch {
		case info.IsDir():
			if err := l.directory(path, target, below, info, above); err != nil {
				return err
			}
		case info.Mode().IsRegular():
			l.entries = append(l.entries, entry{path, target, info})
		}
	}
	return nil
}

// leadsNowhere explains err where path is a link, which itself exists.
func leadsNowhere(path string, err error) error {
	target, linkErr := os.Readlink(path)
	if linkErr != nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("%w: it is a link to %s, which does not exist", err, target)
}

// tree is a copy of a directory file by file: directories are made in order,
// files are copied beside that, and modes of directories are set last, so that
// one without write permission can be filled.
type tree struct {
	files   *sftp.Client
	exclude exclusion
	copies  errgroup.Group
	modes   []func() error
}

func newTree(files *sftp.Client, exclude exclusion) *tree {
	t := &tree{files: files, exclude: exclude}
	t.copies.SetLimit(filesAtOnce)
	return t
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

func uploadTree(files *sftp.Client, dst string, entries []entry) error {
	if err := files.MkdirAll(dst); err != nil {
		return fmt.Errorf("make %s: %w", dst, err)
	}
	t := newTree(files, nil)
	return t.finish(t.uploadEntries(dst, entries))
}

func (t *tree) uploadEntries(dst string, entries []entry) error {
	for _, e := range entries {
		to := path.Join(dst, e.to)
		if !e.info.IsDir() {
			t.copies.Go(func() error { return t.uploadFile(e.from, to, e.info) })
			continue
		}
		if err := t.makeDirectory(to); err != nil {
			return err
		}
		t.modes = append(t.modes, func() error {
			if err := t.files.Chmod(to, e.info.Mode().Perm()); err != nil && !errors.Is(err, fs.ErrPermission) {
				return fmt.Errorf("mode of %s: %w", to, err)
			}
			return nil
		})
	}
	return nil
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

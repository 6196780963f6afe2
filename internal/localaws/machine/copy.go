//go:build linux

package machine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A copyRequest copies the upper layer of a disk, which may be in use. Deleted files, opaque folders, owners, times, extended
// attributes, hard links and holes stay what they are.
type copyRequest struct{ From, To string }

// A copier makes one copy.
type copier struct {
	copyRequest
	seen map[[2]uint64]string // copies of files that have several links, by device and inode
	dirs []func() error       // what remains to be done for folders once their content is there, the outer ones first
}

func (r *copyRequest) run() error {
	c := copier{copyRequest: *r, seen: map[[2]uint64]string{}}
	err := filepath.WalkDir(r.From, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = c.one(path)
		}
		if errors.Is(err, fs.ErrNotExist) && path != r.From {
			return nil // deleted by the machine while we copied
		}
		return err
	})
	for i := len(c.dirs) - 1; i >= 0 && err == nil; i-- {
		err = c.dirs[i]()
	}
	if err != nil {
		return fmt.Errorf("copy disk: %w", errors.Join(err, removeTree(r.To)))
	}
	return nil
}

func (c *copier) one(from string) error {
	to := filepath.Join(c.To, strings.TrimPrefix(from, c.From))
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: from, Err: err}
	}
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFDIR {
		c.dirs = append(c.dirs, func() error { return attributes(from, to, &st) })
		return os.Mkdir(to, 0o700)
	}
	if st.Nlink > 1 && !isWhiteout(&st) {
		inode := [2]uint64{uint64(st.Dev), st.Ino} //nolint:unconvert // 32 bits on some architectures
		if first, ok := c.seen[inode]; ok {
			return os.Link(first, to)
		}
		c.seen[inode] = to
	}
	if err := create(from, to, &st); err != nil {
		return err
	}
	return attributes(from, to, &st)
}

// isWhiteout tells whether overlayfs has noted a deletion there.
func isWhiteout(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 }

func create(from, to string, st *unix.Stat_t) error {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return copyFile(from, to, st.Size)
	case unix.S_IFLNK:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	if err := unix.Mknod(to, st.Mode, int(st.Rdev)); err != nil {
		return &fs.PathError{Op: "mknod", Path: to, Err: err}
	}
	return nil
}

func copyFile(from, to string, size int64) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer closeAll(in)
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if unix.IoctlFileClone(int(out.Fd()), int(in.Fd())) != nil { // where the filesystem can't share blocks
		err = copyData(in, out, size)
	}
	return errors.Join(err, out.Close())
}

// copyData copies the parts of in that have data; the rest are holes.
func copyData(in, out *os.File, size int64) error {
	if err := out.Truncate(size); err != nil {
		return err
	}
	for at := int64(0); at < size; {
		start, err := in.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // only a hole is left
		}
		if err != nil {
			return err
		}
		end, err := in.Seek(start, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := in.Seek(start, io.SeekStart); err != nil {
			return err
		}
		if _, err := out.Seek(start, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyN(out, in, end-start); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		at = end
	}
	return nil
}

// attributes gives to what from has besides its content. The order matters: a change of owner takes away setuid bits and capabilities.
func attributes(from, to string, st *unix.Stat_t) error {
	if err := os.Lchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK && !isWhiteout(st) {
		if err := unix.Chmod(to, st.Mode&0o7777); err != nil {
			return &fs.PathError{Op: "chmod", Path: to, Err: err}
		}
		if err := extended(from, to); err != nil {
			return err
		}
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, to, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "utimes", Path: to, Err: err}
	}
	return nil
}

// extended copies the extended attributes, of overlayfs' own only the one that says that a folder hides those below it.
func extended(from, to string) error {
	names, err := listXattr(from)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, "user.overlay.") && name != opaqueXattr {
			continue
		}
		value := make([]byte, 64<<10) // the most that Linux allows
		n, err := unix.Lgetxattr(from, name, value)
		if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EPERM) && strings.HasPrefix(name, "trusted.") {
			continue
		}
		if err != nil {
			return &fs.PathError{Op: "getxattr " + name, Path: from, Err: err}
		}
		if err := unix.Lsetxattr(to, name, value[:n], 0); err != nil && !strings.HasPrefix(name, "security.selinux") {
			return &fs.PathError{Op: "setxattr " + name, Path: to, Err: err}
		}
	}
	return nil
}

// opaqueXattr marks a folder that hides the folders of the same name in lower layers.
const opaqueXattr = "user.overlay.opaque"

func listXattr(path string) ([]string, error) {
	list := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, list)
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "listxattr", Path: path, Err: err}
	}
	return strings.FieldsFunc(string(list[:n]), func(r rune) bool { return r == 0 }), nil
}

//go:build linux

package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// skeletonDepth is how deep below /usr a machine's root can add and delete in folders that the host has, when machines can't be given
// the host's /usr as their own. Each folder costs time with every host, and below this depth there are thousands, of which
// nobody installs anything into one that exists.
const skeletonDepth = 4

// skeleton makes, in the folder to, a layer that lets the machine's root work in a /usr of which it owns nothing: the folders, so that
// it can add, replace and delete in them, and copies of the programs that run as root for others, which only work, or only load
// their plugins, if root owns them.
func skeleton(usr, to string) error {
	for _, dir := range []string{to, filepath.Join(to, "root")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	to = filepath.Join(to, "usr")
	return filepath.WalkDir(usr, func(path string, d fs.DirEntry, err error) error {
		target := filepath.Join(to, strings.TrimPrefix(path, usr))
		switch {
		case errors.Is(err, fs.ErrPermission) && d != nil && d.IsDir():
			return hide(target)
		case errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir() && path == usr+"/local":
			return fs.SkipDir // it is not the machine's
		case d.IsDir():
			return skeletonDir(strings.TrimPrefix(path, usr), target)
		}
		return copyPrivileged(path, target, d)
	})
}

// skeletonDir makes one folder, and says whether to look into it.
func skeletonDir(path, target string) error {
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	if strings.Count(path, "/") >= skeletonDepth || slices.Contains(emptyFolders, "/usr"+path) {
		return fs.SkipDir
	}
	return nil
}

// hide makes the folder, which was made before it turned out that we can't look into the lower one, cover that one.
func hide(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return unix.Lsetxattr(dir, opaqueXattr, []byte("y"), 0)
}

// copyPrivileged copies a setuid or setgid program, or a part of sudo. The former are setuid root, whatever group the
// host's distribution would have them run with.
func copyPrivileged(path, target string, d fs.DirEntry) error {
	info, err := d.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	special := info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0
	ofSudo := strings.Contains(path, "/sudo/")
	if !info.Mode().IsRegular() || !special && !ofSudo {
		return nil
	}
	err = copyFile(path, target, info.Size())
	if errors.Is(err, fs.ErrPermission) && filepath.Base(path) != "sudo" {
		return nil // it stays without its privilege
	}
	if err != nil {
		return fmt.Errorf("copy for the machines' root: %w; chmod a+r %s, or run as root", err, path)
	}
	mode := info.Mode().Perm()
	if special {
		return unix.Chmod(target, uint32(mode|0o5)|unix.S_ISUID)
	}
	return os.Chmod(target, mode)
}

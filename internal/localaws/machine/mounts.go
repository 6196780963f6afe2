//go:build linux

package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A rootConfig says what a machine's filesystem is made of. Paths are relative to the host's state directory.
type rootConfig struct {
	State    string   // the state directory, when its mount is not passed as a file
	Lowers   []string // layers, the highest first; each has the folders root and usr
	Disk     string   // has the folders upper and work, each with root and usr
	TmpOnRAM bool
	BootID   string
}

// The scratch tree in which the root is put together, before it becomes the root.
const (
	scratchOld   = "/old"   // the host's root
	scratchState = "/state" // the host's state directory
	scratchUsr   = "/usr"   // the host's /usr
	scratchRoot  = "/new"
)

// enterRoot builds the machine's root filesystem in this mount namespace and makes it the root. state and usr are
// detached mounts, or nil when this process can reach both by path.
func enterRoot(c rootConfig, state, usr *os.File) error {
	if err := enterScratch(c.State, state, usr); err != nil {
		return err
	}
	if err := mountDisk(c); err != nil {
		return err
	}
	if err := mountSystem(scratchRoot, c); err != nil {
		return err
	}
	if err := os.Chdir(scratchRoot); err != nil {
		return err
	}
	return pivotHere()
}

// pivotHere makes the working directory the root and drops what was the root.
func pivotHere() error {
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the host's root: %w", err)
	}
	return os.Chdir("/")
}

// enterScratch replaces the root by a tmpfs with the host's root, state directory and /usr in it.
func enterScratch(statePath string, state, usr *os.File) error {
	if err := mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if state == nil {
		var err error
		if state, err = cloneMount(statePath); err != nil {
			return err
		}
		defer closeAll(state)
	}
	if err := mount("scratch", "/tmp", "tmpfs", 0, "mode=0755"); err != nil {
		return err
	}
	for _, dir := range []string{scratchOld, scratchState, scratchUsr, scratchRoot} {
		if err := os.Mkdir("/tmp"+dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.PivotRoot("/tmp", "/tmp"+scratchOld); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := attach(state, scratchState); err != nil {
		return err
	}
	if usr != nil {
		return attach(usr, scratchUsr)
	}
	return mount(scratchOld+"/usr", scratchUsr, "", unix.MS_BIND|unix.MS_REC, "")
}

// cloneMount is a bind mount of path that is not attached anywhere yet.
func cloneMount(path string) (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open_tree %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

func attach(tree *os.File, path string) error {
	if err := unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount %s: %w", path, err)
	}
	return nil
}

// mountDisk mounts the two overlays that are the disk: / and, because the host's /usr is a directory of some
// other filesystem, /usr.
func mountDisk(c rootConfig) error {
	if err := mountOverlay(c, "root", scratchRoot, nil); err != nil {
		return err
	}
	return mountOverlay(c, "usr", scratchRoot+"/usr", []string{scratchUsr})
}

func mountOverlay(c rootConfig, part, target string, last []string) error {
	var lowers []string
	for _, l := range c.Lowers {
		lowers = append(lowers, filepath.Join(scratchState, l, part))
	}
	lowers = append(lowers, last...)
	disk := filepath.Join(scratchState, c.Disk)
	options := fmt.Sprintf("userxattr,lowerdir=%s,upperdir=%s,workdir=%s",
		strings.Join(lowers, ":"), filepath.Join(disk, "upper", part), filepath.Join(disk, "work", part))
	return mount("disk", target, "overlay", 0, options)
}

// mountSystem mounts everything that is not on the disk below root.
func mountSystem(root string, c rootConfig) error {
	for _, m := range []struct {
		what, where, kind string
		flags             uintptr
		options           string
	}{
		{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"tmpfs", "/dev", "tmpfs", unix.MS_NOSUID, "mode=0755,size=64k"},
		{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
	} {
		if err := mount(m.what, root+m.where, m.kind, m.flags, m.options); err != nil {
			return err
		}
	}
	if err := mountSys(root + "/sys"); err != nil {
		return err
	}
	if c.TmpOnRAM {
		if err := mount("tmpfs", root+"/tmp", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"); err != nil {
			return err
		}
	}
	if err := populateDev(root + "/dev"); err != nil {
		return err
	}
	return replaceBootID(root, c.BootID)
}

// mountSys mounts the sysfs of the machine's network namespace, or where the host hides parts of its own, that.
func mountSys(path string) error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RDONLY
	err := mount("sysfs", path, "sysfs", flags, "")
	if errors.Is(err, unix.EPERM) {
		return mount(scratchOld+"/sys", path, "", unix.MS_BIND|unix.MS_REC, "")
	}
	return err
}

func populateDev(dev string) error {
	for _, dir := range []string{"pts", "shm"} {
		if err := os.Mkdir(filepath.Join(dev, dir), 0o755); err != nil {
			return err
		}
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		if err := bindFile(scratchOld+"/dev/"+name, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx",
	} {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	if err := mount("devpts", dev+"/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"); err != nil {
		return err
	}
	return mount("shm", dev+"/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777")
}

// replaceBootID hides the host's boot id behind the machine's own, which is new with each boot.
func replaceBootID(root, id string) error {
	path := filepath.Join(root, "run", ".boot_id")
	if err := os.WriteFile(path, []byte(id+"\n"), 0o444); err != nil {
		return err
	}
	if err := mount(path, root+"/proc/sys/kernel/random/boot_id", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return os.Remove(path)
}

func bindFile(from, to string) error {
	if err := os.WriteFile(to, nil, 0o666); err != nil {
		return err
	}
	return mount(from, to, "", unix.MS_BIND, "")
}

func mount(what, where, kind string, flags uintptr, options string) error {
	if err := unix.Mount(what, where, kind, flags, options); err != nil {
		return fmt.Errorf("mount %s on %s: %w", firstOf(kind, what), where, err)
	}
	return nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

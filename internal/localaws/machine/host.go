//go:build linux

package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// hostPrefix begins the name of a host's own folder in the directory that hosts share.
const hostPrefix = "host-"

// freshPrefix begins its name while it is being made.
const freshPrefix = ".fresh-"

// A Host is where machines live: a folder with their disks and the layers under these, which is removed by Close.
// Its methods can be called from several goroutines.
type Host struct {
	dir    string
	folder *os.File // dir, for helpers that could not reach it by path; locked as long as the process lives
	ids    idMap
	mapUsr bool // the host's /usr can be mounted with the machines' ids

	owned sync.WaitGroup // one goroutine for each boot of a machine

	mu        sync.Mutex
	closed    bool
	helpers   []*child // that wait for work
	dismissed bool     // no helper waits any more
	machines  map[string]*Machine
	bases     map[string]*base // by release and architecture
	layers    map[LayerID]*layer
}

// NewHost prepares a folder for machines in dir, which is made if it does not exist; several hosts can share it. It checks
// that machines can run and says what is missing. What a killed process left in dir is removed.
func NewHost(ctx context.Context, dir string) (*Host, error) {
	if err := checkPrograms(); err != nil {
		return nil, err
	}
	ids, err := idMapping()
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := sweep(ctx, dir, ids); err != nil {
		return nil, err
	}
	h := &Host{ids: ids, machines: map[string]*Machine{}, bases: map[string]*base{}, layers: map[LayerID]*layer{}}
	if err := h.occupy(dir); err != nil {
		return nil, err
	}
	if err := h.prepare(ctx); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func checkPrograms() error {
	var missing []string
	for path, pkg := range map[string]string{"/usr/sbin/sshd": "openssh-server", "/usr/bin/sudo": "sudo", "/usr/bin/bash": "bash"} {
		if _, err := os.Stat(path); err != nil {
			missing = append(missing, pkg)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("simulated machines need %s; apt-get install %[1]s (or dnf, zypper)", strings.Join(missing, " "))
	}
	for _, dir := range []string{"/bin", "/lib"} {
		if target, err := os.Readlink(dir); err != nil || !strings.HasPrefix(strings.TrimPrefix(target, "/"), "usr/") {
			return fmt.Errorf("%s is not a link into /usr; simulated machines need a distribution with a merged /usr", dir)
		}
	}
	return nil
}

// occupy makes the host's folder and locks it. It gets the name by which others' sweep finds it when it is locked.
func (h *Host) occupy(parent string) error {
	fresh, err := os.MkdirTemp(parent, freshPrefix)
	if err != nil {
		return err
	}
	if h.folder, err = os.Open(fresh); err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	uid, gid := h.ids.owner()
	h.dir = filepath.Join(parent, hostPrefix+strings.TrimPrefix(filepath.Base(fresh), freshPrefix))
	err = unix.Flock(int(h.folder.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		err = os.Chown(fresh, uid, gid)
	}
	if err == nil {
		err = os.Rename(fresh, h.dir)
	}
	if err != nil {
		return fmt.Errorf("make %s: %w", h.dir, errors.Join(err, h.folder.Close(), os.Remove(fresh)))
	}
	return nil
}

// sweep removes the folders of hosts whose process is gone.
func sweep(ctx context.Context, parent string, ids idMap) error {
	found, err := filepath.Glob(filepath.Join(parent, hostPrefix+"*"))
	if err != nil {
		return err
	}
	unborn, err := filepath.Glob(filepath.Join(parent, freshPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range unborn {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > time.Minute {
			_ = os.Remove(dir) // empty; somebody else may have done it
		}
	}
	for _, dir := range found {
		if err := sweepOne(ctx, dir, ids); err != nil {
			return fmt.Errorf("%s was left by a killed process: %w", dir, err)
		}
	}
	return nil
}

func sweepOne(ctx context.Context, dir string, ids idMap) error {
	folder, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil // its process, or its user, takes care of it
	}
	if err != nil {
		return err
	}
	defer closeAll(folder)
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil // in use
	}
	err = work(ctx, ids, folder, emptyHost)
	return errors.Join(err, os.RemoveAll(dir))
}

// emptyHost removes what a host's folder has of others' files.
var emptyHost = workRequest{Remove: []string{"machines", "layers", usrSkeleton}}

// prepare makes the folders and tries whether machines can run.
func (h *Host) prepare(ctx context.Context) error {
	if err := h.work(ctx, workRequest{Mkdir: []string{"machines", "layers"}}); err != nil {
		return err
	}
	if known, ok := probed.Load(filepath.Dir(h.dir)); ok {
		h.mapUsr = known == true
	} else if err := h.probe(ctx); err != nil {
		return err
	}
	if h.mapUsr {
		return nil
	}
	return h.work(ctx, workRequest{Skeleton: usrSkeleton})
}

// probeDirs are a layer with just what mounts need, and a folder that can be deleted.
var probeDirs = []string{
	"layers/probe", "layers/probe/usr", "layers/probe/root", "layers/probe/root/usr", "layers/probe/root/proc", "layers/probe/root/sys",
	"layers/probe/root/dev", "layers/probe/root/run", "layers/probe/root/probe", "layers/probe/root/probe/file",
}

// probe tries the mounts that machines need, with an empty disk; first with the host's /usr mapped to the machines' ids,
// which not every filesystem can.
func (h *Host) probe(ctx context.Context) error {
	if err := h.work(ctx, workRequest{Disk: "machines/probe", Mkdir: probeDirs}); err != nil {
		return err
	}
	h.mapUsr = os.Geteuid() == 0
	err := h.tryMounts(ctx)
	if err != nil && h.mapUsr {
		h.mapUsr = false
		err = h.tryMounts(ctx)
	}
	if err != nil {
		return fmt.Errorf("machines can't run in %s: %w; give a directory on ext4, xfs, btrfs or tmpfs, and in a container run it with --privileged", h.dir, err)
	}
	probed.Store(filepath.Dir(h.dir), h.mapUsr)
	return h.work(ctx, workRequest{Remove: []string{"machines/probe", "layers/probe"}})
}

// probed are the directories in which this process has found that machines run, and whether with mapUsr.
var probed sync.Map

func (h *Host) tryMounts(ctx context.Context) error {
	c, err := reexec(ctx, h.ids, stageWork, machineNamespaces, h.folder, os.Stderr)
	if err != nil {
		return err
	}
	defer c.kill()
	files, err := h.mounts(c.cmd.Process.Pid)
	if err != nil {
		return err
	}
	defer closeAll(files...)
	return c.do(workRequest{Try: &rootConfig{State: h.dir, Lowers: []string{"layers/probe"}, Disk: "machines/probe", BootID: "probe"}}, files...)
}

// mounts are the mounts that process 1, pid, can't make itself.
func (h *Host) mounts(pid int) ([]*os.File, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	state, err := cloneMount(h.dir)
	if err != nil || !h.mapUsr {
		return []*os.File{state}, err
	}
	usr, err := mappedUsr(pid)
	if err != nil {
		return nil, errors.Join(err, state.Close())
	}
	return []*os.File{state, usr}, nil
}

// mappedUsr is a mount of the host's /usr in which what root owns is owned by the root of pid's user namespace.
func mappedUsr(pid int) (*os.File, error) {
	users, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
	if err != nil {
		return nil, err
	}
	defer closeAll(users)
	tree, err := cloneMount("/usr")
	if err != nil {
		return nil, err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(users.Fd())}
	if err := unix.MountSetattr(int(tree.Fd()), "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return nil, fmt.Errorf("map the ids of /usr: %w", errors.Join(err, tree.Close()))
	}
	return tree, nil
}

var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// Create makes the disk of a new machine. Boot starts it.
func (h *Host) Create(ctx context.Context, s Spec) (*Machine, error) {
	if !idForm.MatchString(s.ID) {
		return nil, fmt.Errorf("machine id %q is not a file name", s.ID)
	}
	if len(s.Layers) == 0 {
		return nil, fmt.Errorf("machine %s has no layers", s.ID)
	}
	s.Hostname = firstOf(s.Hostname, s.ID)
	m := &Machine{host: h, spec: s, disk: filepath.Join("machines", s.ID)}
	h.mu.Lock()
	lowers, err := h.lowers(s.Layers)
	if err == nil && h.machines[s.ID] != nil {
		err = fmt.Errorf("machine %s exists", s.ID)
	}
	if err == nil && h.closed {
		err = ErrDestroyed
	}
	if err != nil {
		h.mu.Unlock()
		return nil, err
	}
	m.lowers, m.release = lowers, h.layers[s.Layers[0]].release
	h.machines[s.ID] = m
	h.mu.Unlock()
	if err := h.work(ctx, workRequest{Disk: m.disk}); err != nil {
		h.forget(m)
		return nil, err
	}
	return m, nil
}

func (h *Host) forget(m *Machine) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.machines, m.spec.ID)
}

// Close destroys all machines, waits for calls of OnHalt, and removes the host's folder.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	var machines []*Machine
	for _, m := range h.machines {
		machines = append(machines, m)
	}
	h.mu.Unlock()
	ctx := context.Background() // what was made has to be removed, whatever became of the caller's context
	var all []error
	for _, m := range machines {
		all = append(all, m.Destroy(ctx))
	}
	h.owned.Wait()
	if h.folder == nil {
		return errors.Join(all...)
	}
	all = append(all, h.work(ctx, emptyHost))
	h.dismiss()
	all = append(all, os.RemoveAll(h.dir), h.folder.Close())
	h.folder = nil
	return errors.Join(all...)
}

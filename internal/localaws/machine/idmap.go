//go:build linux

package machine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// A machine's users are not the host's: its ids 0 to 65535 are mapped to host ids that mean nothing there. For root that
// is a range that nobody has; for a user, root of the machine is the user, and the rest come from /etc/subuid.
const (
	idCount = 65536
	// firstHostID is just above the range that systemd-nspawn takes its machines' ids from.
	firstHostID = 1879048192
)

// An idMap is how users (and groups) of the machine appear on the host.
type idMap struct {
	uids, gids []syscall.SysProcIDMap
	setuid     bool // written by newuidmap and newgidmap, because we may not
}

// idMapping finds the ids that machines started by this process can have.
func idMapping() (idMap, error) {
	if os.Geteuid() == 0 {
		return rootMapping()
	}
	me, err := user.Current()
	if err != nil {
		return idMap{}, err
	}
	uids, err := subordinate("/etc/subuid", me, os.Getuid())
	if err != nil {
		return idMap{}, err
	}
	gids, err := subordinate("/etc/subgid", me, os.Getgid())
	if err != nil {
		return idMap{}, err
	}
	for _, tool := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(tool); err != nil {
			return idMap{}, fmt.Errorf("%s is not installed; apt-get install uidmap, or dnf install shadow-utils", tool)
		}
	}
	return idMap{uids: uids, gids: gids, setuid: true}, nil
}

func rootMapping() (idMap, error) {
	uids, err := rangeOf("/proc/self/uid_map")
	if err != nil {
		return idMap{}, err
	}
	gids, err := rangeOf("/proc/self/gid_map")
	return idMap{uids: uids, gids: gids}, err
}

// rangeOf is the high range where this process may use it, and otherwise (in a user namespace, as in a rootless
// container) the ids that there are.
func rangeOf(path string) ([]syscall.SysProcIDMap, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer closeAll(file)
	return parseRanges(file)
}

func parseRanges(r io.Reader) ([]syscall.SysProcIDMap, error) {
	var same []syscall.SysProcIDMap
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var inside, outside, count int
		if _, err := fmt.Sscan(lines.Text(), &inside, &outside, &count); err != nil {
			return nil, err
		}
		if inside <= firstHostID && inside+count >= firstHostID+idCount {
			return []syscall.SysProcIDMap{{ContainerID: 0, HostID: firstHostID, Size: idCount}}, nil
		}
		if inside < idCount {
			same = append(same, syscall.SysProcIDMap{ContainerID: inside, HostID: inside, Size: min(count, idCount-inside)})
		}
	}
	return same, lines.Err()
}

// subordinate maps 0 to the user's own id and 1, 2, ... to those that path gives the user.
func subordinate(path string, me *user.User, own int) ([]syscall.SysProcIDMap, error) {
	file, err := os.Open(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		defer closeAll(file)
		for lines := bufio.NewScanner(file); lines.Scan(); {
			first, count, ok := parseSubordinate(lines.Text(), me)
			if ok && count >= idCount-1 {
				return []syscall.SysProcIDMap{{ContainerID: 0, HostID: own, Size: 1}, {ContainerID: 1, HostID: first, Size: idCount - 1}}, nil
			}
		}
	}
	return nil, fmt.Errorf("%s has no range of %d ids for %s; usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s", path, idCount, me.Username, me.Username)
}

func parseSubordinate(line string, me *user.User) (first, count int, ok bool) {
	fields := strings.Split(strings.TrimSpace(line), ":")
	if len(fields) != 3 || fields[0] != me.Username && fields[0] != me.Uid {
		return 0, 0, false
	}
	first, err1 := strconv.Atoi(fields[1])
	count, err2 := strconv.Atoi(fields[2])
	return first, count, err1 == nil && err2 == nil
}

// owner is the host's ids of the machine's root.
func (m idMap) owner() (uid, gid int) { return m.uids[0].HostID, m.gids[0].HostID }

// apply makes cmd start in a new user namespace, as its root unless setuid programs have to write the map first.
func (m idMap) apply(attr *syscall.SysProcAttr) {
	attr.Cloneflags |= syscall.CLONE_NEWUSER
	if m.setuid {
		return
	}
	attr.UidMappings, attr.GidMappings = m.uids, m.gids
	attr.GidMappingsEnableSetgroups = true
	attr.Credential = &syscall.Credential{Uid: 0, Gid: 0}
}

// write maps the ids of the started process pid.
func (m idMap) write(ctx context.Context, pid int) error {
	if !m.setuid {
		return nil
	}
	if err := writeMap(ctx, "newuidmap", pid, m.uids); err != nil {
		return err
	}
	return writeMap(ctx, "newgidmap", pid, m.gids)
}

func writeMap(ctx context.Context, tool string, pid int, ranges []syscall.SysProcIDMap) error {
	args := []string{strconv.Itoa(pid)}
	for _, r := range ranges {
		args = append(args, strconv.Itoa(r.ContainerID), strconv.Itoa(r.HostID), strconv.Itoa(r.Size))
	}
	if out, err := exec.CommandContext(ctx, tool, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", tool, err, strings.TrimSpace(string(out)))
	}
	return nil
}

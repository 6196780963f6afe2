//go:build linux

package machine

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// An account is a user of the machine, read from its own /etc/passwd and /etc/group.
type account struct {
	name, home, shell string
	uid, gid          uint32
	groups            []uint32
}

func lookupAccount(name string) (account, error) {
	if name == "" {
		name = "root"
	}
	for _, f := range colonFile("/etc/passwd") {
		if len(f) < 7 || f[0] != name {
			continue
		}
		uid, err1 := strconv.ParseUint(f[2], 10, 32)
		gid, err2 := strconv.ParseUint(f[3], 10, 32)
		if err1 != nil || err2 != nil {
			return account{}, fmt.Errorf("user %s: bad line in /etc/passwd", name)
		}
		a := account{name: name, home: f[5], shell: firstOf(f[6], "/bin/sh"), uid: uint32(uid), gid: uint32(gid)}
		a.groups = groupsOf(name, a.gid)
		return a, nil
	}
	if name == "root" { // a machine whose /etc/passwd is gone still has its root
		return account{name: "root", home: "/root", shell: "/bin/sh", groups: []uint32{0}}, nil
	}
	return account{}, fmt.Errorf("user %s does not exist", name)
}

func groupsOf(name string, primary uint32) []uint32 {
	groups := []uint32{primary}
	for _, f := range colonFile("/etc/group") {
		if len(f) < 4 || !slices.Contains(strings.Split(f[3], ","), name) {
			continue
		}
		if gid, err := strconv.ParseUint(f[2], 10, 32); err == nil && uint32(gid) != primary {
			groups = append(groups, uint32(gid))
		}
	}
	return groups
}

// colonFile returns the fields of each line; nothing if the file can't be read.
func colonFile(path string) [][]string {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer closeAll(file)
	var rows [][]string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		rows = append(rows, strings.Split(lines.Text(), ":"))
	}
	return rows
}

func (a account) credential() *syscall.Credential {
	return &syscall.Credential{Uid: a.uid, Gid: a.gid, Groups: a.groups}
}

func (a account) environment() []string {
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if a.uid != 0 {
		path = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin"
	}
	return []string{"PATH=" + path, "HOME=" + a.home, "USER=" + a.name, "LOGNAME=" + a.name, "SHELL=" + a.shell, "LANG=C.UTF-8"}
}

// directory is dir, or where a command of the account starts.
func (a account) directory(dir string) string {
	if dir != "" {
		return dir
	}
	if info, err := os.Stat(a.home); a.uid != 0 && err == nil && info.IsDir() {
		return a.home
	}
	return "/"
}

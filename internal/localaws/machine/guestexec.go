//go:build linux

package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// An execution is a command of the host, running.
type execution struct {
	process *process
	master  *os.File // of its terminal, if it has one
}

// exec starts what r asks for on the three files, or with a terminal on none: the terminal is handed out.
func (g *guest) exec(r request, files []*os.File) {
	e, err := g.begin(r.Exec, files)
	if err != nil {
		g.answer(failed(r.ID, err))
		return
	}
	g.mu.Lock()
	g.execs[r.ID] = e
	g.mu.Unlock()
	if e.master != nil {
		g.answer(reply{ID: r.ID, Started: true}, e.master)
	} else {
		g.answer(reply{ID: r.ID, Started: true})
	}
	go g.finish(r.ID, e)
}

func (g *guest) finish(id uint64, e *execution) {
	<-e.process.done
	g.mu.Lock()
	delete(g.execs, id)
	g.mu.Unlock()
	if e.master != nil {
		closeAll(e.master)
	}
	g.answer(reply{ID: id, Exited: true, Status: e.process.status})
}

func (g *guest) begin(r *execRequest, files []*os.File) (*execution, error) {
	if r == nil {
		return nil, syscall.EINVAL
	}
	who, err := lookupAccount(r.User)
	if err != nil {
		return nil, err
	}
	env := mergeEnv(who.environment(), r.Env)
	path, err := lookPath(r.Path, env)
	if err != nil {
		return nil, err
	}
	attr := &syscall.ProcAttr{Dir: who.directory(r.Dir), Env: env, Sys: &syscall.SysProcAttr{Setsid: true, Credential: who.credential()}}
	argv := append([]string{r.Path}, r.Args...)
	if r.Terminal {
		return g.beginOnTerminal(path, argv, attr, who, r)
	}
	if len(files) != 3 {
		return nil, fmt.Errorf("%d files passed, want 3", len(files))
	}
	for _, f := range files {
		attr.Files = append(attr.Files, f.Fd())
	}
	p, err := g.reaper.start(path, argv, attr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Path, err)
	}
	return &execution{process: p}, nil
}

func (g *guest) beginOnTerminal(path string, argv []string, attr *syscall.ProcAttr, who account, r *execRequest) (*execution, error) {
	master, slave, err := openTerminal(who)
	if err != nil {
		return nil, err
	}
	defer closeAll(slave)
	if r.Rows > 0 && r.Cols > 0 {
		setSize(master, r.Rows, r.Cols)
	}
	attr.Files = []uintptr{slave.Fd(), slave.Fd(), slave.Fd()}
	attr.Sys.Setctty = true
	p, err := g.reaper.start(path, argv, attr)
	if err != nil {
		closeAll(master)
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &execution{process: p, master: master}, nil
}

func openTerminal(who account) (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("terminal: %w", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		name := fmt.Sprintf("/dev/pts/%d", number)
		slave, err = os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil {
		err = slave.Chown(int(who.uid), 5)
	}
	if err != nil {
		closeAll(master)
		return nil, nil, fmt.Errorf("terminal: %w", err)
	}
	return master, slave, nil
}

func (g *guest) kill(id uint64) {
	g.mu.Lock()
	e := g.execs[id]
	g.mu.Unlock()
	if e != nil {
		g.reaper.signal(e.process, syscall.SIGKILL, true)
	}
}

func (g *guest) resize(r request) {
	g.mu.Lock()
	e := g.execs[r.Target]
	g.mu.Unlock()
	if e != nil && e.master != nil {
		setSize(e.master, r.Rows, r.Cols)
	}
}

func setSize(master *os.File, rows, cols uint16) {
	_ = unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}) // best effort, as over any network
}

// mergeEnv is base with what add sets put over it.
func mergeEnv(base, add []string) []string {
	var merged []string
	index := map[string]int{}
	for _, kv := range append(append([]string{}, base...), add...) {
		name, _, _ := strings.Cut(kv, "=")
		if i, seen := index[name]; seen {
			merged[i] = kv
			continue
		}
		index[name] = len(merged)
		merged = append(merged, kv)
	}
	return merged
}

// lookPath finds name as a shell in the machine would.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, kv := range env {
		list, found := strings.CutPrefix(kv, "PATH=")
		if !found {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			path := filepath.Join(dir, name)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("%s: %w", name, errors.Join(syscall.ENOENT))
}

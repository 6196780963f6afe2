//go:build linux

package machine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine/standin"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine/unit"
)

const (
	stopTimeout  = 5 * time.Second // between SIGTERM and SIGKILL of a service
	restartLimit = 5               // restarts of a service that keeps ending, as systemd's default
)

// services is the part of process 1 that stands in for systemd's: it starts and stops what unit files describe.
type services struct {
	reaper *reaper

	mu    sync.Mutex
	units map[string]*service
}

// A service is a unit that was started. Its op is held while it is started or stopped; the rest is guarded by
// services.mu.
type service struct {
	op       sync.Mutex
	unit     *unit.Unit
	main     *process
	active   string
	sub      string
	exit     int
	since    time.Time
	stopping bool
	restarts int
}

func newServices(r *reaper) *services { return &services{reaper: r, units: map[string]*service{}} }

// startEnabled starts what is enabled, sshd first: when it returns, sshd accepts connections, if it is to run at all.
func (s *services) startEnabled() {
	var names []string
	for _, target := range []string{"sysinit.target", "basic.target", "multi-user.target", "graphical.target", "cloud-init.target"} {
		names = append(names, unit.WantedBy("/", target)...)
	}
	if slices.Contains(names, "sshd.service") {
		if err := s.start("sshd.service"); err != nil {
			complain(err)
		} else {
			s.awaitListening("sshd.service")
		}
	}
	for _, name := range names {
		go func() { // ends with the service's start, or the machine
			if err := s.start(name); err != nil {
				complain(err)
			}
		}()
	}
}

func (s *services) awaitListening(name string) {
	p := s.get(name).mainProcess(s)
	for deadline := time.Now().Add(stopTimeout); p != nil && time.Now().Before(deadline); {
		if listens(p.pid) {
			return
		}
		select {
		case <-p.done:
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// listens tells whether pid has a listening TCP socket.
func listens(pid int) bool {
	var table []byte
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		if rows, err := os.ReadFile(path); err == nil {
			table = append(table, rows...)
		}
	}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		inode, ok := strings.CutPrefix(strings.TrimSuffix(target, "]"), "socket:[")
		if err == nil && ok && listening(table, inode) {
			return true
		}
	}
	return false
}

func listening(table []byte, inode string) bool {
	for row := range bytes.Lines(table) {
		f := bytes.Fields(row)
		if len(f) > 9 && string(f[3]) == "0A" && string(f[9]) == inode {
			return true
		}
	}
	return false
}

func (s *services) get(name string) *service {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.units[name]
	if v == nil {
		v = &service{active: "inactive", sub: "dead"}
		s.units[name] = v
	}
	return v
}

func (v *service) mainProcess(s *services) *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return v.main
}

func (s *services) set(v *service, active, sub string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.active, v.sub, v.since = active, sub, time.Now()
}

// start starts the unit unless it is running.
func (s *services) start(name string) error {
	u, err := unit.Load("/", name)
	if err != nil {
		return fmt.Errorf("Failed to start %s: Unit %s not found.", name, name) //nolint:revive,staticcheck // systemctl's words
	}
	if u.Masked {
		return fmt.Errorf("Failed to start %s: Unit %s is masked.", name, name) //nolint:revive,staticcheck // systemctl's words
	}
	v := s.get(name)
	v.op.Lock()
	defer v.op.Unlock()
	s.mu.Lock()
	running := v.active == "active"
	v.unit, v.stopping = u, false
	s.mu.Unlock()
	if running {
		return nil
	}
	return s.launch(v, u)
}

func (s *services) launch(v *service, u *unit.Unit) error {
	if sub, passive := map[string]string{".target": "active", ".timer": "waiting", ".socket": "listening", ".path": "waiting"}[filepath.Ext(u.Name)]; passive {
		s.set(v, "active", sub)
		return nil
	}
	s.set(v, "activating", "start")
	if err := s.launchService(v, u); err != nil {
		s.set(v, "failed", "failed")
		return fmt.Errorf("Job for %s failed because %w.\nSee \"systemctl status %s\" and \"journalctl -xe\" for details.", u.Name, err, u.Name) //nolint:revive,staticcheck // systemctl's words
	}
	return nil
}

var errControl = errors.New("the control process exited with error code")

func (s *services) launchService(v *service, u *unit.Unit) error {
	if err := s.runAll(v, u, "ExecStartPre"); err != nil {
		return err
	}
	switch u.Last("Service", "Type") {
	case "oneshot":
		if err := s.runAll(v, u, "ExecStart"); err != nil {
			return err
		}
		if slices.Contains([]string{"yes", "true", "1", "on"}, u.Last("Service", "RemainAfterExit")) {
			s.set(v, "active", "exited")
		} else {
			s.set(v, "inactive", "dead")
		}
		return s.runAll(v, u, "ExecStartPost")
	case "forking":
		if err := s.runAll(v, u, "ExecStart"); err != nil {
			return err
		}
		s.set(v, "active", "running")
		return s.runAll(v, u, "ExecStartPost")
	}
	commands, err := s.commands(u, "ExecStart")
	if err != nil || len(commands) == 0 {
		return errors.Join(err, errControl)
	}
	p, err := s.spawn(u, commands[0])
	if err != nil {
		return fmt.Errorf("%w: %w", errControl, err)
	}
	s.mu.Lock()
	v.main = p
	s.mu.Unlock()
	s.set(v, "active", "running")
	go s.watch(v, u, p)
	return s.runAll(v, u, "ExecStartPost")
}

func (s *services) commands(u *unit.Unit, key string) ([]unit.Command, error) {
	env, err := u.Environment("/")
	if err != nil {
		return nil, err
	}
	return u.Commands(key, env), nil
}

// runAll runs the commands of key one after the other.
func (s *services) runAll(v *service, u *unit.Unit, key string) error {
	commands, err := s.commands(u, key)
	if err != nil {
		return err
	}
	for _, c := range commands {
		p, err := s.spawn(u, c)
		if err != nil {
			return fmt.Errorf("%w: %w", errControl, err)
		}
		<-p.done
		s.mu.Lock()
		v.exit = p.status
		s.mu.Unlock()
		if p.status != 0 && !c.MayFail {
			return errControl
		}
	}
	return nil
}

// spawn starts one command of the unit; what it prints goes to the unit's log.
func (s *services) spawn(u *unit.Unit, c unit.Command) (*process, error) {
	user := u.Last("Service", "User")
	if c.Privileged {
		user = ""
	}
	who, err := lookupAccount(user)
	if err != nil {
		return nil, err
	}
	env, err := u.Environment("/")
	if err != nil {
		return nil, err
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		return nil, err
	}
	defer closeAll(null)
	log, err := openLog(u.Name)
	if err != nil {
		return nil, err
	}
	defer closeAll(log)
	env = mergeEnv(who.environment(), env)
	path, err := lookPath(c.Argv[0], env)
	if err != nil {
		return nil, err
	}
	return s.reaper.start(path, c.Argv, &syscall.ProcAttr{
		Dir:   firstOf(strings.TrimPrefix(u.Last("Service", "WorkingDirectory"), "-"), "/"),
		Env:   env,
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, Credential: who.credential()},
	})
}

func openLog(name string) (*os.File, error) {
	if err := os.MkdirAll(standin.LogDir, 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(standin.LogDir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
}

// watch notes the end of a service's main process, and starts it again where the unit says so.
func (s *services) watch(v *service, u *unit.Unit, p *process) {
	<-p.done
	s.mu.Lock()
	if v.main != p {
		s.mu.Unlock()
		return
	}
	v.main, v.exit, v.since = nil, p.status, time.Now()
	v.active, v.sub = "inactive", "dead"
	if p.status != 0 && !v.stopping {
		v.active, v.sub = "failed", "failed"
	}
	again := !v.stopping && v.restarts < restartLimit && restarts(u.Last("Service", "Restart"), p.status)
	v.restarts++
	s.mu.Unlock()
	if !again {
		return
	}
	<-time.After(restartDelay(u.Last("Service", "RestartSec")))
	s.mu.Lock()
	stopped := v.stopping || v.main != nil
	s.mu.Unlock()
	if !stopped {
		if err := s.start(u.Name); err != nil {
			complain(err)
		}
	}
}

func restarts(policy string, status int) bool {
	switch policy {
	case "always":
		return true
	case "on-success":
		return status == 0
	case "on-failure":
		return status != 0
	case "on-abnormal", "on-abort":
		return status > 128
	}
	return false
}

func restartDelay(value string) time.Duration {
	if n, err := strconv.ParseFloat(value, 64); err == nil {
		return time.Duration(n * float64(time.Second))
	}
	if d, err := time.ParseDuration(value); err == nil {
		return d
	}
	return 100 * time.Millisecond
}

// status is what systemctl shows of the unit.
func (s *services) status(name string) standin.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.units[name]
	if v == nil {
		return standin.Status{Active: "inactive", Sub: "dead"}
	}
	status := standin.Status{Active: v.active, Sub: v.sub, ExitCode: v.exit, Since: v.since}
	if v.main != nil {
		status.PID = v.main.pid
	}
	return status
}

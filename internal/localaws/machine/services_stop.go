//go:build linux

package machine

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine/unit"
)

// stop stops the unit if it is running.
func (s *services) stop(name string) error {
	if _, err := unit.Load("/", name); err != nil {
		return fmt.Errorf("Failed to stop %s: Unit %s not loaded.", name, name) //nolint:revive,staticcheck // systemctl's words
	}
	v := s.get(name)
	v.op.Lock()
	defer v.op.Unlock()
	s.mu.Lock()
	p, u, active := v.main, v.unit, v.active
	v.stopping, v.restarts = true, 0
	s.mu.Unlock()
	if active != "active" && p == nil {
		return nil
	}
	if err := s.runAll(v, u, "ExecStop"); err != nil {
		complain(err)
	}
	s.terminate(u, p)
	s.mu.Lock()
	v.main = nil
	s.mu.Unlock()
	s.set(v, "inactive", "dead")
	return nil
}

// terminate ends the main process of u, and the others of its process group unless the unit says otherwise.
func (s *services) terminate(u *unit.Unit, p *process) {
	if p == nil {
		endForked(u)
		return
	}
	group := u.Last("Service", "KillMode") != "process"
	s.reaper.signal(p, syscall.SIGTERM, group)
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		s.reaper.signal(p, syscall.SIGKILL, group)
		<-p.done
	}
}

// endForked ends the daemon of a Type=forking unit, which is known by its PIDFile only.
func endForked(u *unit.Unit) {
	text, err := os.ReadFile(firstOf(u.Last("Service", "PIDFile"), "/dev/null"))
	if err != nil {
		return // it has ended, or never wrote one
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && pid > 1 {
		_ = syscall.Kill(pid, syscall.SIGTERM) // gone already is as good
	}
}

// reload runs the unit's ExecReload.
func (s *services) reload(name string) error {
	v := s.get(name)
	v.op.Lock()
	defer v.op.Unlock()
	s.mu.Lock()
	u, p, active := v.unit, v.main, v.active
	s.mu.Unlock()
	if active != "active" {
		return fmt.Errorf("%s is not active, cannot reload.", name) //nolint:revive,staticcheck // systemctl's words
	}
	if len(u.All("Service", "ExecReload")) == 0 {
		return fmt.Errorf("Failed to reload %s: Job type reload is not applicable for unit %s.", name, name) //nolint:revive,staticcheck // systemctl's words
	}
	if p != nil {
		s.reaper.signal(p, syscall.SIGHUP, false)
	}
	return nil
}

//go:build linux

package machine

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// A process is one that process 1 started.
type process struct {
	pid    int
	done   chan struct{} // closed when it has ended
	status int           // exit status or 128 + signal; valid once done is closed
}

// A reaper waits for every process of the machine, as process 1 must, and so nothing else may.
type reaper struct {
	mu   sync.Mutex // held while a process starts, so that its end can't be seen before its start
	live map[int]*process
}

func newReaper() *reaper {
	r := &reaper{live: map[int]*process{}}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	go func() { // lives as long as the machine
		for range ended {
			r.reap()
		}
	}()
	return r
}

func (r *reaper) start(path string, argv []string, attr *syscall.ProcAttr) (*process, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		return nil, err
	}
	p := &process{pid: pid, done: make(chan struct{})}
	r.live[pid] = p
	return p, nil
}

func (r *reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if p := r.live[pid]; p != nil {
			delete(r.live, pid)
			p.status = exitStatus(status)
			close(p.done)
		}
	}
}

// signal sends sig to the process group of p unless p has been reaped.
func (r *reaper) signal(p *process, sig syscall.Signal, group bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live[p.pid] != p && !group {
		return
	}
	target := p.pid
	if group {
		target = -target
	}
	_ = syscall.Kill(target, sig) // it may have ended; that is what was wanted
}

func exitStatus(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

package session

import (
	"sync"
	"time"
)

// deadline is a channel that is closed once a point in time has passed, and
// that can be set again at any moment.
type deadline struct {
	mu     sync.Mutex
	timer  *time.Timer
	at     time.Time
	passed chan struct{}
}

func newDeadline() deadline { return deadline{passed: make(chan struct{})} }

// wait gives the channel to wait on, and whether there is nothing to wait for.
func (d *deadline) wait() (passed <-chan struct{}, over bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passed, isClosed(d.passed) || !d.at.IsZero() && time.Until(d.at) <= 0
}

// set moves the deadline; the zero time means none.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.passed // its function runs or has run: it needs no lock to close
	}
	d.timer, d.at = nil, t
	over := isClosed(d.passed)
	if t.IsZero() || time.Until(t) > 0 {
		if over {
			d.passed = make(chan struct{})
		}
		if !t.IsZero() {
			passed := d.passed
			d.timer = time.AfterFunc(time.Until(t), func() { close(passed) })
		}
		return
	}
	if !over {
		close(d.passed)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

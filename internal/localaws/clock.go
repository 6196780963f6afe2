package localaws

import (
	"sync"
	"time"
)

// A clock tells the server's time and runs what is due later. Its timers
// belong to the server: after stop nothing that was waiting runs any more.
type clock struct {
	now func() time.Time

	mu      sync.Mutex
	stopped bool
	waiting map[*timer]struct{}
	running sync.WaitGroup
}

// A timer is one function that waits for its time.
type timer struct {
	clock *clock
	timer *time.Timer
}

func newClock() *clock {
	return &clock{now: time.Now, waiting: map[*timer]struct{}{}}
}

// Now is the server's time in UTC. It has milliseconds, as AWS's times have, so
// that what one call has done is never later than the next call.
func (c *clock) Now() time.Time { return c.now().UTC().Truncate(time.Millisecond) }

// AfterFunc runs f in a goroutine of its own once d has passed, never before
// AfterFunc has returned to a caller that holds Server.mu and f asks for it:
// f is called without the lock and takes it when it needs it.
func (c *clock) AfterFunc(d time.Duration, f func()) *timer {
	t := &timer{clock: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return t
	}
	c.waiting[t] = struct{}{}
	t.timer = time.AfterFunc(d, func() {
		if c.begin(t) {
			defer c.running.Done()
			f()
		}
	})
	return t
}

// begin takes a timer from those that wait; false when it was stopped.
func (c *clock) begin(t *timer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.waiting[t]; !ok {
		return false
	}
	delete(c.waiting, t)
	c.running.Add(1)
	return true
}

// Stop keeps the function from running and says whether it was in time.
func (t *timer) Stop() bool {
	c := t.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.waiting[t]; !ok {
		return false
	}
	delete(c.waiting, t)
	t.timer.Stop()
	return true
}

// stop drops every waiting function and waits for those that run.
func (c *clock) stop() {
	c.mu.Lock()
	c.stopped = true
	for t := range c.waiting {
		t.timer.Stop()
	}
	clear(c.waiting)
	c.mu.Unlock()
	c.running.Wait()
}

package communicator

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

const (
	defaultSessions = 8
	maxSessions     = 16

	foreseen = 1 << 20 // bytes of a transfer after which further ones are expected

	laneIdle    = time.Minute      // without use
	laneLimit   = time.Minute      // opening one
	laneBackoff = 2 * time.Second  // after the first failure; doubled by each that follows
	laneRest    = 64 * time.Second // the most of that
)

var (
	errIdle = errors.New("not in use")
	errLate = errors.New("it hangs, others took over")
)

// lane is a session of its own for bulk data, with an SSH connection in it. It
// is opened when a transfer wants it, shared by all that do, and closed after a
// minute without any.
type lane struct {
	c *Communicator

	mu       sync.Mutex
	on       *line         // the last one, dead or alive
	opening  chan struct{} // closed when the attempt under way has ended, otherwise nil
	users    int
	used     time.Time // when the last user left
	failures int       // in a row
	rest     time.Time // no attempt before
	refused  bool      // for good
}

func newLanes(c *Communicator) []*lane {
	if c.cfg.Sessions == 1 {
		return nil
	}
	all := make([]*lane, c.cfg.Sessions)
	for i := range all {
		all[i] = &lane{c: c}
	}
	return all
}

// lanesOpen are those that can be used at once.
func (c *Communicator) lanesOpen() int {
	n := 0
	for _, l := range c.lanes {
		l.mu.Lock()
		if l.on != nil && l.on.alive() {
			n++
		}
		l.mu.Unlock()
	}
	return n
}

// use is the lane's line, once it is open. It waits, through failed attempts
// too, until ctx ends or it is clear that there can be none. The line is to be
// given back by leave.
func (l *lane) use(ctx context.Context) (*line, error) {
	for {
		on, opening, rest := l.enter() //nolint:contextcheck // a lane outlives the transfer that opens it
		switch {
		case on != nil:
			return on, nil
		case rest > 0:
			if err := wait(ctx, rest); err != nil {
				return nil, err
			}
		case opening == nil:
			return nil, errClosed
		default:
			select {
			case <-opening:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
}

// enter is the living line, or the attempt to open one, or for how long there
// is to be none; nothing of all that if there will never be one.
func (l *lane) enter() (on *line, opening chan struct{}, rest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.on != nil && l.on.alive():
		l.users++
		return l.on, nil, 0
	case l.opening != nil:
		return nil, l.opening, 0
	case l.refused:
		return nil, nil, 0
	case time.Until(l.rest) > 0:
		return nil, nil, time.Until(l.rest)
	}
	opening = make(chan struct{})
	if !l.c.owned.goes(func() { l.live(opening) }) {
		return nil, nil, 0
	}
	l.opening = opening
	return nil, opening, 0
}

func (l *lane) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.users--
	l.used = time.Now()
}

// live opens the lane and keeps it until it is lost or not used any more.
func (l *lane) live(opening chan struct{}) {
	ctx, done := l.c.untilClosed(context.Background())
	defer done()
	on, err := l.open(ctx)
	l.mu.Lock()
	l.on, l.opening, l.used = on, nil, time.Now()
	if err != nil {
		l.failed(err)
	} else {
		l.failures = 0
	}
	l.mu.Unlock()
	close(opening)
	if err == nil {
		l.keep(ctx, on)
		on.wait()
	}
}

// failed takes in that the lane could not be opened. l.mu is held.
func (l *lane) failed(err error) {
	pause := min(laneBackoff<<min(l.failures, 10), laneRest)
	l.failures++
	l.rest = time.Now().Add(pause/2 + rand.N(pause/2))
	l.refused = hopeless(err)
	l.c.cfg.Logger.Debug("no further session for transfers", "err", err, "failures", l.failures, "for good", l.refused)
}

func (l *lane) open(ctx context.Context) (*line, error) {
	ctx, cancel := context.WithTimeout(ctx, laneLimit)
	defer cancel()
	number, err := l.c.lanePort(ctx)
	if err != nil {
		return nil, err
	}
	p, err := l.c.links.open(ctx, number)
	if err != nil {
		return nil, err
	}
	conf := *l.c.login
	return newLine(ctx, early(p), &conf, l.c.cfg.keepAlive(), l.c.cfg.patience)
}

// eager is a session that does not wait for a sign that the port is open: SSH
// gives one soon enough.
type eager struct {
	port
	dial func(ctx context.Context) (net.Conn, error)
}

// Dial is port's.
func (e eager) Dial(ctx context.Context) (net.Conn, error) { return e.dial(ctx) }

func early(p port) port {
	if e, ok := p.(interface {
		DialEarly(ctx context.Context) (net.Conn, error)
	}); ok {
		return eager{p, e.DialEarly}
	}
	return p
}

// warm begins to open lanes for a transfer that is about to come.
func (c *Communicator) warm(want int) {
	for _, l := range c.lanes[:min(want, len(c.lanes))] {
		if on, _, _ := l.enter(); on != nil {
			l.leave()
		}
	}
}

// foresee begins to open a few lanes beside a transfer that does without: there
// is often another of its size soon after.
func (c *Communicator) foresee(size int64) {
	if size >= foreseen && size < lanesFrom {
		c.warm(int(size/perLane) + 1)
	}
}

// lanePort is the port that the living line leads to. It waits while that is
// being made.
func (c *Communicator) lanePort(ctx context.Context) (int, error) {
	if c.cfg.OwnCredentials {
		return c.cfg.ownPort(), nil
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return 0, c.because(ctx)
	}
	if c.daemon == nil {
		return 0, errors.New("no daemon to connect to")
	}
	return c.daemon.port, nil
}

func (l *lane) keep(ctx context.Context, on *line) {
	tick := time.NewTicker(laneIdle / 8)
	defer tick.Stop()
	for {
		select {
		case <-on.dead:
			return
		case <-ctx.Done():
			on.fail(errClosed)
			return
		case <-tick.C:
			if l.idle() {
				on.fail(errIdle)
				return
			}
		}
	}
}

// idle takes the line out of use if nobody has used it for long.
func (l *lane) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users > 0 || time.Since(l.used) < laneIdle {
		return false
	}
	l.on = nil
	return true
}

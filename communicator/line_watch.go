package communicator

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// watch ends the line when the session or the connection ends, when a
// keepalive stays without any answer, or when so much is missing that another
// session is quicker. A data channel can stay open in silence after a reboot, so
// without keepalives nobody would notice.
func (l *line) watch(every time.Duration) {
	hungUp := make(chan struct{})
	l.owned.Go(func() {
		_ = l.client.Wait()
		close(hungUp)
	})
	tick := make(<-chan time.Time)
	if every > 0 {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		tick = ticker.C
	}
	look := time.NewTicker(gapLook)
	defer look.Stop()
	var pulse pulse
	var behind bool
	for {
		select {
		case <-l.dead:
			return
		case <-l.port.Done():
			l.fail(sessionEnd(l.port))
		case <-hungUp:
			l.fail(errHungUp)
		case <-pulse.answered:
			pulse.answered = nil
		case <-look.C:
			behind = l.fallBehind(behind)
		case now := <-tick:
			if pulse.answered == nil {
				pulse = l.ping(now)
			} else if l.silent(now, &pulse) {
				l.fail(fmt.Errorf("%w (nothing heard for %s)", errSilent, l.patience))
			} else if l.free() {
				l.goes(l.stir)
			}
		}
	}
}

const (
	gapLook = time.Second
	gapMost = 50 // messages that the agent takes five seconds to repeat: no less than a new session takes
)

var errGap = errors.New("the agent has lost its connection for a while, and repeats ten messages a second of what it sent meanwhile")

// fallBehind tells whether a gap is so large that another session is quicker
// than the agent, and ends the line where it was so before: unless something
// would be lost that can't be picked up.
func (l *line) fallBehind(before bool) bool {
	gap := l.port.Gap()
	behind := gap >= gapMost && l.free()
	if before && behind {
		l.leave(fmt.Errorf("%w (%d are missing)", errGap, gap))
	}
	return behind
}

// stir has the instance say something new: sshd greets. Where an answer was
// lost and nothing came after it, that shows how much is missing before it.
func (l *line) stir() {
	ctx, cancel := context.WithTimeout(context.Background(), gapLook)
	defer cancel()
	conn, err := l.port.Dial(ctx)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	select {
	case <-l.dead:
	case <-ctx.Done():
	}
}

// pulse is a keepalive under way.
type pulse struct {
	answered chan struct{} // nil when none is
	since    time.Time     // silence counts from then on
	looked   time.Time     // at it for the last time
}

// ping sends a request that every SSH server answers, if only by a refusal. A lost line sends none.
func (l *line) ping(now time.Time) pulse {
	answered := make(chan struct{})
	l.goes(func() {
		if _, _, err := l.client.SendRequest("keepalive@openssh.com", true, nil); err == nil {
			close(answered)
		}
	})
	return pulse{answered: answered, since: now, looked: now}
}

// silent tells whether the instance has sent nothing at all for longer than
// patience since the keepalive. An answer may queue behind bulk data, so any
// byte counts; and while the service itself can't be reached, its silence says
// nothing about the instance: the session resumes or ends by its own rules. That
// time does not count, but does not excuse the silence before and after it: a
// service that comes and goes would hide for ever that the instance is gone.
func (l *line) silent(now time.Time, p *pulse) bool {
	if heard := time.Unix(0, l.heard.Load()); heard.After(p.since) {
		p.since = heard
	}
	if !l.port.Reachable() {
		looked := p.looked
		if p.since.After(looked) {
			looked = p.since
		}
		p.since = p.since.Add(now.Sub(looked))
	}
	p.looked = now
	return now.Sub(p.since) > l.patience
}

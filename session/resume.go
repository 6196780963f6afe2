package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	pingEvery    = 5 * time.Second  // websocket pings
	pingPatience = 3 * time.Second  // an unanswered one for so long: the service is out of reach
	silenceLimit = 20 * time.Second // no message and no pong for so long: the websocket is dead

	refusalsMost = 3 // websockets refused in a row before the first was open

	readOut = 500 * time.Millisecond // after a write has failed, to read what has come

	retryFirst = 200 * time.Millisecond // pause before the second try to resume, doubled each time
	retryMax   = 5 * time.Second
	retryCalm  = time.Second      // a connection lost sooner after the last try is not resumed at once
	retryLimit = 15 * time.Second // for one call of Resume
)

// errSilent is why a websocket is given up that is dead.
var errSilent = errors.New("no sign of life on the websocket")

// run keeps the session connected until it ends, and says why it did: with an
// *EndedError, or with ctx's cause. Nothing that it started is left then.
//
// A closed websocket, whatever its close code, is not the end: the service
// closes each one after an hour with 1000. Only channel_closed, an answer of
// Resume that says so, or ResumeTimeout without a sign of the agent is.
func (p *Port) run(ctx context.Context, grant Grant) error {
	out := outage{limit: p.opts.ResumeTimeout}
	for {
		cause := p.connection(ctx, grant, &out)
		var ended *EndedError
		if errors.As(cause, &ended) {
			ended.SessionID = p.id
			if r := p.reply.refusal; r != nil && ended.Err == nil && !isClosed(p.ready) && !strings.Contains(ended.Output, r.Error()) {
				ended.Err = r
			}
			return ended
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if p.turnedAway(cause) {
			return p.ended(ReasonRefused, cause)
		}
		p.opts.Logger.Info("connection lost", "session", p.id, "reason", cause)
		p.see("no connection: " + cause.Error())
		var err error
		if grant, err = p.resume(ctx, cause, &out); err != nil {
			return err
		}
	}
}

// turnedAway tells that there is no use in going on to open the session, since
// the service refuses its websocket every time. A session that was open may be
// refused for a while, for instance by a proxy, and be taken again.
func (p *Port) turnedAway(cause error) bool {
	var refusal *refusedError
	if !errors.As(cause, &refusal) || !refusal.final() || isClosed(p.ready) {
		p.refusals = 0
		return false
	}
	p.refusals++
	return p.refusals == refusalsMost
}

// connection runs one websocket from its opening to its end.
func (p *Port) connection(ctx context.Context, grant Grant, out *outage) error {
	ch, err := p.dial(ctx, grant)
	if err != nil {
		return err
	}
	p.opts.Logger.Debug("websocket open", "session", p.id)
	if isClosed(p.ready) {
		p.mux.keepAlive() // its acknowledgement proves that the agent is there
	} else {
		p.see("websocket open, handshake not complete")
	}
	opened := time.Now()
	heard, err := p.serve(ctx, ch)
	switch {
	case heard:
		out.end()
	case time.Since(opened) > retryMax:
		out.tries = 0 // the service is there, if not the agent
	}
	return err
}

// serve reads, writes and watches ch until one of these ends, then waits for
// the others. It says whether anything was heard, and why it ended.
func (p *Port) serve(ctx context.Context, ch channel) (heard bool, _ error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	life := newLife()
	p.life.Store(life)
	defer p.life.Store(nil)
	var running sync.WaitGroup
	var ended atomic.Pointer[EndedError]
	for _, part := range []func() error{
		func() error { return p.stream.read(ctx, ch, life.sign) },
		func() error { return p.write(ctx, ch) },
		func() error { return life.watch(ctx, ch) },
		func() error { return p.keepAlive(ctx) },
	} {
		running.Go(func() {
			err := part()
			if e := (*EndedError)(nil); errors.As(err, &e) {
				ended.Store(e)
			}
			stop(err)
		})
	}
	<-ctx.Done()
	_ = ch.Close()
	running.Wait()
	if e := ended.Load(); e != nil {
		return life.heard.Load(), e
	}
	return life.heard.Load(), context.Cause(ctx)
}

// write writes until that fails, and then leaves reading a moment: the service
// closes the websocket right after the channel_closed that says why.
func (p *Port) write(ctx context.Context, ch channel) error {
	err := p.stream.write(ctx, ch)
	timer := time.NewTimer(readOut)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return err
}

// resume asks for new tokens until there is one. The first time at once,
// because the hourly close needs no pause, then with growing, uneven pauses.
func (p *Port) resume(ctx context.Context, cause error, out *outage) (Grant, error) {
	for {
		if err := out.pause(ctx); err != nil {
			return Grant{}, err
		}
		if out.over() || p.stream.silence() > p.opts.ResumeTimeout {
			return Grant{}, p.ended(ReasonLost, fmt.Errorf("no connection to the agent for %v; last: %w", p.opts.ResumeTimeout, cause))
		}
		grant, err := p.askToResume(ctx)
		switch {
		case errors.Is(err, ErrNotResumable):
			return Grant{}, p.ended(ReasonNotResumable, err)
		case ctx.Err() != nil:
			return Grant{}, context.Cause(ctx)
		case err != nil:
			cause = fmt.Errorf("resume session: %w", err)
			p.opts.Logger.Warn("session not resumed", "session", p.id, "reason", err)
			p.see(cause.Error())
		case grant.Token == "":
			return Grant{}, p.ended(ReasonExpired, nil)
		default:
			if grant.StreamURL == "" {
				grant.StreamURL = p.url
			}
			p.url = grant.StreamURL
			return grant, nil
		}
	}
}

// askToResume calls Resume, for a limited time: the next try may do better.
func (p *Port) askToResume(ctx context.Context) (Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, retryLimit)
	defer cancel()
	return p.svc.Resume(ctx, p.id)
}

func (p *Port) ended(reason Reason, err error) error {
	return &EndedError{SessionID: p.id, Reason: reason, Err: err}
}

// outage is a stretch of time without a connection that brought anything.
type outage struct {
	limit time.Duration
	since time.Time // zero before the first try
	tries int
	last  time.Time // of the tries, of earlier outages too
}

// end says that a connection brought something.
func (o *outage) end() { o.since, o.tries = time.Time{}, 0 }

// pause waits before the next try: not at all before the first, unless the
// last outage has only just ended.
func (o *outage) pause(ctx context.Context) error {
	defer func() { o.last = time.Now() }()
	if o.since.IsZero() {
		o.since = time.Now()
	}
	o.tries++
	if o.tries == 1 && time.Since(o.last) >= retryCalm {
		return ctx.Err()
	}
	most := min(retryFirst<<min(max(o.tries-2, 0), 10), retryMax)
	timer := time.NewTimer(most/2 + rand.N(most/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (o *outage) over() bool { return time.Since(o.since) > o.limit }

// keepAlive sends an empty frame whenever nothing was sent for a while.
func (p *Port) keepAlive(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.ready:
	}
	if p.pulse < 0 {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	timer := time.NewTimer(p.pulse)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
		idle := p.stream.idle()
		if idle >= p.pulse {
			p.mux.keepAlive()
			idle = 0
		}
		timer.Reset(p.pulse - idle)
	}
}

package session

import (
	"context"
	"sync/atomic"
	"time"
)

// Reachable tells whether the service itself answers: false while there is no
// websocket, or one on which a ping has stayed unanswered for seconds. As long
// as it is false, that nothing comes from the instance says nothing about the
// instance: the session is being resumed, or will end.
func (p *Port) Reachable() bool {
	life := p.life.Load()
	return life != nil && life.reachable()
}

// Gap is how many of the agent's messages are missing in a row, with later ones
// already there; 10,000 stands for more as well. It is 0 or a few, but where a
// websocket, the agent's above all, was lost with much under way: the agent
// repeats no more than ten a second. Who can go on in another session is
// quicker there once hundreds are missing.
func (p *Port) Gap() int { return p.stream.missing() }

// life watches over one websocket. Times are since start, in nanoseconds.
type life struct {
	start time.Time
	heard atomic.Bool
	last  atomic.Int64 // sign of life
	asked atomic.Int64 // the ping that is on the way, 0 for none
}

func newLife() *life { return &life{start: time.Now()} }

func (l *life) now() int64 { return int64(time.Since(l.start)) }

// sign notes that a message came.
func (l *life) sign() {
	l.heard.Store(true)
	l.last.Store(l.now())
}

// reachable tells whether there was a sign of life, if one was asked for.
func (l *life) reachable() bool {
	asked := l.asked.Load()
	return asked == 0 || l.now()-max(asked, l.last.Load()) < int64(pingPatience)
}

// watch pings until nothing was heard for silenceLimit.
func (l *life) watch(ctx context.Context, ch channel) error {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		l.ping(ctx, ch)
		if l.now()-l.last.Load() >= int64(silenceLimit) {
			return errSilent
		}
	}
}

// ping asks for a sign of life, and waits for it as long as there is time.
func (l *life) ping(ctx context.Context, ch channel) {
	ctx, cancel := context.WithTimeout(ctx, silenceLimit-pingEvery)
	defer cancel()
	l.asked.CompareAndSwap(0, max(l.now(), 1))
	if ch.Ping(ctx) == nil {
		l.last.Store(l.now())
		l.asked.Store(0)
	}
}

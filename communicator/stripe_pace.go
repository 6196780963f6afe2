package communicator

import (
	"slices"
	"time"
)

// What one worker is expected to take for its pieces.
const (
	usualPace     = 1000                   // nanoseconds a byte, before any is measured: what the service lets a session carry
	leastPatience = 250 * time.Millisecond // beside the time that the pieces take
)

// takeOver is the piece that another worker has had for too long, so that the
// end does not wait for a session that is slow or hangs. mu is held.
func (b *board) takeOver(w *worker, now time.Time) (*piece, time.Duration) {
	soonest := time.Hour
	for _, p := range b.held {
		if p.holders > 1 || slices.Contains(w.holds, p) {
			continue
		}
		left := p.ripe.Sub(now)
		if left <= 0 {
			return b.hand(w, p, now), 0
		}
		soonest = min(soonest, left)
	}
	return nil, soonest
}

// patience is how long a worker is left alone with what it holds: twice what
// it takes to be expected, because what is taken over is sent twice. mu is held.
func (b *board) patience(w *worker) time.Duration {
	return time.Duration(2*b.pace*float64(w.bytes)) + leastPatience
}

// learn takes in how long a worker has been busy with a piece. mu is held.
func (b *board) learn(w *worker, p *piece, now time.Time) {
	began := p.since
	if w.last.After(began) {
		began = w.last // it had others before
	}
	w.last = now
	b.pace += (float64(now.Sub(began))/float64(max(p.size, 1)) - b.pace) / 8
}

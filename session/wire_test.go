package session

import (
	"context"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// faults is what a wire does to messages. The fractions are of 1.
type faults struct {
	delay                    time.Duration // one way
	lose, duplicate, reorder float64
	drop                     func(b []byte) bool // true loses this one
}

// lane is one direction of a wire.
type lane struct {
	faults func() faults
	rng    *rand.Rand

	mu     sync.Mutex
	queue  []parcel // by time of arrival
	wake   chan struct{}
	closed chan struct{}
}

type parcel struct {
	at time.Time
	b  []byte
}

func (l *lane) send(b []byte) error {
	if isClosed(l.closed) {
		return io.ErrClosedPipe
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.faults()
	if f.drop != nil && f.drop(b) || l.rng.Float64() < f.lose {
		return nil
	}
	l.put(f, b)
	if l.rng.Float64() < f.duplicate {
		l.put(f, b)
	}
	signal(l.wake)
	return nil
}

func (l *lane) put(f faults, b []byte) {
	at := time.Now().Add(f.delay)
	if l.rng.Float64() < f.reorder {
		at = at.Add(time.Duration(l.rng.Int64N(int64(30 * time.Millisecond))))
	}
	i := len(l.queue)
	for i > 0 && l.queue[i-1].at.After(at) {
		i--
	}
	l.queue = slices.Insert(l.queue, i, parcel{at, slices.Clone(b)})
}

func (l *lane) receive(ctx context.Context) ([]byte, error) {
	for {
		if isClosed(l.closed) {
			return nil, io.EOF
		}
		l.mu.Lock()
		wait := time.Hour
		if len(l.queue) > 0 {
			if wait = time.Until(l.queue[0].at); wait <= 0 {
				b := l.queue[0].b
				l.queue = l.queue[1:]
				l.mu.Unlock()
				return b, nil
			}
		}
		l.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-l.wake:
		case <-l.closed:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		timer.Stop()
	}
}

// wire is a websocket in memory.
type wire struct {
	up, down *lane
	closed   chan struct{}
	once     sync.Once
	deaf     func() bool // pings go unanswered

	refuseWrites atomic.Bool // of the client
}

func newWire(up, down func() faults, rng *rand.Rand, deaf func() bool) *wire {
	w := &wire{closed: make(chan struct{}), deaf: deaf}
	w.up = &lane{faults: up, rng: rand.New(rand.NewPCG(rng.Uint64(), 1)), wake: make(chan struct{}, 1), closed: w.closed}
	w.down = &lane{faults: down, rng: rand.New(rand.NewPCG(rng.Uint64(), 2)), wake: make(chan struct{}, 1), closed: w.closed}
	return w
}

func (w *wire) cut() { w.once.Do(func() { close(w.closed) }) }

// end is the client's end of a wire: a channel.
type end struct{ *wire }

func (e end) Read(ctx context.Context) ([]byte, error) { return e.down.receive(ctx) }

func (e end) Write(_ context.Context, message []byte) error {
	if e.refuseWrites.Load() {
		return io.ErrClosedPipe
	}
	return e.up.send(message)
}

func (e end) Close() error {
	e.cut()
	return nil
}

func (e end) Ping(ctx context.Context) error {
	if !e.deaf() {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-e.closed:
		return io.EOF
	}
}

package datachannel

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// wireLimit is how many data messages a wire holds: what is sent beyond waits (from the agent) or is dropped (from the
// client). Acknowledgements always have room: the agent sends them while it takes messages in, so one that waited for a client
// that waits for the agent would be the end of both.
const wireLimit = 8192

// A wire carries whole messages one way, with the impairments of that direction, and hands them to deliver one after the
// other. While deliver blocks, messages wait.
type wire struct {
	direction Direction
	faults    *Faults
	deliver   func(frame []byte)
	wake      chan struct{} // holds a token when the queue has changed

	mu       sync.Mutex
	room     sync.Cond
	queue    flights
	held     int // data messages in queue
	sent     uint64
	lastDue  time.Time // of the messages that keep their order
	lineFree time.Time // when the line has sent what it was given, where bandwidth is limited
	closed   bool
	busy     bool // a message is being delivered
}

func newWire(d Direction, f *Faults, deliver func([]byte)) *wire {
	w := &wire{direction: d, faults: f, deliver: deliver, wake: make(chan struct{}, 1)}
	w.room.L = &w.mu
	return w
}

// offer takes a message unless the wire is full.
func (w *wire) offer(frame []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.full(frame) || w.closed {
		return false
	}
	w.impaired(frame)
	return true
}

// send takes a message when there is room for it.
func (w *wire) send(frame []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.full(frame) && !w.closed {
		w.room.Wait()
	}
	w.impaired(frame)
}

// full says whether there is no room for a message. w.mu is held.
func (w *wire) full(frame []byte) bool {
	return w.held >= wireLimit && kindOf(frame) != acknowledge
}

// sendOwn takes a message of the service itself, which is delayed as others are, and neither lost nor repeated.
func (w *wire) sendOwn(frame []byte) {
	i := w.faults.impairment(w.direction)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.push(frame, i, 0)
}

// impaired queues the message as the faults have it: not at all, once or twice. w.mu is held.
func (w *wire) impaired(frame []byte) {
	i := w.faults.impairment(w.direction)
	lose := i.LoseData
	if kindOf(frame) == acknowledge {
		lose = i.LoseAcks
	}
	if w.faults.chance(lose) {
		return
	}
	w.push(frame, i, w.lateness(i))
	if w.faults.chance(i.Repeat) {
		w.push(frame, i, w.lateness(i))
	}
}

func (w *wire) lateness(i Impairment) time.Duration {
	if !w.faults.chance(i.Reorder) {
		return 0
	}
	by := i.ReorderBy
	defaultTo(&by, 20*time.Millisecond)
	return w.faults.upTo(by)
}

func (w *wire) push(frame []byte, i Impairment, late time.Duration) {
	if w.closed {
		return
	}
	leaves := time.Now()
	if i.BytesPerSecond > 0 {
		leaves = latest(leaves, w.lineFree)
		w.lineFree = leaves.Add(time.Duration(float64(len(frame)) / float64(i.BytesPerSecond) * float64(time.Second)))
		leaves = w.lineFree
	}
	due := leaves.Add(i.Delay)
	if late == 0 {
		due = latest(due, w.lastDue)
		w.lastDue = due
	}
	w.sent++
	if kindOf(frame) != acknowledge {
		w.held++
	}
	heap.Push(&w.queue, flight{due.Add(late), w.sent, frame})
	w.signal()
}

func (w *wire) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run delivers until ctx ends.
func (w *wire) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		frame, wait := w.next()
		if frame != nil {
			w.deliver(frame)
			w.delivered()
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
	}
}

// next takes the message that is due, or says how long to wait for one.
func (w *wire) next() ([]byte, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 || w.closed {
		return nil, time.Hour
	}
	if wait := time.Until(w.queue[0].due); wait > 0 {
		return nil, wait
	}
	f, _ := heap.Pop(&w.queue).(flight)
	if kindOf(f.frame) != acknowledge {
		w.held--
	}
	w.room.Broadcast()
	w.busy = true
	return f.frame, 0
}

func (w *wire) delivered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = false
}

// drop loses everything in flight.
func (w *wire) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue, w.held = nil, 0
	w.room.Broadcast()
}

// close loses everything in flight and whatever is sent from now on, and lets go who waits for room.
func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed, w.queue, w.held = true, nil, 0
	w.room.Broadcast()
}

// idle says whether everything sent has been delivered.
func (w *wire) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue) == 0 && !w.busy
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// A flight is a message on its way.
type flight struct {
	due   time.Time
	order uint64
	frame []byte
}

type flights []flight

func (f flights) Len() int      { return len(f) }
func (f flights) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f flights) Less(i, j int) bool {
	if f[i].due.Equal(f[j].due) {
		return f[i].order < f[j].order
	}
	return f[i].due.Before(f[j].due)
}

func (f *flights) Push(x any) {
	if v, ok := x.(flight); ok {
		*f = append(*f, v)
	}
}

func (f *flights) Pop() any {
	old := *f
	last := old[len(old)-1]
	old[len(old)-1] = flight{}
	*f = old[:len(old)-1]
	return last
}

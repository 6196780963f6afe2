package communicator

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Bulk data is cut into pieces, which whoever is free takes: sessions of their
// own (lanes), and the line of the commands as long as there are none.
const (
	stripeFrom = 256 << 10 // smaller files go over the line in the plain way
	lanesFrom  = 2 << 20   // smaller ones open no sessions
	blockSize  = 512 << 10 // what is read, compared and at most sent at once
	pieceLeast = 64 << 10
	perLane    = 512 << 10 // less than that is not worth a session

	laneHolds = 768 << 10 // bytes on the way, so that a round trip doesn't count
	lineHolds = 128 << 10 // on the line: what a command may have to wait for

	lendAgain = time.Second // how often the line looks whether it may help
)

// piece is a range of a file.
type piece struct {
	off     int64
	size    int
	raw     []byte // of an upload
	holders int
	since   time.Time // when it was last handed out
	ripe    time.Time // when another may take it over
	done    bool
}

// worker is one session's share in a transfer.
type worker struct {
	spare bool // the line of the commands: it works only while nobody else does
	holds []*piece
	bytes int // on the way
	limit int
	last  time.Time // when it was last done with a piece
	left  bool      // and gets nothing more
}

// board is where the workers of one transfer find what is to be done. All
// fields are under mu, and fresh and more are called with it held.
type board struct {
	fresh func(*worker) *piece // a piece that nobody has had yet, nil if there is none now
	more  func() bool          // whether there is one
	meter *meter
	lend  func() bool // whether the line works beside the lanes

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when anything changes
	again   []*piece      // given back
	held    []*piece      // handed out, longest ago first
	ended   bool          // nothing fresh will come
	err     error
	over    chan struct{} // closed when all is done or nothing can be
	owners  int           // workers that are not spare
	pace    float64       // of one worker, in nanoseconds a byte
	fails   int           // workers lost since a piece was done
}

func newBoard(m *meter) *board {
	return &board{meter: m, lend: never, changed: make(chan struct{}), over: make(chan struct{}), pace: usualPace}
}

// change wakes all that wait. mu is held.
func (b *board) change() {
	close(b.changed)
	b.changed = make(chan struct{})
	if !isDone(b.over) && (b.err != nil || b.ended && !b.more() && len(b.again) == 0 && len(b.held) == 0) {
		close(b.over)
	}
}

func isDone(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// fail ends the transfer.
func (b *board) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil && !isDone(b.over) {
		b.err = err
		b.change()
	}
}

func (b *board) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.change()
}

func (b *board) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

func (b *board) join(spare bool) *worker {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &worker{spare: spare, limit: laneHolds}
	if spare {
		w.limit = lineHolds
	} else {
		b.owners++
	}
	b.meter.carried(b.owners)
	b.change()
	return w
}

// leave gives back what the worker still had, and tells whether that was any.
func (b *board) leave(w *worker, err error) (late bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !w.spare {
		b.owners--
	}
	holds := w.holds
	w.holds, w.bytes, w.left = nil, 0, true
	for _, p := range holds {
		if p.holders--; !p.done && p.holders == 0 {
			b.held = without(b.held, p)
			b.again = append(b.again, p)
		}
	}
	if err != nil {
		b.fails++
	}
	b.change()
	return len(holds) > 0
}

func without(pieces []*piece, p *piece) []*piece {
	return slices.DeleteFunc(pieces, func(h *piece) bool { return h == p })
}

const mostFails = 50 // lost workers without a piece done between

// hopeless tells that workers are lost and lost and nothing gets done.
func (b *board) hopeless() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fails > mostFails
}

// next is a piece for a worker that has room for it, or nil when there is
// nothing more to do or ctx ends.
func (b *board) next(ctx context.Context, w *worker) *piece {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		b.mu.Lock()
		p, ripe := b.pick(w, time.Now())
		changed := b.changed
		b.mu.Unlock()
		if p != nil || isDone(b.over) || ctx.Err() != nil {
			return p
		}
		timer.Reset(ripe)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// pick is next without waiting: or in how long there may be something to take
// over. mu is held.
func (b *board) pick(w *worker, now time.Time) (p *piece, ripe time.Duration) {
	if b.err != nil || w.left || w.bytes >= w.limit {
		return nil, time.Hour
	}
	if w.spare && b.owners > 0 && !b.lend() {
		return nil, lendAgain
	}
	if len(b.again) > 0 {
		p, b.again = b.again[0], b.again[1:]
		return b.hand(w, p, now), 0
	}
	if p = b.fresh(w); p != nil {
		return b.hand(w, p, now), 0
	}
	return b.takeOver(w, now)
}

func (b *board) hand(w *worker, p *piece, now time.Time) *piece {
	p.holders++
	w.holds = append(w.holds, p)
	w.bytes += p.size
	p.since, p.ripe = now, now.Add(b.patience(w))
	b.held = append(without(b.held, p), p)
	return p
}

// greedy tells whether the worker has its share of what is left already, which
// is then for the others. mu is held.
func (b *board) greedy(w *worker, left int64, lanes int) bool {
	return int64(w.bytes) >= max(2*pieceLeast, left/int64(max(b.owners, lanes)+1))
}

// finished takes in that the worker is done with a piece, and tells whether it
// was the first to be. What it was doing when it left counts as well, but is no
// longer its own: somebody else may have the piece by now, or be about to.
func (b *board) finished(w *worker, p *piece) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := !p.done
	if slices.Contains(w.holds, p) {
		if first && p.holders == 1 {
			b.learn(w, p, time.Now())
		}
		w.holds = without(w.holds, p)
		w.bytes -= p.size
		p.holders--
	}
	if first {
		p.done = true
		b.fails = 0
		b.held, b.again = without(b.held, p), without(b.again, p)
		b.meter.add(p.size)
	}
	b.change()
	return first
}

// oldest is what the worker has to be done with next.
func (b *board) oldest(w *worker) *piece {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(w.holds) == 0 {
		return nil
	}
	return w.holds[0]
}

// carrier is an SSH connection for a transfer's data.
type carrier struct {
	client *ssh.Client
	lane   *line // what it is in; nil if that is the line of the commands
}

// work is what one carrier does for a transfer, until there is nothing more to
// do or the connection fails.
type work func(ctx context.Context, by carrier) error

const crewPause = 200 * time.Millisecond // before a session that failed is tried again

// crew has the line, and up to want lanes as they open, do the work until the
// board is over.
func (c *Communicator) crew(ctx context.Context, b *board, want int, do work) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var working sync.WaitGroup
	defer working.Wait()
	stop := context.AfterFunc(ctx, func() { b.fail(c.because(ctx)) })
	defer stop()
	for _, l := range c.lanes[:min(want, len(c.lanes))] {
		working.Go(func() {
			c.staff(ctx, b, func() error {
				on, err := l.use(ctx)
				if err != nil {
					return errClosed
				}
				defer l.leave()
				return do(ctx, carrier{on.client, on})
			})
		})
	}
	working.Go(func() {
		c.staff(ctx, b, func() error {
			on, err := c.current(ctx)
			if err != nil {
				b.fail(err)
				return errClosed
			}
			return c.aside(ctx, on, want > 0, do)
		})
	})
	working.Go(func() { b.meter.watch(ctx) })
	<-b.over
	stop()
	cancel()
}

// aside has the line of the commands work too. For more than a moment that goes
// over an SSH connection of its own, because the session takes turns between
// connections, but an SSH connection not between its channels.
func (c *Communicator) aside(ctx context.Context, on *line, long bool, do work) error {
	if !long {
		return do(ctx, carrier{client: on.client})
	}
	conn, err := on.dial(ctx)
	if err != nil {
		return err
	}
	conf := *c.login
	client, err := handshake(ctx, conn, &conf)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	return do(ctx, carrier{client: client})
}

// staff repeats a work that fails.
func (c *Communicator) staff(ctx context.Context, b *board, try func() error) {
	for {
		err := try()
		var refused *refusal
		switch {
		case err == nil || errors.Is(err, errClosed) || ctx.Err() != nil || isDone(b.over):
			return
		case errors.As(err, &refused) || b.hopeless():
			b.fail(err)
			return
		}
		c.cfg.Logger.Debug("a session of a transfer failed", "err", err)
		if wait(ctx, crewPause) != nil {
			return
		}
	}
}

// command notes that a command is under way until the result is called.
func (c *Communicator) command() (ended func()) {
	c.commands.Add(1)
	return func() { c.commands.Add(-1) }
}

// quiet tells whether no command is under way, so that the line may carry data.
func (c *Communicator) quiet() bool { return c.commands.Load() == 0 }

func never() bool { return false }

// lanesFor is how many lanes a transfer of so many bytes (-1: not known) asks
// for. A small one takes those that are there.
func (c *Communicator) lanesFor(size int64) int {
	if size >= 0 && size < lanesFrom {
		return min(c.lanesOpen(), len(c.lanes))
	}
	if size < 0 {
		return len(c.lanes)
	}
	return min(len(c.lanes), int(size/perLane)+1)
}

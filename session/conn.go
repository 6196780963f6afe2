package session

import (
	"context"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

// outLimit is how many bytes a connection holds that are written but not yet
// sent. It is small, so that Write soon feels the pace of the session.
const outLimit = 64 << 10

// conn is one TCP connection on the instance.
type conn struct {
	mux *mux
	id  uint32

	reading, writing   sync.Mutex    // one Read and one Write wait at a time
	readable, writable chan struct{} // capacity 1: look again
	readBy, writeBy    deadline
	verdict            chan struct{} // closed when decided
	takenByAgent       chan struct{} // closed when the SYN is acknowledged

	// The rest is guarded by mux.mu.
	in, out          queue
	allowed          int    // bytes of in above the limit, which came at once: no reader is so fast
	queued           bool   // in mux.ready
	synSent, finSent bool   // framed
	finDue           bool   // to be framed after what is in out
	synEnd           uint64 // where the SYN ends in what the mux has offered
	synTaken         bool   // takenByAgent is closed
	decided          bool   // verdict is closed: the agent is connected, or refusal says why not
	refusal          error
	ended            bool  // the agent has closed its end
	closed           bool  // Close was called
	err              error // what broke the connection
}

func newConn(m *mux, id uint32) *conn {
	return &conn{
		mux: m, id: id,
		readable: make(chan struct{}, 1), writable: make(chan struct{}, 1),
		readBy: newDeadline(), writeBy: newDeadline(),
		verdict: make(chan struct{}), takenByAgent: make(chan struct{}),
	}
}

// Read gives what the agent's end sent; io.EOF after the last of it.
func (c *conn) Read(b []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	for {
		passed, over := c.readBy.wait()
		if over {
			return 0, c.opError("read", os.ErrDeadlineExceeded)
		}
		if n, err := c.readNow(b); n > 0 || err != nil || len(b) == 0 {
			return n, err
		}
		select {
		case <-c.readable:
		case <-passed:
		}
	}
}

// readNow reads without waiting: 0, nil means that there is nothing yet.
func (c *conn) readNow(b []byte) (int, error) {
	c.mux.mu.Lock()
	defer c.mux.mu.Unlock()
	switch {
	case c.closed:
		return 0, c.opError("read", net.ErrClosed)
	case c.in.len() > 0:
		n := c.in.pop(b)
		c.allowed = min(c.allowed, c.in.len())
		return n, nil
	case c.err != nil:
		return 0, c.opError("read", c.err)
	case c.ended:
		return 0, io.EOF
	}
	return 0, nil
}

// Write queues b for the session; it waits while there is no room.
func (c *conn) Write(b []byte) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	for {
		passed, over := c.writeBy.wait()
		if over {
			return n, c.opError("write", os.ErrDeadlineExceeded)
		}
		k, err := c.writeNow(b[n:])
		n += k
		if err != nil || n == len(b) {
			return n, err
		}
		select {
		case <-c.writable:
		case <-passed:
		}
	}
}

// writeNow queues what there is room for.
func (c *conn) writeNow(b []byte) (int, error) {
	c.mux.mu.Lock()
	defer c.mux.mu.Unlock()
	switch {
	case c.closed:
		return 0, c.opError("write", net.ErrClosed)
	case c.err != nil:
		return 0, c.opError("write", c.err)
	case c.ended:
		return 0, c.opError("write", io.ErrClosedPipe)
	}
	k := min(len(b), max(0, outLimit-c.out.len()))
	if k > 0 {
		c.out.push(b[:k])
		c.mux.enqueue(c)
	}
	return k, nil
}

// Close closes both directions. What is written is still sent, before the
// agent is told; what the agent sends from now on is thrown away.
func (c *conn) Close() error {
	c.mux.mu.Lock()
	defer c.mux.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.closed, c.finDue = true, true
	c.in.clear()
	delete(c.mux.conns, c.id)
	c.readBy.set(time.Time{})
	c.writeBy.set(time.Time{})
	c.decide(net.ErrClosed)
	c.mux.enqueue(c)
	signal(c.readable)
	signal(c.writable)
	return nil
}

// await waits for the agent's verdict: connected, refused, or, when the SYN
// has arrived and grace has passed, no objection.
func (c *conn) await(ctx context.Context, grace time.Duration) error {
	select {
	case <-c.verdict:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.takenByAgent:
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-c.verdict:
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
	c.mux.mu.Lock()
	defer c.mux.mu.Unlock()
	return c.refusal
}

// receive takes data from the agent. mux.mu is held.
func (c *conn) receive(b []byte) {
	if !c.decided {
		c.mux.prove(c)
	}
	if c.closed || c.err != nil {
		return
	}
	c.allowed = max(c.allowed, c.mux.burst)
	if c.in.len()+len(b) > c.mux.inLimit+c.allowed {
		c.breakOff(ErrSlowReader)
		return
	}
	c.in.push(b)
	signal(c.readable)
}

// finish handles the agent's FIN: it has closed both directions. mux.mu is held.
func (c *conn) finish() {
	c.ended = true
	c.dropUnsent()
	signal(c.readable)
	signal(c.writable)
}

// refuse says that the agent could not connect. mux.mu is held.
func (c *conn) refuse() {
	c.decide(ErrPortRefused)
	c.mux.prove(c)
	c.breakOff(ErrPortRefused)
}

// breakOff ends this connection alone and tells the agent. mux.mu is held.
func (c *conn) breakOff(err error) {
	c.fail(err)
	c.finDue = true
	c.mux.enqueue(c)
}

// fail ends the connection on this side. mux.mu is held.
func (c *conn) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.dropUnsent()
	c.decide(err)
	signal(c.readable)
	signal(c.writable)
}

// dropUnsent forgets what is not yet sent, but for what the header of the
// current frame has promised. mux.mu is held.
func (c *conn) dropUnsent() {
	keep := 0
	if c.mux.cur == c {
		keep = c.mux.left
	}
	c.out.truncate(min(keep, c.out.len()))
}

// decide gives the verdict once. mux.mu is held.
func (c *conn) decide(refusal error) {
	if !c.decided {
		c.decided, c.refusal = true, refusal
		close(c.verdict)
	}
}

// taken notes that the SYN has arrived. mux.mu is held.
func (c *conn) taken() {
	if !c.synTaken {
		c.synTaken = true
		close(c.takenByAgent)
	}
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *conn) SetDeadline(t time.Time) error {
	c.readBy.set(t)
	c.writeBy.set(t)
	return nil
}

// SetReadDeadline bounds the Reads that wait and those to come.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.readBy.set(t)
	return nil
}

// SetWriteDeadline bounds the Writes that wait and those to come.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.writeBy.set(t)
	return nil
}

// LocalAddr names the session and the stream.
func (c *conn) LocalAddr() net.Addr { return addr{c.mux.session, c.id} }

// RemoteAddr names the session and the stream.
func (c *conn) RemoteAddr() net.Addr { return addr{c.mux.session, c.id} }

func (c *conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: network, Addr: c.RemoteAddr(), Err: err}
}

// network is the network of the addresses.
const network = "ssm"

// addr is the address of either end: session id and stream id.
type addr struct {
	session string
	stream  uint32
}

func (addr) Network() string  { return network }
func (a addr) String() string { return a.session + "/" + strconv.FormatUint(uint64(a.stream), 10) }

// signal leaves a hint in a channel of capacity 1.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

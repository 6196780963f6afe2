package communicator

import (
	"context"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// network is the loopback of an instance in memory: on it an instance works in
// a bubble of fake time, where real sockets would hold the clock up.
type network struct {
	mu    sync.Mutex
	ports map[string]*memoryListener // under mu
	next  int                        // under mu
}

func newNetwork() *network { return &network{ports: map[string]*memoryListener{}, next: 50000} }

// Listen takes a port, any for 0.
func (n *network) Listen(_ context.Context, port string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if port == "0" {
		n.next++
		port = strconv.Itoa(n.next)
	}
	l := &memoryListener{network: n, address: memoryAddr("127.0.0.1:" + port), offered: make(chan net.Conn), closed: make(chan struct{})}
	n.ports[string(l.address)] = l
	return l, nil
}

// Dial connects to a port.
func (n *network) Dial(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.ports[address]
	n.mu.Unlock()
	if l == nil {
		return nil, errNowhere
	}
	a, b := newHalf(), newHalf()
	select {
	case l.offered <- &memoryConn{in: a, out: b}:
		return &memoryConn{in: b, out: a}, nil
	case <-l.closed:
		return nil, errNowhere
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type memoryAddr string

// Network is net.Addr's.
func (memoryAddr) Network() string { return "memory" }

// String is net.Addr's.
func (a memoryAddr) String() string { return string(a) }

type memoryListener struct {
	network *network
	address memoryAddr
	offered chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

// Accept is net.Listener's.
func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.offered:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close is net.Listener's.
func (l *memoryListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		delete(l.network.ports, string(l.address))
	})
	return nil
}

// Addr is net.Listener's.
func (l *memoryListener) Addr() net.Addr { return l.address }

// half is one direction of a connection, without a limit to what is under way.
type half struct {
	mu     sync.Mutex
	change sync.Cond
	held   []byte // under mu
	closed bool   // under mu
}

func newHalf() *half {
	h := &half{}
	h.change.L = &h.mu
	return h
}

func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.held) == 0 && !h.closed {
		h.change.Wait()
	}
	if len(h.held) == 0 {
		return 0, io.EOF
	}
	n := copy(b, h.held)
	h.held = h.held[n:]
	return n, nil
}

func (h *half) write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return 0, net.ErrClosed
	}
	h.held = append(h.held, b...)
	h.change.Broadcast()
	return len(b), nil
}

func (h *half) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.change.Broadcast()
}

// memoryConn is a connection without deadlines.
type memoryConn struct{ in, out *half }

// Read is net.Conn's.
func (c *memoryConn) Read(b []byte) (int, error) { return c.in.read(b) }

// Write is net.Conn's.
func (c *memoryConn) Write(b []byte) (int, error) { return c.out.write(b) }

// Close is net.Conn's.
func (c *memoryConn) Close() error {
	c.in.close()
	c.out.close()
	return nil
}

// LocalAddr is net.Conn's.
func (c *memoryConn) LocalAddr() net.Addr { return memoryAddr("127.0.0.1:0") }

// RemoteAddr is net.Conn's.
func (c *memoryConn) RemoteAddr() net.Addr { return memoryAddr("127.0.0.1:0") }

// SetDeadline is net.Conn's.
func (c *memoryConn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline is net.Conn's.
func (c *memoryConn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is net.Conn's.
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }

package communicator

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// fakePort is a session to the instance's daemon.
type fakePort struct {
	address string
	dial    func(ctx context.Context, address string) (net.Conn, error)
	frozen  atomic.Bool
	*PortEnd
}

func (i *instance) openPort(ctx context.Context, number int) (port, error) {
	if err := i.online(ctx); err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	p := &fakePort{address: fmt.Sprintf("127.0.0.1:%d", number), dial: i.dial, PortEnd: NewPortEnd()}
	i.sessions[p] = true
	return p, nil
}

func (p *fakePort) Dial(ctx context.Context) (net.Conn, error) {
	conn, err := p.dial(ctx, p.address)
	if err != nil {
		return nil, errNowhere
	}
	if err := p.Keep(conn); err != nil {
		return nil, err
	}
	return &frozenConn{Conn: conn, frozen: &p.frozen, closed: make(chan struct{})}, nil
}

// PortEnd is how a simulated session ends, with the connections in it.
type PortEnd struct {
	Missing atomic.Int32 // what Gap is to tell

	done chan struct{}

	mu    sync.Mutex
	err   error
	conns []net.Conn
}

// NewPortEnd is for a session that has begun.
func NewPortEnd() *PortEnd { return &PortEnd{done: make(chan struct{})} }

// Keep ends conn with the session, or at once.
func (p *PortEnd) Keep(conn net.Conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		_ = conn.Close()
		return p.err
	}
	p.conns = append(p.conns, conn)
	return nil
}

// End ends the session by err, unless it has ended.
func (p *PortEnd) End(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return
	}
	p.err = err
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	close(p.done)
}

// Done is Port's.
func (p *PortEnd) Done() <-chan struct{} { return p.done }

// Err is Port's.
func (p *PortEnd) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Close is Port's.
func (p *PortEnd) Close() error {
	p.End(net.ErrClosed)
	return nil
}

// Reachable is Port's.
func (p *PortEnd) Reachable() bool { return true }

// Gap is Port's.
func (p *PortEnd) Gap() int { return int(p.Missing.Load()) }

// frozenConn swallows all once its session is frozen.
type frozenConn struct {
	net.Conn
	frozen *atomic.Bool
	once   sync.Once
	closed chan struct{}
}

func (c *frozenConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.frozen.Load() {
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *frozenConn) Write(b []byte) (int, error) {
	if c.frozen.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *frozenConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

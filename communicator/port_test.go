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
	done    chan struct{}

	mu    sync.Mutex
	err   error
	conns []net.Conn
}

func (i *instance) openPort(ctx context.Context, number int) (port, error) {
	if err := i.online(ctx); err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	p := &fakePort{address: fmt.Sprintf("127.0.0.1:%d", number), dial: i.dial, done: make(chan struct{})}
	i.sessions[p] = true
	return p, nil
}

func (p *fakePort) Dial(ctx context.Context) (net.Conn, error) {
	conn, err := p.dial(ctx, p.address)
	if err != nil {
		return nil, errNowhere
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		_ = conn.Close()
		return nil, p.err
	}
	p.conns = append(p.conns, conn)
	return &frozenConn{Conn: conn, frozen: &p.frozen, closed: make(chan struct{})}, nil
}

func (p *fakePort) end(err error) {
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

func (p *fakePort) Done() <-chan struct{} { return p.done }

func (p *fakePort) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *fakePort) Close() error {
	p.end(net.ErrClosed)
	return nil
}

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

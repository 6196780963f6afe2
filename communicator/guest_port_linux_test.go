package communicator_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"

	"github.com/taccoform/packer-plugin-ssm/communicator"
)

// guestPort is a session to a port of the guest.
type guestPort struct {
	g      *guest
	number int
	done   chan struct{}
	mu     sync.Mutex
	err    error
	conns  []net.Conn
}

func (g *guest) open(ctx context.Context, number int) (communicator.Port, error) {
	if err := g.online(ctx); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p := &guestPort{g: g, number: number, done: make(chan struct{})}
	g.ports[p] = true
	return p, nil
}

func (p *guestPort) Dial(ctx context.Context) (net.Conn, error) {
	conn, err := p.g.Dial(ctx, p.number)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		_ = conn.Close()
		return nil, p.err
	}
	p.conns = append(p.conns, conn)
	return &countedConn{conn, &p.g.sent}, nil
}

type countedConn struct {
	net.Conn
	sent *atomic.Int64
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.sent.Add(int64(n))
	return n, err
}

func (p *guestPort) end(err error) {
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

func (p *guestPort) Done() <-chan struct{} { return p.done }

func (p *guestPort) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *guestPort) Close() error {
	p.end(net.ErrClosed)
	return nil
}

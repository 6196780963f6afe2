package communicator_test

import (
	"context"
	"net"
	"sync/atomic"

	"github.com/taccoform/packer-plugin-ssm/communicator"
)

// guestPort is a session to a port of the guest.
type guestPort struct {
	g      *guest
	number int
	*communicator.PortEnd
}

func (g *guest) open(ctx context.Context, number int) (communicator.Port, error) {
	if err := g.online(ctx); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p := &guestPort{g: g, number: number, PortEnd: communicator.NewPortEnd()}
	g.ports[p] = true
	return p, nil
}

func (p *guestPort) Dial(ctx context.Context) (net.Conn, error) {
	conn, err := p.g.Dial(ctx, p.number)
	if err != nil {
		return nil, err
	}
	if err := p.Keep(conn); err != nil {
		return nil, err
	}
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

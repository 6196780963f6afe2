package datachannel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// errPortEnded fails a session whose connection broke; the agent has no words for the client.
var errPortEnded = endedSilently{}

// endedSilently is a failure that the client is told nothing of.
type endedSilently struct{}

func (endedSilently) Error() string { return "" }

// basicPort forwards one connection, which is open from the start. Whether the port is the SSH document's or a forwarded one
// decides what the machine's end of the connection means: the end of the session, or a new connection with the next data.
type basicPort struct {
	agent      *agent
	target     portTarget
	reconnects bool
	ended      chan struct{} // closed when the client asks for the end
	end        sync.Once
	life       context.Context //nolint:containedctx // of run, for connections made by input

	mu      sync.Mutex
	conn    net.Conn
	broken  bool
	mended  chan error // answers the pump of a broken connection
	stopped bool
}

func newBasicPort(a *agent, target portTarget, reconnects bool) *basicPort {
	return &basicPort{
		agent: a, target: target, reconnects: reconnects, ended: make(chan struct{}), mended: make(chan error, 1), life: a.life,
	}
}

func (p *basicPort) open(ctx context.Context) error {
	conn, err := p.target.dial(ctx)
	if err != nil {
		return fmt.Errorf("Unable to connect to specified port: %w", err) //nolint:staticcheck // the agent's words
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn = conn
	if p.stopped {
		_ = conn.Close()
	}
	return nil
}

func (p *basicPort) input(m message) error {
	switch m.payloadType {
	case payloadOutput:
		return p.write(m.payload)
	case payloadFlag:
		switch flagOf(m) {
		case flagDisconnectToPort:
			_ = p.connection().Close()
		case flagTerminateSession:
			p.end.Do(func() { close(p.ended) })
		}
	}
	return nil
}

// write gives data to the connection, a new one if the last has broken.
func (p *basicPort) write(data []byte) error {
	p.mu.Lock()
	broken := p.broken
	p.broken = false
	p.mu.Unlock()
	if broken {
		err := p.open(p.life)
		p.mended <- err
		if err != nil {
			return err
		}
	}
	_, err := p.connection().Write(data)
	return err
}

func (p *basicPort) connection() net.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn
}

func (p *basicPort) run(ctx context.Context) error {
	finished := make(chan error, 1)
	var pump sync.WaitGroup
	pump.Go(func() { finished <- p.pump(ctx) })
	defer pump.Wait()
	defer p.stop()
	select {
	case err := <-finished:
		return err
	case <-p.ended:
	case <-ctx.Done():
	}
	return nil
}

func (p *basicPort) stop() {
	p.end.Do(func() { close(p.ended) })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	if p.conn != nil {
		_ = p.conn.Close()
	}
}

func (p *basicPort) pump(ctx context.Context) error {
	breathe, end := p.agent.pace()
	defer end()
	for p.agent.active() {
		packet := make([]byte, chunk)
		n, err := p.connection().Read(packet)
		if err != nil {
			if again, err := p.afterReadError(ctx, err); !again {
				return err
			}
			continue
		}
		p.agent.send(payloadOutput, packet[:n])
		if !breathe() {
			break
		}
	}
	return nil
}

// afterReadError waits for the client's next data if that makes a new connection. Nothing tells the client that the old one ended.
func (p *basicPort) afterReadError(ctx context.Context, err error) (again bool, _ error) {
	if !p.reconnects {
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		return false, errPortEnded
	}
	_ = p.connection().Close()
	p.mu.Lock()
	p.broken = true
	p.mu.Unlock()
	select {
	case err := <-p.mended:
		if err != nil {
			return false, errPortEnded
		}
		return true, nil
	case <-p.ended:
	case <-ctx.Done():
	}
	return false, nil
}

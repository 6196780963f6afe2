package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taccoform/packer-plugin-ssm/session/internal/agentmsg"
)

// dialGrace is how long after the agent has taken a new stream it may still
// say that nothing listens on the port.
const dialGrace = 50 * time.Millisecond

// Port is an open port session: one data channel to the agent, over which any
// number of TCP connections to the session's port on the instance run side by
// side. It heals lost websockets by itself. Its methods may be called from any
// goroutine.
type Port struct {
	id     string
	svc    Service
	opts   Options
	dial   dialer
	stream *stream
	mux    *mux
	url    string        // of the websocket; owned by run
	reply  reply         // owned by stream's read
	pulse  time.Duration // of keepAlive; written before ready is closed
	stop   context.CancelCauseFunc

	refusals int                  // of the websocket, in a row; owned by run
	life     atomic.Pointer[life] // of the open websocket, nil while there is none

	terminate func() error // calls Service.Terminate with a deadline of its own

	ready chan struct{} // closed when the handshake is complete
	done  chan struct{} // closed when run is over
	err   error         // why; written before done is closed

	closing  atomic.Bool   // Close was called
	shutDone chan struct{} // closed when it is through
	closeErr error         // written before shutDone is closed

	mu   sync.Mutex
	seen string // the last thing that happened, for a timeout's error
}

// OpenPort starts a session and returns it when it is ready for Dial. The
// session outlives ctx, which bounds the opening only. If it cannot be opened
// after it was started, it is terminated.
func OpenPort(ctx context.Context, svc Service, opts Options) (*Port, error) {
	return openPort(ctx, svc, opts, nil)
}

// openPort is OpenPort over any dialer; nil stands for real websockets.
func openPort(ctx context.Context, svc Service, opts Options, dial dialer) (*Port, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if svc.Start == nil || svc.Resume == nil {
		return nil, errors.New("session: Service.Start and Service.Resume are required")
	}
	grant, err := svc.Start(ctx)
	if err != nil {
		return nil, fmt.Errorf("start session: %w", err)
	}
	if grant.SessionID == "" {
		return nil, errors.New("start session: the answer has no session id")
	}
	if dial == nil {
		dial = newOpener(&svc, &opts).dial
	}
	p := newPort(grant, svc, opts, dial)
	life, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	p.stop = stop
	p.terminate = func() error { return terminate(context.WithoutCancel(ctx), &svc, p.id) }
	go p.live(life, grant)
	if err := p.await(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	opts.Logger.Debug("session ready", "session", p.id)
	return p, nil
}

func newPort(grant Grant, svc Service, opts Options, dial dialer) *Port {
	p := &Port{
		id: grant.SessionID, url: grant.StreamURL, svc: svc, opts: opts, dial: dial, stream: newStream(&opts),
		ready: make(chan struct{}), done: make(chan struct{}), shutDone: make(chan struct{}), seen: "nothing",
	}
	p.mux = newMux(p.id, opts.StreamBuffer, p.stream.poke)
	p.stream.src, p.stream.sink = p.mux, p.handle
	return p
}

// live is the session's life: run, and what follows from its end.
func (p *Port) live(ctx context.Context, grant Grant) {
	defer close(p.done)
	defer p.stop(nil)
	p.err = p.mux.fail(p.run(ctx, grant))
	p.opts.Logger.Debug("session over", "session", p.id, "reason", p.err)
}

// await waits until the session is ready, or says why it is not.
func (p *Port) await(ctx context.Context) error {
	timer := time.NewTimer(p.opts.HandshakeTimeout)
	defer timer.Stop()
	select {
	case <-p.ready:
		return nil
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("session %s: %w before the handshake; last: %s", p.id, context.Cause(ctx), p.lastSeen())
	case <-timer.C:
		return fmt.Errorf("session %s: no handshake within %v; last: %s", p.id, p.opts.HandshakeTimeout, p.lastSeen())
	}
}

// handle takes the agent's messages in order. It must not block.
func (p *Port) handle(m *agentmsg.Message, waited bool) error {
	switch m.PayloadType {
	case agentmsg.Output:
		return p.data(m.Payload, waited)
	case agentmsg.HandshakeRequest:
		return p.handshake(m.Payload)
	case agentmsg.HandshakeComplete:
		return p.complete(m.Payload)
	case agentmsg.Flag:
		if f, err := agentmsg.DecodeFlag(m.Payload); err == nil && f == agentmsg.ConnectToPortError {
			p.mux.refused()
		}
	case agentmsg.Error:
		p.opts.Logger.Warn("agent reports an error", "session", p.id, "text", string(m.Payload))
	default:
		p.opts.Logger.Debug("payload ignored", "session", p.id, "type", m.PayloadType)
	}
	return nil
}

// data hands bytes of the multiplexed stream on.
func (p *Port) data(b []byte, waited bool) error {
	if !isClosed(p.ready) {
		return p.ended(ReasonProtocol, errors.New("agent sends data without a handshake; is the document one for port forwarding?"))
	}
	if err := p.mux.feed(b, waited); err != nil {
		return p.ended(ReasonProtocol, err)
	}
	return nil
}

// handshake answers the agent's request.
func (p *Port) handshake(payload []byte) error {
	r, err := respond(payload, p.opts.ClientVersion)
	if err != nil {
		return p.ended(ReasonProtocol, err)
	}
	if r.useless != nil {
		return p.ended(ReasonUnusable, r.useless)
	}
	p.reply = r
	p.see("handshake request answered")
	if r.refusal != nil {
		p.see("handshake refused: " + r.refusal.Error())
	}
	p.stream.order(agentmsg.HandshakeResponse, r.payload)
	return nil
}

// complete opens the session for data.
func (p *Port) complete(payload []byte) error {
	if c, err := agentmsg.DecodeComplete(payload); err == nil && c.CustomerMessage != "" {
		p.opts.Logger.Info("message from the service", "session", p.id, "text", c.CustomerMessage)
	}
	if isClosed(p.ready) {
		return nil
	}
	p.stream.with(func(q *sender) { q.open(time.Now(), p.reply.agent) })
	p.pulse = p.reply.agent.pulse(p.opts.KeepAlive)
	close(p.ready)
	return nil
}

// Dial opens a TCP connection to the session's port on the instance. It
// returns when the first byte has come from there, or when the agent has
// taken the request and had a moment (50 ms) to object: an open port is never
// confirmed by itself. If nothing listens there the error wraps
// ErrPortRefused; the session is as good as before. A refusal that comes later
// is the error of the connection's Read.
//
// A connection has no half-close: Close ends both directions, and so does the
// other end's. What was written before Close is still delivered.
func (p *Port) Dial(ctx context.Context) (net.Conn, error) {
	c, err := p.open()
	if err != nil {
		return nil, err
	}
	if err := c.await(ctx, dialGrace); err != nil {
		_ = c.Close()
		return nil, &net.OpError{Op: "dial", Net: network, Addr: c.RemoteAddr(), Err: err}
	}
	return c, nil
}

// DialEarly is Dial without the wait: it saves a round trip when this end
// speaks first, or as soon as the other does, as in SSH. If nothing listens on
// the port, the first Read says so.
func (p *Port) DialEarly(ctx context.Context) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := p.open()
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (p *Port) open() (*conn, error) {
	c, err := p.mux.open()
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: addr{p.id, 0}, Err: err}
	}
	return c, nil
}

// ID is the session's id, as the service knows it.
func (p *Port) ID() string { return p.id }

// Done is closed when the session has ended for good, by Close or otherwise.
func (p *Port) Done() <-chan struct{} { return p.done }

// Err is nil while the session lives. Afterwards it is ErrClosed, or an
// *EndedError that says why the session ended.
func (p *Port) Err() error {
	if !isClosed(p.done) {
		return nil
	}
	return p.err
}

func (p *Port) see(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = what
}

func (p *Port) lastSeen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

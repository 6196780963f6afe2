package datachannel

import (
	"context"
	"io"
	"net"
	"sync"

	"github.com/xtaci/smux"
)

// muxPort forwards any number of connections: the client's data is a smux stream of streams, and each of them is a connection.
type muxPort struct {
	agent         *agent
	target        portTarget
	clientVersion string

	wire  *socket // the agent's end
	far   *socket // the smux server's
	mux   *smux.Session
	ended chan struct{} // closed when the client asks for the end
	end   sync.Once
	tasks sync.WaitGroup
}

func newMuxPort(a *agent, target portTarget, clientVersion string) *muxPort {
	p := &muxPort{agent: a, target: target, clientVersion: clientVersion, ended: make(chan struct{})}
	p.wire, p.far = socketPair()
	return p
}

// open starts the smux server with the library's defaults. Its keepalive is for clients that have one.
func (p *muxPort) open(context.Context) error {
	config := smux.DefaultConfig()
	config.KeepAliveDisabled = compareVersions(p.clientVersion, "1.2.331.0") > 0 && !p.agent.habits.nervous
	mux, err := smux.Server(p.far, config)
	p.mux = mux
	return err
}

func (p *muxPort) input(m message) error {
	switch m.payloadType {
	case payloadOutput:
		_, err := p.wire.Write(m.payload)
		return err
	case payloadFlag:
		if flagOf(m) == flagTerminateSession {
			p.end.Do(func() { close(p.ended) })
		}
	}
	return nil
}

func (p *muxPort) run(ctx context.Context) error {
	failed := make(chan error, 2)
	p.tasks.Go(func() { failed <- p.pump() })
	p.tasks.Go(func() { failed <- p.accept(ctx) })
	defer p.tasks.Wait()
	defer p.stop()
	select {
	case err := <-failed:
		return err
	case <-p.ended:
	case <-ctx.Done():
	}
	return nil
}

func (p *muxPort) stop() {
	_ = firstError(p.wire.Close(), p.far.Close(), p.mux.Close()) // closing twice is no harm
}

// pump carries what the smux server says to the client.
func (p *muxPort) pump() error {
	breathe, end := p.agent.pace()
	defer end()
	for p.agent.active() {
		packet := make([]byte, chunk)
		n, err := p.wire.Read(packet)
		if err != nil {
			return errPortEnded
		}
		p.agent.send(payloadOutput, packet[:n])
		if !breathe() {
			break
		}
	}
	return nil
}

// accept dials a connection for each stream, one after the other: a slow dial holds up the streams that come after.
func (p *muxPort) accept(ctx context.Context) error {
	for {
		stream, err := p.mux.AcceptStream()
		if err != nil {
			return errPortEnded
		}
		conn, err := p.target.dial(ctx)
		if err != nil {
			p.agent.session.log.Debug("port does not answer", "error", err)
			p.agent.sendFlag(flagConnectToPortError)
			_ = stream.Close()
			continue
		}
		p.tasks.Go(func() { join(ctx, stream, conn) })
	}
}

// join copies both ways and closes both ends entirely as soon as either has ended: there is no half-close.
func join(ctx context.Context, stream io.ReadWriteCloser, conn net.Conn) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(stream, conn)
		_ = stream.Close()
	})
	both.Go(func() {
		_, _ = io.Copy(conn, stream)
		_ = conn.Close()
	})
	both.Wait()
}

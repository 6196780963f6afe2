package session

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/xtaci/smux"
	"golang.org/x/net/nettest"
)

// TestConn runs the standard library's tests of a net.Conn on a connection
// through a session to a real TCP connection, over the double of the agent
// and a smux server that is not ours.
//
// All of them pass. What cannot pass is not among them: there is no
// CloseWrite, because the agent closes the TCP connection when either
// direction ends, so data that the other end sends after our Close is lost;
// and an abort (RST) at the far end looks like an orderly end.
func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		near, far, stop := pair(t)
		return near, far, stop, nil
	})
}

// pair connects both ends through a session.
func pair(t *testing.T) (near, far net.Conn, stop func()) {
	t.Helper()
	w := newWorld(t, nil)
	w.setFaults(faults{})
	w.agent.rest = 100 * time.Microsecond
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := serveSmux(w.agent, listener.Addr().String())
	p := w.open(Options{Rate: 20_000})
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	near = dialPort(t, p)
	far = <-accepted
	var once sync.Once
	return near, far, func() {
		once.Do(func() {
			_ = near.Close()
			_ = far.Close()
			_ = listener.Close()
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			w.end()
			done()
		})
	}
}

// serveSmux does what the agent does with its smux library: it dials for each
// stream, and closes both ends fully when either direction ends.
func serveSmux(a *agent, to string) (wait func()) {
	config := smux.DefaultConfig()
	config.KeepAliveDisabled = true
	session, err := smux.Server(newAgentConn(a), config)
	if err != nil {
		panic(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			stream, err := session.AcceptStream()
			if err != nil {
				return
			}
			conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", to)
			if err != nil {
				_ = stream.Close()
				continue
			}
			running.Go(func() { join(stream, conn) })
		}
	})
	return func() {
		_ = session.Close()
		running.Wait()
	}
}

func join(a, b io.ReadWriteCloser) {
	var both sync.WaitGroup
	both.Go(func() { move(a, b) })
	both.Go(func() { move(b, a) })
	both.Wait()
}

func move(to, from io.ReadWriteCloser) {
	_, _ = io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from})
	_ = to.Close()
	_ = from.Close()
}

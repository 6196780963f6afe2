package session

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taccoform/packer-plugin-ssm/session/internal/agentmsg"
)

// inWorld runs f with an open port in fake time, and closes everything.
func inWorld(t *testing.T, serve func(*target), f func(t *testing.T, w *world, p *Port)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, serve)
		defer w.end()
		p := w.open(Options{})
		f(t, w, p)
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

func (s *server) setRefuse(yes bool) {
	s.agent.mu.Lock()
	defer s.agent.mu.Unlock()
	s.refuse = yes
}

func TestDialRefusedThenOpen(t *testing.T) {
	inWorld(t, echo, func(t *testing.T, w *world, p *Port) {
		w.server.setRefuse(true)
		for range 3 {
			c, err := p.Dial(t.Context())
			var op *net.OpError
			if !errors.Is(err, ErrPortRefused) || !errors.As(err, &op) {
				t.Fatalf("got %v, %v", c, err)
			}
		}
		w.server.setRefuse(false)
		c := dialPort(t, p)
		exchange(t, c, 3000)
	})
}

func TestDialRefusedLeavesQuietConnectionsAlone(t *testing.T) {
	inWorld(t, echo, func(t *testing.T, w *world, p *Port) {
		quiet := []net.Conn{dialPort(t, p), dialPort(t, p)} // nothing has come back on these
		w.server.setRefuse(true)
		if _, err := p.Dial(t.Context()); !errors.Is(err, ErrPortRefused) {
			t.Errorf("got %v", err)
		}
		for _, c := range quiet {
			exchange(t, c, 3000)
		}
	})
}

// TestDialRefusedFINFirst has the agent's FIN overtake its flag.
func TestDialRefusedFINFirst(t *testing.T) {
	inWorld(t, func(tg *target) {
		tg.server.agent.mu.Lock()
		defer tg.server.agent.mu.Unlock()
		tg.server.agent.put(header(1, tg.id, 0))
		tg.server.agent.working.Go(func() {
			time.Sleep(5 * time.Millisecond)
			tg.server.agent.mu.Lock()
			defer tg.server.agent.mu.Unlock()
			tg.server.agent.send(agentmsg.Flag, agentmsg.ConnectToPortError.Encode())
		})
	}, func(t *testing.T, _ *world, p *Port) {
		c, err := p.DialEarly(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second / 2)
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrPortRefused) {
			t.Errorf("got %v", err)
		}
	})
}

func TestDialEarly(t *testing.T) {
	inWorld(t, echo, func(t *testing.T, w *world, p *Port) {
		start := time.Now()
		c, err := p.DialEarly(t.Context())
		if err != nil || time.Since(start) > 0 {
			t.Fatalf("%v after %v", err, time.Since(start))
		}
		exchange(t, c, 10)
		if took := time.Since(start); took > 46*time.Millisecond {
			t.Errorf("first exchange took %v at a round trip of 40ms", took)
		}
		w.server.setRefuse(true)
		c, err = p.DialEarly(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrPortRefused) {
			t.Errorf("got %v", err)
		}
	})
}

// TestDialServerFirst checks that Dial does not wait longer than the first
// byte when the other end speaks first.
func TestDialServerFirst(t *testing.T) {
	inWorld(t, func(tg *target) {
		_, _ = tg.Write([]byte("SSH-2.0-x\r\n"))
		echo(tg)
	}, func(t *testing.T, _ *world, p *Port) {
		start := time.Now()
		c := dialPort(t, p)
		if took := time.Since(start); took > 46*time.Millisecond {
			t.Errorf("dial took %v at a round trip of 40ms", took)
		}
		if _, err := io.ReadFull(c, make([]byte, 11)); err != nil {
			t.Error(err)
		}
	})
}

func TestDialCancelled(t *testing.T) {
	inWorld(t, echo, func(t *testing.T, _ *world, p *Port) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := p.Dial(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		exchange(t, dialPort(t, p), 100)
	})
}

// TestServerCloses checks the order at the end: all data, then EOF.
func TestServerCloses(t *testing.T) {
	inWorld(t, func(tg *target) { _, _ = tg.Write(noise(100_000)) }, func(t *testing.T, _ *world, p *Port) {
		c := dialPort(t, p)
		b, err := io.ReadAll(c)
		if err != nil || len(b) != 100_000 {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("write after the end: %v", err)
		}
	})
}

// TestCloseDelivers checks that what was written before Close arrives, even if
// the session is closed at once.
func TestCloseDelivers(t *testing.T) {
	got := make(chan int, 1)
	inWorld(t, func(tg *target) {
		b, _ := io.ReadAll(tg)
		got <- len(b)
	}, func(t *testing.T, _ *world, p *Port) {
		c := dialPort(t, p)
		if _, err := c.Write(noise(60_000)); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if n := <-got; n != 60_000 {
			t.Errorf("%d bytes arrived, want 60000", n)
		}
	})
}

// TestCloseBreaksOff checks what Close does to everything that waits.
func TestCloseBreaksOff(t *testing.T) {
	inWorld(t, func(tg *target) { _, _ = io.Copy(io.Discard, tg) }, func(t *testing.T, _ *world, p *Port) {
		c := dialPort(t, p)
		results := make(chan error, 4)
		go func() { _, err := c.Read(make([]byte, 1)); results <- err }()
		go func() { _, err := c.Write(make([]byte, 10<<20)); results <- err }()
		time.Sleep(100 * time.Millisecond)
		go func() { results <- p.Close() }()
		go func() { results <- p.Close() }()
		closed, broken := 0, 0
		for range 4 {
			switch err := <-results; {
			case err == nil:
				closed++
			case errors.Is(err, ErrClosed):
				broken++
			default:
				t.Error(err)
			}
		}
		if closed != 2 || broken != 2 {
			t.Errorf("closed %d, broken %d", closed, broken)
		}
		if !errors.Is(p.Err(), ErrClosed) {
			t.Errorf("session's error is %v", p.Err())
		}
		if _, err := p.Dial(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("dial: %v", err)
		}
	})
}

// TestSlowReader checks that a reader that does nothing costs its own
// connection, and only that.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(tg *target) {
			if tg.id == 3 {
				_, _ = tg.Write(make([]byte, 300_000))
			}
			echo(tg)
		})
		defer w.end()
		p := w.open(Options{StreamBuffer: 100_000})
		slow := dialPort(t, p)
		time.Sleep(time.Second)
		exchange(t, dialPort(t, p), 50_000)
		n, err := io.Copy(io.Discard, slow)
		if !errors.Is(err, ErrSlowReader) || n == 0 || n > 100_000 {
			t.Errorf("read %d bytes, %v", n, err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestFairness checks that a connection with little to say does not wait
// behind one with much.
func TestFairness(t *testing.T) {
	inWorld(t, echo, func(t *testing.T, _ *world, p *Port) {
		bulk := dialPort(t, p)
		go func() { _, _ = bulk.Write(make([]byte, 4<<20)) }()
		go func() { _, _ = io.Copy(io.Discard, bulk) }()
		small := dialPort(t, p)
		time.Sleep(2 * time.Second)
		for range 20 {
			start := time.Now()
			if _, err := small.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := small.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			// The double's way back is as slow as the agent's: what the bulk
			// connection echoes is ahead, up to 64 KiB at 1 KiB a millisecond.
			if took := time.Since(start); took > 200*time.Millisecond {
				t.Errorf("one byte there and back took %v", took)
			}
		}
	})
}

// TestKeepAlive checks that an idle session sends something more often than
// the shortest idle timeout of a minute, and nothing when told so.
func TestKeepAlive(t *testing.T) {
	for _, row := range []struct {
		every    time.Duration
		min, max int
	}{{0, 10, 22}, {-1, 0, 0}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, echo)
			defer w.end()
			p := w.open(Options{KeepAlive: row.every})
			before := w.agent.count()
			time.Sleep(10 * time.Minute)
			if n := w.agent.count() - before; n < row.min || n > row.max {
				t.Errorf("%d messages in 10 idle minutes, want %d to %d", n, row.min, row.max)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func (a *agent) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.data
}

func TestDeadlines(t *testing.T) {
	inWorld(t, func(tg *target) { _, _ = io.Copy(io.Discard, tg) }, func(t *testing.T, _ *world, p *Port) {
		c := dialPort(t, p)
		start := time.Now()
		if err := c.SetDeadline(start.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		_, err := c.Read(make([]byte, 1))
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("read: %v after %v", err, time.Since(start))
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %v", err)
		}
		if err := c.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("x")); err != nil {
			t.Errorf("write: %v", err)
		}
	})
}

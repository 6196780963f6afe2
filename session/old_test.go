package session

import (
	"bytes"
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taccoform/packer-plugin-ssm/session/internal/agentmsg"
)

// cutAgain cuts the websocket ten times.
func cutAgain(w *world) {
	for range 10 {
		time.Sleep(150 * time.Millisecond)
		w.cut()
	}
}

// loseAcks loses every n-th acknowledgement on its way to the client.
func loseAcks(n int) func(*world) {
	return func(w *world) {
		count := 0
		w.down.drop = func(b []byte) bool {
			if bytes.HasPrefix(b[4:], []byte("acknowledge")) {
				count++
			}
			return bytes.HasPrefix(b[4:], []byte("acknowledge")) && count%n == 0
		}
	}
}

// TestOldAgents is the survival table for agents that are not as they are now.
func TestOldAgents(t *testing.T) {
	table := []struct {
		name, version string
		setup         func(*world)
		fault         func(*world)
	}{
		{name: "3.1.1188 acknowledges once only, websocket cut ten times", version: "3.1.1188.0", fault: cutAgain},
		{name: "3.1.1188 acknowledges once only, acknowledgements lost", version: "3.1.1188.0", setup: loseAcks(7)},
		{name: "so does one that is not known for it, websocket cut ten times", version: "3.2.582.0", fault: cutAgain},
		{name: "so does one that is not known for it, acknowledgements lost", version: "3.2.582.0", setup: loseAcks(40)},
		{name: "3.1.1188, acknowledgement of the handshake lost", version: "3.1.1188.0", setup: func(w *world) {
			first := true
			w.down.drop = func(b []byte) bool {
				lost := first && bytes.HasPrefix(b[4:], []byte("acknowledge"))
				first = first && !lost
				return lost
			}
		}},
		{name: "3.0.529 loses data that comes in the first second", version: "3.0.529.0", setup: func(w *world) { w.agent.lag = time.Second }},
		{name: "a new one loses data that comes in the first moment", version: "3.3.987.0", setup: func(w *world) {
			w.setFaults(faults{})
			w.agent.lag, w.agent.ackLate = 15*time.Millisecond, true
		}},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, echo)
				defer w.end()
				w.agent.version, w.agent.taciturn = row.version, true
				if row.setup != nil {
					row.setup(w)
				}
				p := w.open(Options{})
				c := dialPort(t, p)
				if row.fault != nil {
					w.running.Go(func() { row.fault(w) })
				}
				start := time.Now()
				exchange(t, c, 512<<10)
				exchange(t, dialPort(t, p), 1000)
				if took := time.Since(start); took > 30*time.Second {
					t.Errorf("took %v", took)
				}
				if err := p.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
		})
	}
}

// TestLastAcknowledgementLost loses the one that a Dial waits for, of an agent
// that gives it once only, when nothing else is on the way.
func TestLastAcknowledgementLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, echo)
		defer w.end()
		w.agent.taciturn, w.agent.version = true, "3.1.1188.0"
		p := w.open(Options{})
		exchange(t, dialPort(t, p), 1000)
		lost := false
		w.mu.Lock()
		w.down.drop = func(b []byte) bool {
			yes := !lost && bytes.HasPrefix(b[4:], []byte("acknowledge"))
			lost = lost || yes
			return yes
		}
		w.mu.Unlock()
		start := time.Now()
		dialPort(t, p)
		if took := time.Since(start); !lost || took > 5*time.Second {
			t.Errorf("dial took %v; lost one: %v", took, lost)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestNervousAgent checks that an agent which may end a silent session after
// 30 s hears something every 10 s, whatever the caller wants.
func TestNervousAgent(t *testing.T) {
	for _, every := range []time.Duration{-1, 0, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, echo)
			defer w.end()
			w.agent.version = "3.0.1124.0"
			p := w.open(Options{KeepAlive: every})
			time.Sleep(10 * time.Minute)
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			for i, at := range w.agent.arrivals[1:] {
				if gap := at.Sub(w.agent.arrivals[i]); gap > nervousPulse+time.Second {
					t.Fatalf("keep alive %v: %v without a message", every, gap)
				}
			}
		})
	}
}

// TestResumeHangs has a Resume that answers only when it is told to stop.
func TestResumeHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, echo)
		defer w.end()
		svc, hang := w.service(), true
		resume := svc.Resume
		svc.Resume = func(ctx context.Context, id string) (Grant, error) {
			if hang {
				hang = false
				<-ctx.Done()
				return Grant{}, ctx.Err()
			}
			return resume(ctx, id)
		}
		p, err := openPort(t.Context(), svc, Options{}, w.dial)
		if err != nil {
			t.Fatal(err)
		}
		c := dialPort(t, p)
		exchange(t, c, 1000)
		w.cut()
		start := time.Now()
		exchange(t, c, 1000)
		if took := time.Since(start); took > retryLimit+retryMax {
			t.Errorf("took %v", took)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestShortConnections has a service that closes each websocket a moment after
// it was opened: data still gets through, and the API is not run over.
func TestShortConnections(t *testing.T) {
	inWorld(t, echo, func(t *testing.T, w *world, p *Port) {
		c := dialPort(t, p)
		stop := make(chan struct{})
		w.running.Go(func() {
			for !isClosed(stop) {
				time.Sleep(60 * time.Millisecond)
				w.cut()
			}
		})
		start := time.Now()
		exchange(t, c, 20_000)
		close(stop)
		took := time.Since(start)
		if n := w.countResumes(); float64(n) > 10*took.Seconds()+2 {
			t.Errorf("%d resumes in %v", n, took)
		}
	})
}

// TestRepeatsLeaveRoom checks that data need not wait for the acknowledgements
// that are repeated after a websocket was lost.
func TestRepeatsLeaveRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := make(chan struct{})
		w := newWorld(t, func(tg *target) {
			if tg.id == 3 {
				_, _ = tg.Write(noise(3 << 20))
				close(sent)
			}
			echo(tg)
		})
		defer w.end()
		p := w.open(Options{})
		bulk, small := dialPort(t, p), dialPort(t, p)
		go func() { _, _ = io.Copy(io.Discard, bulk) }()
		<-sent
		time.Sleep(200 * time.Millisecond)
		w.cut()
		start := time.Now()
		exchange(t, small, 10)
		if took := time.Since(start); took > 500*time.Millisecond {
			t.Errorf("ten bytes there and back took %v", took)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestStartAfterStart has start_publication come again and again without a
// pause before it: no reason to repeat acknowledgements.
func TestStartAfterStart(t *testing.T) {
	inWorld(t, func(tg *target) { _, _ = tg.Write(noise(500 << 10)) }, func(t *testing.T, w *world, p *Port) {
		c := dialPort(t, p)
		count := 0
		w.mu.Lock()
		w.up.drop = func(b []byte) bool {
			if bytes.HasPrefix(b[4:], []byte(agentmsg.TypeAcknowledge)) {
				count++
			}
			return false
		}
		w.mu.Unlock()
		for range 20 {
			time.Sleep(50 * time.Millisecond)
			w.say(agentmsg.TypeStartPublication, "x")
		}
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if synctest.Wait(); count > 700 {
			t.Errorf("%d acknowledgements of some 500 messages", count)
		}
	})
}

// TestDialOrder checks that connections are opened in the order of their Dials.
func TestDialOrder(t *testing.T) {
	m := newMux("s", 1<<20, func() {})
	for range 3 {
		if _, err := m.open(); err != nil {
			t.Fatal(err)
		}
	}
	b := make([]byte, 100)
	n, _ := m.fill(b)
	if want := bytes.Join([][]byte{header(0, 3, 0), header(0, 5, 0), header(0, 7, 0)}, nil); !bytes.Equal(b[:n], want) {
		t.Errorf("framed %x, want %x", b[:n], want)
	}
}

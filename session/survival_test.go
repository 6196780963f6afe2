package session

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taccoform/packer-plugin-ssm/session/internal/agentmsg"
)

// noise gives n bytes that look random and are the same each time.
func noise(n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(b)
	return b
}

// exchange echoes n bytes through c and fails the test unless all come back.
func exchange(t *testing.T, c io.ReadWriteCloser, n int) {
	t.Helper()
	sent := noise(n)
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write(sent)
		wrote <- err
	}()
	got := make([]byte, n)
	k, err := io.ReadFull(c, got)
	if err != nil {
		t.Errorf("read %d of %d bytes: %v", k, n, err)
	}
	if err := <-wrote; err != nil {
		t.Errorf("write: %v", err)
	}
	if sha256.Sum256(sent) != sha256.Sum256(got) {
		t.Errorf("%d bytes came back different", n)
	}
}

// TestSurvival is the table of what a session survives in mid-transfer with
// every byte right. Time is fake.
func TestSurvival(t *testing.T) {
	const size = 512 << 10
	table := []struct {
		name  string
		setup func(*world)
		fault func(*world) // runs beside the transfer
		size  int
	}{
		{name: "nothing"},
		{name: "loss of 5% both ways", setup: func(w *world) { w.setFaults(faults{delay: 20 * time.Millisecond, lose: 0.05}) }, size: 128 << 10},
		{name: "duplication of 5%", setup: func(w *world) { w.setFaults(faults{delay: 20 * time.Millisecond, duplicate: 0.05}) }},
		{name: "reordering of 5%", setup: func(w *world) { w.setFaults(faults{delay: 20 * time.Millisecond, reorder: 0.05}) }},
		{name: "loss, duplication and reordering of 5% each", setup: func(w *world) {
			w.setFaults(faults{delay: 20 * time.Millisecond, lose: 0.05, duplicate: 0.05, reorder: 0.05})
		}, size: 128 << 10},
		{name: "round trip of 150 ms", setup: func(w *world) { w.setFaults(faults{delay: 75 * time.Millisecond}) }},
		{name: "every second acknowledgement lost", setup: func(w *world) {
			odd := false
			w.down.drop = func(b []byte) bool {
				if bytes.HasPrefix(b[4:], []byte("acknowledge")) {
					odd = !odd
					return odd
				}
				return false
			}
		}},
		{name: "agent not ready for two seconds", setup: func(w *world) { w.agent.notReady = 20 }},
		{name: "response acknowledged late", setup: func(w *world) { w.agent.ackLate = true }},
		{name: "websocket cut once", fault: func(w *world) { time.Sleep(300 * time.Millisecond); w.cut() }},
		{name: "websocket cut ten times", fault: func(w *world) {
			for range 10 {
				time.Sleep(150 * time.Millisecond)
				w.cut()
			}
		}},
		{name: "websocket goes silent", fault: func(w *world) {
			time.Sleep(200 * time.Millisecond)
			lost := func([]byte) bool { return true }
			w.mu.Lock()
			w.deaf, w.up.drop, w.down.drop = true, lost, lost
			w.mu.Unlock()
			time.Sleep(40 * time.Second)
			w.mu.Lock()
			w.deaf, w.up.drop, w.down.drop = false, nil, nil
			w.mu.Unlock()
		}, size: 300 << 10},
		{name: "publication paused for seconds", fault: func(w *world) {
			time.Sleep(200 * time.Millisecond)
			w.say(agentmsg.TypePausePublication, "x")
			time.Sleep(4 * time.Second)
			w.say(agentmsg.TypeStartPublication, "x")
		}},
		{name: "publication paused and never started", fault: func(w *world) {
			time.Sleep(200 * time.Millisecond)
			w.say(agentmsg.TypePausePublication, "x")
		}},
		{name: "agent frozen for a minute", fault: func(w *world) {
			time.Sleep(200 * time.Millisecond)
			w.agent.freeze(true)
			time.Sleep(time.Minute)
			w.agent.freeze(false)
		}, size: 300 << 10},
		{name: "resume throttled for a minute", fault: func(w *world) {
			time.Sleep(200 * time.Millisecond)
			w.mu.Lock()
			w.resumeErr = errors.New("ThrottlingException")
			w.mu.Unlock()
			w.cut()
			time.Sleep(time.Minute)
			w.mu.Lock()
			w.resumeErr = nil
			w.mu.Unlock()
		}, size: 300 << 10},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, echo)
				defer w.end()
				if row.setup != nil {
					row.setup(w)
				}
				p := w.open(Options{})
				c := dialPort(t, p)
				if row.fault != nil {
					w.running.Go(func() { row.fault(w) })
				}
				start := time.Now()
				n := row.size
				if n == 0 {
					n = size
				}
				exchange(t, c, n)
				t.Logf("%d bytes there and back in %v; %d websockets", n, time.Since(start).Round(time.Millisecond), w.dials)
				if err := p.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
				if w.terminates != 1 {
					t.Errorf("terminated %d times, want once", w.terminates)
				}
			})
		})
	}
}

// freeze stops and continues the agent as a signal would.
func (a *agent) freeze(yes bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.frozen = yes
}

// TestHourlyClose keeps a session for ten hours, in which the service closes
// its websocket every hour.
func TestHourlyClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, echo)
		defer w.end()
		p := w.open(Options{})
		c := dialPort(t, p)
		for hour := range 10 {
			exchange(t, c, 10_000)
			time.Sleep(time.Hour)
			synctest.Wait()
			if n := w.countResumes(); n != hour {
				t.Errorf("hour %d: %d resumes, want %d", hour, n, hour)
			}
			w.cut()
		}
		exchange(t, c, 10_000)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if w.dials != 11 {
			t.Errorf("%d websockets, want 11", w.dials)
		}
	})
}

// TestEnds is the table of what a session does not survive, and the error it
// ends with.
func TestEnds(t *testing.T) {
	table := []struct {
		name   string
		fault  func(*world)
		reason Reason
		within time.Duration
		is     error
		api    int // calls of Terminate
	}{
		{name: "terminated by an operator", fault: func(w *world) { w.closeChannel("") }, reason: ReasonTerminated, within: time.Second},
		{name: "maximum duration", fault: func(w *world) { w.closeChannel("Session reached the maximum session duration") }, reason: ReasonMaxDuration, within: time.Second},
		{name: "idle", fault: func(w *world) {
			w.closeChannel("Your session timed out due to inactivity and has been terminated.")
		}, reason: ReasonIdle, within: time.Second},
		{name: "closed right behind the reason", fault: func(w *world) {
			w.closeChannel("something broke")
			w.mu.Lock()
			wire := w.wire
			w.mu.Unlock()
			wire.refuseWrites.Store(true) // writing fails before the reason is read
		}, reason: ReasonAgent, within: time.Second},
		{name: "agent's failure", fault: func(w *world) { w.closeChannel("something broke") }, reason: ReasonAgent, within: time.Second},
		{name: "reboot", fault: func(w *world) {
			w.closeChannel("document process failed unexpectedly: document worker timed out, check ...")
		}, reason: ReasonAgentDied, within: time.Second},
		{name: "resume refused", fault: func(w *world) {
			w.resumeErr = fmt.Errorf("DoesNotExistException: %w", ErrNotResumable)
			w.cut()
		}, reason: ReasonNotResumable, within: time.Second, is: ErrNotResumable, api: 1},
		{name: "empty token", fault: func(w *world) { w.resumeEmpty = true; w.cut() }, reason: ReasonExpired, within: time.Second, api: 1},
		{name: "service away for good", fault: func(w *world) {
			w.dialErr = errors.New("no route to host")
			w.wire.cut()
		}, reason: ReasonLost, within: 6 * time.Minute, api: 1},
		{name: "agent away for good", fault: func(w *world) { w.agent.freeze(true) }, reason: ReasonLost, within: 6 * time.Minute, api: 1},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, echo)
				defer w.end()
				p := w.open(Options{})
				c := dialPort(t, p)
				exchange(t, c, 5000)
				start := time.Now()
				row.fault(w)
				_, _ = c.Write([]byte("x"))
				_, err := c.Read(make([]byte, 1))
				<-p.Done()
				took := time.Since(start)
				var ended *EndedError
				if !errors.As(err, &ended) || !errors.As(p.Err(), &ended) {
					t.Fatalf("read: %v, session: %v, want an EndedError", err, p.Err())
				}
				t.Logf("after %v: %v", took, p.Err())
				if ended.Reason != row.reason || ended.SessionID != "sess-1" {
					t.Errorf("got %+v, want reason %q", ended, row.reason)
				}
				if row.is != nil && !errors.Is(p.Err(), row.is) {
					t.Errorf("got %v, want it to wrap %v", p.Err(), row.is)
				}
				if took > row.within {
					t.Errorf("took %v, want at most %v", took, row.within)
				}
				if _, err := p.Dial(t.Context()); !errors.As(err, &ended) {
					t.Errorf("dial: %v, want the reason", err)
				}
				if err := p.Close(); err != nil {
					t.Error(err)
				}
				if w.terminates != row.api {
					t.Errorf("terminated %d times, want %d", w.terminates, row.api)
				}
			})
		})
	}
}

// TestUploadRate checks that an upload uses what the pace allows, at several
// round trips, and never goes over the service's limit in any second.
func TestUploadRate(t *testing.T) {
	for _, oneWay := range []time.Duration{0, 20 * time.Millisecond, 75 * time.Millisecond} {
		t.Run(fmt.Sprint(2*oneWay), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := make(chan int64, 1)
				w := newWorld(t, func(tg *target) {
					n, _ := io.Copy(io.Discard, tg)
					got <- n
				})
				defer w.end()
				w.setFaults(faults{delay: oneWay})
				p := w.open(Options{})
				c := dialPort(t, p)
				const size = 8 << 20
				start := time.Now()
				if _, err := c.Write(noise(size)); err != nil {
					t.Fatal(err)
				}
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				if n := <-got; n != size {
					t.Errorf("%d bytes arrived, want %d", n, size)
				}
				rate := float64(size) / time.Since(start).Seconds()
				if want := 0.977 * 900 * 1024; rate < want {
					t.Errorf("%.0f bytes/s, want at least %.0f", rate, want)
				}
				t.Logf("%.3f MB/s, %d messages", rate/1e6, w.agent.data)
				if most := busiest(w.agent.arrivals); most > 1000 {
					t.Errorf("%d messages arrived in one second, want at most 1000", most)
				}
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// busiest is the most arrivals in any second.
func busiest(at []time.Time) int {
	most, from := 0, 0
	for i := range at {
		for at[i].Sub(at[from]) >= time.Second {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// TestDeafWebsocket has a websocket that goes on bringing the agent's messages,
// and lets none through to it.
func TestDeafWebsocket(t *testing.T) {
	inWorld(t, func(tg *target) {
		for {
			time.Sleep(time.Second)
			_, _ = tg.Write([]byte("tick"))
			if _, err := tg.Read(make([]byte, 4)); err != nil {
				return
			}
		}
	}, func(t *testing.T, w *world, p *Port) {
		c := dialPort(t, p)
		w.mu.Lock()
		first := w.dials
		w.up.drop = func([]byte) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.dials == first
		}
		w.mu.Unlock()
		start := time.Now()
		for range 3 {
			if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte("tock")); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took > deafAfter+10*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestLostAcknowledgements loses every acknowledgement of the client for a
// while, in a download. The agent, left alone, would repeat the messages one
// by one, ten a second, for most of a minute.
func TestLostAcknowledgements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 1 << 20
		w := newWorld(t, func(tg *target) { _, _ = tg.Write(noise(size)) })
		defer w.end()
		p := w.open(Options{})
		c := dialPort(t, p)
		time.Sleep(200 * time.Millisecond)
		lose := func(yes bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.up.drop = func(b []byte) bool { return yes && bytes.HasPrefix(b[4:], []byte("acknowledge")) }
		}
		lose(true)
		time.Sleep(500 * time.Millisecond)
		lose(false)
		if n, err := io.Copy(io.Discard, c); n != size || err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
		start := time.Now()
		for w.agent.waiting() > 0 && time.Since(start) < time.Minute {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("the agent has everything acknowledged %v after the last byte", took)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestGapInDownload loses a little of a download in one piece. The agent goes
// on at full speed meanwhile and repeats ten messages a second, so that far
// more than Options.StreamBuffer comes before the last of them, and counts at
// once when that one does. The reader, who could not read it before, is not to
// blame.
func TestGapInDownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, most = 4 << 20, 30
		w := newWorld(t, func(tg *target) { _, _ = tg.Write(noise(size)) })
		defer w.end()
		lost := 0
		w.down.drop = func(b []byte) bool {
			if m, err := agentmsg.Decode(b); err != nil || m.PayloadType != agentmsg.Output || lost == most {
				return false
			}
			lost++
			return true
		}
		p := w.open(Options{StreamBuffer: 1 << 20})
		c := dialPort(t, p)
		time.Sleep(time.Second)
		if n := p.Gap(); n < most/2 || n > most {
			t.Errorf("a gap of %d messages after a second, want most of %d", n, most)
		}
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, noise(size)) {
			t.Errorf("%d of %d bytes, %v", len(got), size, err)
		}
		if lost != most {
			t.Errorf("%d messages were lost, want %d", lost, most)
		}
		if n := p.Gap(); n != 0 {
			t.Errorf("a gap of %d messages at the end", n)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

func (a *agent) waiting() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.unacked)
}

package communicator

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// fickle is a session whose service comes and goes.
type fickle struct {
	port
	reachable bool
}

// Reachable is the session's.
func (f *fickle) Reachable() bool { return f.reachable }

// Close is the session's.
func (f *fickle) Close() error { return nil }

// TestALaneThatComesToRestIsKept: one that others were faster than is as good
// as before, unless it hangs.
func TestALaneThatComesToRestIsKept(t *testing.T) {
	for name, rests := range map[string]bool{"comes to rest": true, "hangs": false} {
		synctest.Test(t, func(t *testing.T) {
			l, rest := lineOn(&fickle{}, time.Minute), make(chan struct{})
			if rests {
				time.AfterFunc(laneGrace-time.Millisecond, func() { close(rest) })
			}
			l.failUnless(rest)
			if l.alive() != rests {
				t.Errorf("%s: alive %v", name, l.alive())
			}
			l.wait()
		})
	}
}

// TestVerdictOfASignal: a command that a signal has ended has lost its
// connection where that follows, unless it was only slow.
func TestVerdictOfASignal(t *testing.T) {
	for name, row := range map[string]struct {
		status int
		end    error
		after  time.Duration
		want   int
	}{
		"a shutdown":           {128 + 15, errSilent, time.Second, packersdk.CmdDisconnect},
		"another status":       {128 + 2, errSilent, time.Second, 128 + 2},
		"much later":           {128 + 15, errSilent, time.Minute, 128 + 15},
		"left for another one": {128 + 15, fmt.Errorf("%w (99 are missing)", errGap), time.Second, 128 + 15},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := lineOn(&fickle{}, time.Minute)
				time.AfterFunc(row.after, func() { l.fail(row.end) })
				if got := verdict(row.status, l); got != row.want {
					t.Errorf("status %d, want %d", got, row.want)
				}
				time.Sleep(2 * row.after)
				l.wait()
			})
		})
	}
}

// TestSilence is about when a silent instance counts as gone: after 15 s in
// which the service was there, together or in parts.
func TestSilence(t *testing.T) {
	const tick = 5 * time.Second
	for name, row := range map[string]struct {
		reachable func(tick int) bool
		heard     int // the tick before which something came
		gone      int // the tick by which it is gone, 0 for never
	}{
		"service there":                {func(int) bool { return true }, 0, 4},
		"service away":                 {func(int) bool { return false }, 0, 0},
		"service away, then there":     {func(n int) bool { return n > 20 }, 0, 24},
		"service away at every second": {func(n int) bool { return n%2 == 0 }, 0, 8},
		"service away at every third":  {func(n int) bool { return n%3 != 0 }, 0, 5},
		"a sign of life between":       {func(n int) bool { return n%2 == 0 }, 7, 14},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fickle{}
			l, began := &line{port: f, patience: 15 * time.Second}, time.Now()
			p, gone := pulse{since: began, looked: began}, 0
			for n := 1; n <= 60 && gone == 0; n++ {
				now := began.Add(time.Duration(n) * tick)
				if n == row.heard {
					l.heard.Store(now.Add(-tick / 2).UnixNano())
				}
				if f.reachable = row.reachable(n); l.silent(now, &p) {
					gone = n
				}
			}
			if gone != row.gone {
				t.Errorf("gone at tick %d, want %d", gone, row.gone)
			}
		})
	}
}

// halfOpen is a connection that takes what is written until it is closed, though the other end is gone, as TCP does.
type halfOpen struct {
	net.Conn
	closed bool
}

// Read is net.Conn's.
func (h *halfOpen) Read([]byte) (int, error) { return 0, io.EOF }

// Write is net.Conn's.
func (h *halfOpen) Write(b []byte) (int, error) {
	if h.closed {
		return 0, net.ErrClosed
	}
	return len(b), nil
}

// Close is net.Conn's.
func (h *halfOpen) Close() error { h.closed = true; return nil }

// TestNothingIsWrittenAfterTheEnd: the SSH library waits for ever for a channel that it asks for between its finding
// the end and its telling its writers.
func TestNothingIsWrittenAfterTheEnd(t *testing.T) {
	s := &stream{Conn: &halfOpen{}, line: lineOn(&fickle{}, time.Minute)}
	if _, err := s.Write([]byte("x")); err != nil {
		t.Errorf("before the end: %v", err)
	}
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read: %v", err)
	}
	if _, err := s.Write([]byte("x")); err == nil {
		t.Error("written after the end")
	}
}

// TestALostLineIsNotAsked: who waits for all of a lost line may be done by then.
func TestALostLineIsNotAsked(t *testing.T) {
	l := lineOn(&fickle{}, time.Minute) // without a client, which to ask would be a panic
	l.fail(errSilent)
	l.wait()
	if l.answers(t.Context()) {
		t.Error("it answers")
	}
}

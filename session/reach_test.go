package session

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestReachable(t *testing.T) {
	inWorld(t, echo, func(t *testing.T, w *world, p *Port) {
		expect := func(when string, want bool) {
			t.Helper()
			synctest.Wait()
			if got := p.Reachable(); got != want {
				t.Errorf("%s: reachable %v, want %v", when, got, want)
			}
		}
		expect("open", true)
		w.agent.freeze(true) // the agent is silent, the service is not
		time.Sleep(10 * time.Second)
		expect("agent frozen", true)
		w.agent.freeze(false)

		lost := func([]byte) bool { return true }
		w.mu.Lock()
		w.deaf, w.up.drop, w.down.drop = true, lost, lost
		w.mu.Unlock()
		time.Sleep(pingEvery + pingPatience)
		expect("pings unanswered", false)
		time.Sleep(20 * time.Second)
		expect("pings unanswered for long", false)
		w.mu.Lock()
		w.deaf, w.up.drop, w.down.drop = false, nil, nil
		w.mu.Unlock()
		time.Sleep(silenceLimit)
		expect("answered again", true)

		w.mu.Lock()
		w.resumeErr = errors.New("no route to host")
		w.mu.Unlock()
		w.cut()
		time.Sleep(time.Minute)
		expect("being resumed", false)
		w.mu.Lock()
		w.resumeErr = nil
		w.mu.Unlock()
		time.Sleep(10 * time.Second)
		expect("resumed", true)
	})
}

// TestOpeningRefused is about a service, or a proxy, that won't have the
// websocket: what can't pass ends the opening before its time is over.
func TestOpeningRefused(t *testing.T) {
	for name, row := range map[string]struct {
		status int
		final  bool
	}{
		"forbidden": {http.StatusForbidden, true}, "not found": {http.StatusNotFound, true}, "gone": {http.StatusGone, true},
		"too many": {http.StatusTooManyRequests, false}, "unavailable": {http.StatusServiceUnavailable, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, echo)
				defer w.end()
				w.dialErr = &refusedError{row.status}
				start := time.Now()
				_, err := openPort(context.Background(), w.service(), Options{}, w.dial)
				var ended *EndedError
				if errors.As(err, &ended) != row.final || !strings.Contains(err.Error(), http.StatusText(row.status)) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(start); row.final != (took < 5*time.Second) {
					t.Errorf("took %v", took)
				}
				if w.terminates != 1 {
					t.Errorf("terminated %d times", w.terminates)
				}
			})
		})
	}
}

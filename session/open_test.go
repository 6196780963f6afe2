package session

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taccoform/packer-plugin-ssm/session/internal/agentmsg"
)

// TestOpenFails is the table of sessions that start and do not open: each is
// terminated, and the error says what was seen.
func TestOpenFails(t *testing.T) {
	table := []struct {
		name  string
		setup func(*world)
		want  string
	}{
		{"no handshake", func(w *world) { w.agent.frozen = true }, "no handshake within 30s; last: websocket open"},
		{"no websocket", func(w *world) { w.dialErr = errors.New("connection refused") }, "connection refused"},
		{"wrong type", func(w *world) { w.agent.properties = `{"portNumber":"22"}` }, "cannot carry connections: port session of type \"\" is not multiplexed; start it with the document AWS-StartPortForwardingSession"},
		{"old agent", func(w *world) { w.agent.version = "2.3.714.0" }, "cannot carry connections: agent 2.3.714.0 is too old"},
		{"agent gives up", func(w *world) {
			w.agent.extra = `,{"ActionType":"KMSEncryption","ActionParameters":{"KMSKeyId":"k"}}`
			w.running.Go(func() { time.Sleep(time.Second); w.closeChannel("Encountered error while initiating handshake") })
		}, "gave up the handshake: Encountered error"},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, echo)
				defer w.end()
				row.setup(w)
				p, err := openPort(t.Context(), w.service(), Options{}, w.dial)
				if err == nil {
					_ = p.Close()
					t.Fatal("opened")
				}
				t.Log(err)
				if !bytes.Contains([]byte(err.Error()), []byte(row.want)) {
					t.Errorf("got %q, want it to say %q", err, row.want)
				}
			})
		})
	}
}

// TestOpenUnderLoss loses the response to the handshake again and again, which
// the agent waits for no longer than 15 s.
func TestOpenUnderLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, echo)
		defer w.end()
		lost := 0
		w.up.drop = func(b []byte) bool {
			if bytes.HasPrefix(b[4:], []byte(agentmsg.TypeInput)) {
				lost++
			}
			return lost > 0 && lost <= 6
		}
		start := time.Now()
		p := w.open(Options{})
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("open took %v", took)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestOpenCancelled cancels at every moment of the opening: whatever was
// started is terminated.
func TestOpenCancelled(t *testing.T) {
	for ms := range 100 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, echo)
			defer w.end()
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(ms)*time.Millisecond)
			defer cancel()
			p, err := openPort(ctx, w.service(), Options{}, w.dial)
			if err == nil {
				err = p.Close()
			} else if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			if w.terminates != 1 {
				t.Errorf("cancelled after %d ms: terminated %d times; %v", ms, w.terminates, err)
			}
		})
	}
}

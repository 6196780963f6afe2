//go:build linux

package session_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/datachannel"
	"github.com/taccoform/packer-plugin-ssm/session"
)

// The tests of this file run the client against the repository's simulated
// service and agent, which share no code with it, over real websockets.

// far is one session of the simulated service, to a port of this machine that
// sends back what it gets.
type far struct {
	*datachannel.Session
	base  string
	grant func() session.Grant
}

type thisMachine struct{ datachannel.Target }

func (thisMachine) Dial(ctx context.Context, host string, port int) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
}

// simulate opens a session of the simulated service with a port that echoes.
func simulate(t *testing.T, model datachannel.Model) *far {
	t.Helper()
	service := datachannel.NewService(datachannel.Options{Model: model})
	server := httptest.NewServer(service)
	port, stop := listenAndEcho(t)
	s, err := service.Open(datachannel.Config{
		ID: "builder-0123456789abcdef0", Type: datachannel.Port, Target: thisMachine{},
		Properties: map[string]any{"portNumber": port, "localPortNumber": "0", "type": "LocalPortForwarding"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		service.Close()
		server.Close()
		stop()
	})
	f := &far{Session: s, base: "ws" + strings.TrimPrefix(server.URL, "http")}
	f.grant = func() session.Grant {
		return session.Grant{SessionID: s.ID(), StreamURL: s.StreamURL(f.base), Token: s.Token()}
	}
	return f
}

func listenAndEcho(t *testing.T) (port string, stop func()) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			})
		}
	})
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, func() { _ = l.Close(); running.Wait() }
}

// open opens a port of the session through the public API.
func (f *far) open(t *testing.T) *session.Port {
	t.Helper()
	p, err := session.OpenPort(t.Context(), f.service(),
		session.Options{Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (f *far) service() session.Service {
	return session.Service{
		Start: func(context.Context) (session.Grant, error) { return f.grant(), nil },
		Resume: func(context.Context, string) (session.Grant, error) {
			select {
			case <-f.Done():
				return session.Grant{}, fmt.Errorf("DoesNotExistException: %w", session.ErrNotResumable)
			default:
			}
			f.Resumed()
			return f.grant(), nil
		},
		Terminate: func(context.Context, string) error { f.Terminate(); return nil },
	}
}

// thereAndBack sends n random bytes and compares what comes back.
func thereAndBack(t *testing.T, c io.ReadWriter, n int) {
	t.Helper()
	sent, got := make([]byte, n), make([]byte, n)
	_, _ = rand.Read(sent)
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write(sent)
		wrote <- err
	}()
	if k, err := io.ReadFull(c, got); err != nil {
		t.Errorf("read %d of %d bytes: %v", k, n, err)
	}
	if err := <-wrote; err != nil {
		t.Errorf("write: %v", err)
	}
	if !bytes.Equal(sent, got) {
		t.Errorf("%d bytes came back different", n)
	}
}

// TestSimulated is the survival table against the simulated service.
func TestSimulated(t *testing.T) {
	round := datachannel.Impairment{Delay: 20 * time.Millisecond}
	table := []struct {
		name   string
		impair datachannel.Impairment
		fault  func(*datachannel.Session)
		size   int
	}{
		{name: "nothing", impair: round, size: 1 << 20},
		{name: "loss, repeats and another order", size: 60_000, impair: datachannel.Impairment{
			LoseData: 0.03, LoseAcks: 0.05, Repeat: 0.05, Reorder: 0.05, Delay: 5 * time.Millisecond,
		}},
		{name: "client cut", impair: round, fault: (*datachannel.Session).CutClient, size: 300_000},
		{name: "hourly close", impair: round, fault: (*datachannel.Session).Bye, size: 100_000},
		{name: "agent cut", impair: round, fault: func(s *datachannel.Session) { s.CutAgent(time.Second) }, size: 100_000},
		{name: "paused", impair: round, fault: func(s *datachannel.Session) { s.Pause(2 * time.Second) }, size: 300_000},
		{name: "frozen", impair: round, fault: func(s *datachannel.Session) { time.AfterFunc(2*time.Second, s.Freeze()) }, size: 300_000},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f := simulate(t, datachannel.Realistic())
			f.Faults().ImpairBoth(row.impair)
			p := f.open(t)
			c, err := p.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			thereAndBack(t, c, 1000)
			start := time.Now()
			if row.fault != nil {
				timer := time.AfterFunc(100*time.Millisecond, func() { row.fault(f.Session) })
				defer timer.Stop()
			}
			thereAndBack(t, c, row.size)
			t.Logf("%d bytes there and back in %v, %+v", row.size, time.Since(start), f.Stats())
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			if s := f.Stats(); s.WrongDigest > 0 || s.Paused > 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// TestSimulatedOldAgents is the same for agents that are not as they are now.
func TestSimulatedOldAgents(t *testing.T) {
	for name, row := range map[string]struct {
		model datachannel.Model
		fault func(*datachannel.Session)
	}{
		"3.1.1188 acknowledges once only, client cut": {
			datachannel.Model{AgentVersion: "3.1.1188.0", Pump: true}, (*datachannel.Session).CutClient,
		},
		"3.0.529 loses what comes before it is ready": {
			datachannel.Model{AgentVersion: "3.0.529.0", ReadyDelay: 300 * time.Millisecond}, func(*datachannel.Session) {},
		},
		"late to note that the handshake is complete": {
			datachannel.Model{CompleteDelay: 5 * time.Millisecond, AckAfterComplete: true}, func(*datachannel.Session) {},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := simulate(t, row.model)
			p := f.open(t)
			c, err := p.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(100*time.Millisecond, func() { row.fault(f.Session) })
			defer timer.Stop()
			thereAndBack(t, c, 300_000)
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSimulatedTooOld has an agent that forwards one connection a session.
func TestSimulatedTooOld(t *testing.T) {
	f := simulate(t, datachannel.Model{AgentVersion: "3.0.161.0"})
	_, err := session.OpenPort(t.Context(), f.service(), session.Options{})
	var ended *session.EndedError
	if !errors.As(err, &ended) || ended.Reason != session.ReasonUnusable ||
		!strings.Contains(err.Error(), "agent 3.0.161.0 is too old to multiplex; update it to 3.0.222 or later") {
		t.Errorf("got %v", err)
	}
	<-f.Done() // terminated
}

// TestSimulatedEnds has the simulated service end the session.
func TestSimulatedEnds(t *testing.T) {
	for name, row := range map[string]struct {
		fault  func(*datachannel.Session)
		reason session.Reason
	}{
		"terminated": {(*datachannel.Session).Terminate, session.ReasonTerminated},
		"rebooted":   {(*datachannel.Session).WorkerLost, session.ReasonAgentDied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := simulate(t, datachannel.Model{})
			p := f.open(t)
			row.fault(f.Session)
			<-p.Done()
			var ended *session.EndedError
			if !errors.As(p.Err(), &ended) || ended.Reason != row.reason {
				t.Errorf("ended with %v, want reason %q", p.Err(), row.reason)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

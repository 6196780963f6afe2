package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/taccoform/packer-plugin-ssm/session/internal/agentmsg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is the service and the agent in memory, with faults on the way.
type world struct {
	t      testing.TB
	agent  *agent
	server *server
	rng    *rand.Rand

	mu          sync.Mutex
	up, down    faults
	wire        *wire
	deaf        bool
	tokens      map[string]bool
	issued      int
	dials       int
	resumes     int
	terminates  int
	resumeErr   error
	resumeEmpty bool
	dialErr     error
	running     sync.WaitGroup
}

func newWorld(t testing.TB, serve func(*target)) *world {
	w := &world{t: t, agent: newAgent(), rng: rand.New(rand.NewPCG(7, 11)), tokens: make(map[string]bool)}
	w.setFaults(faults{delay: 20 * time.Millisecond})
	w.server = newServer(w.agent, serve)
	w.agent.bye = func() { w.running.Go(func() { w.closeChannel("") }) }
	return w
}

func (w *world) setFaults(f faults) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.up, w.down = f, f
}

func (w *world) grant() Grant {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.issued++
	token := fmt.Sprintf("secret-%d", w.issued)
	w.tokens[token] = true
	return Grant{SessionID: "sess-1", StreamURL: "wss://x/?q=hidden", Token: token}
}

func (w *world) service() Service {
	return Service{
		Start: func(context.Context) (Grant, error) { return w.grant(), nil },
		Resume: func(context.Context, string) (Grant, error) {
			w.mu.Lock()
			w.resumes++
			err, empty := w.resumeErr, w.resumeEmpty
			w.mu.Unlock()
			if err != nil || empty {
				return Grant{}, err
			}
			return w.grant(), nil
		},
		Terminate: func(ctx context.Context, _ string) error {
			w.mu.Lock()
			w.terminates++
			w.mu.Unlock()
			return ctx.Err()
		},
	}
}

// dial is the service's end of a websocket's opening.
func (w *world) dial(_ context.Context, g Grant) (channel, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dials++
	if w.dialErr != nil {
		return nil, w.dialErr
	}
	if !w.tokens[g.Token] {
		return nil, errors.New("token was used before")
	}
	delete(w.tokens, g.Token)
	if w.wire != nil {
		w.wire.cut()
	}
	wire := newWire(
		func() faults { w.mu.Lock(); defer w.mu.Unlock(); return w.up },
		func() faults { w.mu.Lock(); defer w.mu.Unlock(); return w.down },
		w.rng, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.deaf })
	w.wire = wire
	first := w.dials == 1
	w.running.Go(func() { //nolint:contextcheck // the agent reads as long as the wire lasts, not the dial
		w.agent.attach(context.Background(), wire.up.receive, wire.down.send)
	})
	if first {
		w.running.Go(w.agent.begin)
	}
	return end{wire}, nil
}

func (w *world) countResumes() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.resumes
}

// cut breaks the websocket.
func (w *world) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wire.cut()
}

// say sends a message of the service's own.
func (w *world) say(kind string, payload string) {
	b, err := (&agentmsg.Message{Type: kind, Created: 1, ID: newID(), Payload: []byte(payload)}).Append(nil)
	if err != nil {
		w.t.Error(err)
	}
	w.mu.Lock()
	lane := w.wire.down
	w.mu.Unlock()
	_ = lane.send(b)
}

func (w *world) closeChannel(output string) {
	w.say(agentmsg.TypeChannelClosed, fmt.Sprintf(`{"SessionId":"sess-1","SchemaVersion":1,"Output":%q}`, output))
}

// open opens a port in this world.
func (w *world) open(opts Options) *Port {
	w.t.Helper()
	if testing.Verbose() && opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	p, err := openPort(context.Background(), w.service(), opts, w.dial)
	if err != nil {
		w.t.Fatalf("open: %v", err)
	}
	return p
}

// end ends the world after the port was closed.
func (w *world) end() {
	w.server.hangUp()
	w.agent.end()
	w.mu.Lock()
	if w.wire != nil {
		w.wire.cut()
	}
	w.mu.Unlock()
	w.running.Wait()
}

// dialPort dials or fails the test.
func dialPort(t testing.TB, p *Port) net.Conn {
	t.Helper()
	c, err := p.Dial(context.Background())
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	return c
}

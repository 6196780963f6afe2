package session

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/taccoform/packer-plugin-ssm/session/internal/agentmsg"
)

// agent is a double of the agent's half of a port session: it acknowledges
// after processing, keeps what comes early, repeats only the oldest message
// that is not acknowledged, one each 100 ms, knows no window, reads 1024 bytes
// at a time and rests a millisecond after each. Its state machine is its own.
type agent struct {
	properties string // of the handshake request, JSON
	version    string
	extra      string        // more requested actions, JSON, each with a comma before
	rest       time.Duration // after each message of data
	ackLate    bool          // the response is acknowledged after HandshakeComplete
	notReady   int           // data messages that are dropped at first
	lag        time.Duration // after HandshakeComplete, in which data is acknowledged and lost
	taciturn   bool          // acknowledges nothing twice

	sink func([]byte) // takes the client's bytes in order
	bye  func()       // TerminateSession flag

	mu       sync.Mutex
	cond     *sync.Cond
	out      func([]byte) error // the current wire, nil for none
	up       bool               // the handshake is complete
	opened   time.Time          // from when on data is taken
	response *agentmsg.Response
	paused   bool
	frozen   bool
	over     bool
	want     int64
	early    map[int64]agentmsg.Message
	next     int64
	unacked  map[int64][]byte
	head     int64
	pending  []byte // bytes to send

	data     int // data messages that came, repeats included
	arrivals []time.Time
	working  sync.WaitGroup
	stop     chan struct{}
}

func newAgent() *agent {
	a := &agent{
		properties: `{"portNumber":"22","localPortNumber":"0","type":"LocalPortForwarding"}`,
		version:    "3.3.987.0", rest: time.Millisecond,
		early: make(map[int64]agentmsg.Message), unacked: make(map[int64][]byte), stop: make(chan struct{}),
		bye: func() {},
	}
	a.cond = sync.NewCond(&a.mu)
	return a
}

// begin starts the pumps and asks for the handshake.
func (a *agent) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over { // the test is through before this began
		return
	}
	a.send(agentmsg.HandshakeRequest, []byte(fmt.Sprintf(
		`{"AgentVersion":%q,"RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{"SessionType":"Port","Properties":%s}}%s]}`,
		a.version, a.properties, a.extra)))
	a.working.Go(a.pump)
	a.working.Go(a.repeat)
}

// end stops everything and waits.
func (a *agent) end() {
	a.mu.Lock()
	if !a.over {
		a.over = true
		close(a.stop)
	}
	a.cond.Broadcast()
	a.mu.Unlock()
	a.working.Wait()
}

// send numbers and sends a message of the stream. a.mu is held.
func (a *agent) send(kind agentmsg.PayloadType, payload []byte) {
	m := agentmsg.Message{
		Type: agentmsg.TypeOutput, Created: 1, Sequence: a.next, ID: newID(), PayloadType: kind, Payload: payload,
	}
	b, err := m.Append(nil)
	if err != nil {
		panic(err)
	}
	a.unacked[a.next] = b
	a.next++
	a.emit(b)
}

func (a *agent) emit(b []byte) {
	if a.out != nil && !a.frozen {
		_ = a.out(b)
	}
}

// attach puts the agent on a wire and reads it until it breaks.
func (a *agent) attach(ctx context.Context, read func(context.Context) ([]byte, error), write func([]byte) error) {
	a.mu.Lock()
	a.out = write
	a.paused = false
	a.cond.Broadcast()
	a.mu.Unlock()
	for {
		b, err := read(ctx)
		if err != nil {
			return
		}
		m, err := agentmsg.Decode(b)
		if err != nil {
			panic(err)
		}
		a.receive(m)
	}
}

func (a *agent) receive(m agentmsg.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.frozen || a.over {
		return
	}
	a.paused = false
	a.cond.Broadcast()
	if m.Type == agentmsg.TypeAcknowledge {
		ack, err := agentmsg.DecodeAcknowledge(m.Payload)
		if err != nil || m.Sequence != 0 || m.Flags != 3 {
			panic(fmt.Sprint("bad acknowledgement ", err))
		}
		delete(a.unacked, ack.SequenceNumber)
		return
	}
	a.data++
	a.arrivals = append(a.arrivals, time.Now())
	switch {
	case m.Sequence < a.want:
		if !a.taciturn {
			a.ack(&m)
		}
	case m.Sequence > a.want:
		a.early[m.Sequence] = m
		a.ack(&m)
	default:
		a.inOrder(m)
	}
}

// inOrder processes the message whose turn it is and those that waited for it.
func (a *agent) inOrder(m agentmsg.Message) {
	for ok := true; ok; m, ok = a.early[a.want] {
		if m.PayloadType == agentmsg.Output && a.up && a.notReady > 0 {
			a.notReady--
			return
		}
		delete(a.early, m.Sequence)
		a.want++
		if m.PayloadType == agentmsg.HandshakeResponse && a.ackLate {
			a.process(m)
			a.ack(&m)
			continue
		}
		a.ack(&m)
		a.process(m)
	}
}

func (a *agent) ack(m *agentmsg.Message) {
	payload, _ := json.Marshal(agentmsg.AcknowledgeOf(m))
	b, err := (&agentmsg.Message{Type: agentmsg.TypeAcknowledge, Created: 1, Flags: 3, ID: newID(), Payload: payload}).Append(nil)
	if err != nil {
		panic(err)
	}
	a.emit(b)
}

func (a *agent) process(m agentmsg.Message) {
	switch m.PayloadType {
	case agentmsg.HandshakeResponse:
		a.response = new(agentmsg.Response)
		if err := json.Unmarshal(m.Payload, a.response); err != nil {
			panic(err)
		}
		for _, action := range a.response.Actions {
			if action.ActionStatus != agentmsg.Success {
				return // the agent ends the session instead
			}
		}
		a.up = true
		a.opened = time.Now().Add(a.lag)
		a.send(agentmsg.HandshakeComplete, []byte(`{"HandshakeTimeToComplete":1000000,"CustomerMessage":""}`))
	case agentmsg.Flag:
		if f, _ := agentmsg.DecodeFlag(m.Payload); f == agentmsg.TerminateSession {
			a.bye()
		}
	case agentmsg.Output:
		if !a.up {
			panic("data before the handshake was complete")
		}
		if !time.Now().Before(a.opened) {
			a.sink(m.Payload)
		}
	case agentmsg.Size: // is for terminals
	default:
		panic(fmt.Sprint("payload of type ", m.PayloadType))
	}
}

// write queues bytes for the client; it waits while there are too many.
func (a *agent) write(b []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.pending) > 64<<10 && !a.over {
		a.cond.Wait()
	}
	a.put(b)
}

// put is write for callers that hold a.mu.
func (a *agent) put(b []byte) {
	a.pending = append(a.pending, b...)
	a.cond.Broadcast()
}

// pump sends what write queued.
func (a *agent) pump() {
	for {
		a.mu.Lock()
		for (len(a.pending) == 0 || a.paused) && !a.over {
			a.cond.Wait()
		}
		if a.over {
			a.mu.Unlock()
			return
		}
		n := min(1024, len(a.pending))
		a.send(agentmsg.Output, append([]byte(nil), a.pending[:n]...))
		a.pending = a.pending[n:]
		a.cond.Broadcast()
		a.mu.Unlock()
		if !a.sleep(a.rest) {
			return
		}
	}
}

// repeat sends the oldest unacknowledged message again, ten times a second.
func (a *agent) repeat() {
	for a.sleep(100 * time.Millisecond) {
		a.mu.Lock()
		for a.head < a.next && a.unacked[a.head] == nil {
			a.head++
		}
		if b := a.unacked[a.head]; b != nil && !a.paused {
			a.emit(b)
		}
		a.mu.Unlock()
	}
}

func (a *agent) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-a.stop:
		return false
	}
}

// agentConn gives the agent's byte stream to a smux library.
type agentConn struct {
	agent *agent
	r     *io.PipeReader
}

func newAgentConn(a *agent) *agentConn {
	r, w := io.Pipe()
	in := make(chan []byte, 1<<16)
	a.sink = func(b []byte) {
		select {
		case in <- append([]byte(nil), b...):
		case <-a.stop:
		}
	}
	a.working.Go(func() {
		for {
			select {
			case b := <-in:
				if _, err := w.Write(b); err != nil {
					return
				}
			case <-a.stop:
				_ = w.Close()
				return
			}
		}
	})
	return &agentConn{agent: a, r: r}
}

func (c *agentConn) Read(b []byte) (int, error) { return c.r.Read(b) }
func (c *agentConn) Write(b []byte) (int, error) {
	c.agent.write(b)
	return len(b), nil
}
func (c *agentConn) Close() error { return c.r.Close() }

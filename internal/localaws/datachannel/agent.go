package datachannel

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	chunk            = 1024 // payload of the agent's messages, in bytes
	bufferCapacity   = 100_000
	handshakeTimeout = 15 * time.Second
	drainTimeout     = 2 * time.Second
)

// errNotReady makes the agent drop a message without an acknowledgement, so that the client sends it again.
var errNotReady = errors.New("handler is not ready")

// A plugin is what an agent runs for a session type.
type plugin interface {
	// handshakes says whether the plugin's sessions begin with a handshake.
	handshakes() bool
	// start makes the plugin ready for input. Its error ends the session and is told to the client.
	start(ctx context.Context, clientVersion string) error
	// input takes a message of the client, in order. While it blocks, the agent receives nothing. On an error the
	// message is not acknowledged. It is called before start has returned too.
	input(m message) error
	// run works until the session is over. An error makes the session Failed, its text is told to the client.
	run(ctx context.Context) error
	// stop ends run and input.
	stop()
}

// An agent is the worker that the agent on the machine runs for one session. Its state stays while websockets come and go.
type agent struct {
	session *Session
	model   Model
	habits  habits
	plugin  plugin
	out     outgoing
	gate    *gate
	life    context.Context //nolint:containedctx // from start to stop, which no call spans
	die     context.CancelFunc

	// Touched by receive alone, which the wire to the agent calls.
	expected int64
	early    map[int64]message

	paused    atomic.Bool
	complete  atomic.Bool // handshake done or not needed
	responses chan handshakeResponse
	announced chan struct{} // closed when HandshakeComplete was sent
}

func newAgent(s *Session) *agent {
	life, die := context.WithCancel(s.ctx)
	a := &agent{
		session: s, model: s.model, habits: habitsOf(s.model.AgentVersion), gate: newGate(), life: life, die: die, early: map[int64]message{},
		responses: make(chan handshakeResponse, 1), announced: make(chan struct{}),
	}
	a.out.init()
	a.plugin = newPlugin(a, s.config)
	return a
}

// stop kills the worker: no goodbye.
func (a *agent) stop() {
	a.die()
	a.plugin.stop()
}

// run is the worker's life.
func (a *agent) run() {
	if !a.sleep(a.model.WorkerStart) {
		return
	}
	a.session.mu.Lock()
	a.session.agentUp = !a.session.agentGone
	a.session.mu.Unlock()
	a.session.tasks.Go(a.resend)
	err := a.serve()
	if a.life.Err() != nil {
		return // killed
	}
	a.drain()
	a.sendPlain(sessionState, jsonOf(statePayload{1, "Terminating", a.session.config.ID}))
	if err != nil {
		a.session.end(End{Failed, err.Error()})
		return
	}
	a.session.end(End{Reason: Completed})
}

func (a *agent) serve() error {
	defer a.plugin.stop()
	version := ""
	if a.plugin.handshakes() {
		var err error
		if version, err = a.handshake(); err != nil {
			return fmt.Errorf("Encountered error while initiating handshake. %w", err) //nolint:staticcheck // the agent's words
		}
		if !a.sleep(a.model.CompleteDelay) {
			return nil
		}
	}
	a.complete.Store(true)
	if !a.sleep(a.model.ReadyDelay) {
		return nil
	}
	if err := a.plugin.start(a.life, version); err != nil {
		return err
	}
	return a.plugin.run(a.life)
}

// sleep is false when the worker was killed meanwhile.
func (a *agent) sleep(d time.Duration) bool {
	if d == 0 {
		return a.life.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-a.life.Done():
		return false
	}
}

// receive takes one frame from the service: the agent's websocket reader.
func (a *agent) receive(frame []byte) {
	a.gate.wait(a.life)
	m, err := decode(frame)
	if err != nil || a.life.Err() != nil {
		return
	}
	switch m.kind {
	case pausePublication:
		a.paused.Store(true)
	case startPublication:
		a.paused.Store(false)
	case acknowledge:
		a.paused.Store(false)
		a.acknowledged(m)
	case inputStreamData:
		a.paused.Store(false)
		if m.valid() {
			a.inOrder(m)
		}
	}
}

func (a *agent) acknowledged(m message) {
	var ack ackPayload
	if json.Unmarshal(m.payload, &ack) == nil {
		a.out.acknowledged(ack.Sequence, time.Now())
	}
}

// inOrder processes a message when its turn has come, keeps it when it is early, and acknowledges it once more when it is late,
// which old agents don't.
func (a *agent) inOrder(m message) {
	switch {
	case m.seq < a.expected:
		if !a.habits.taciturn {
			a.ack(m)
		}
	case m.seq > a.expected:
		if len(a.early) < bufferCapacity {
			a.ack(m)
			a.early[m.seq] = m
		}
	case a.process(m) == nil:
		a.expected++
		a.processEarly()
	}
}

// processEarly goes on with what came early and was acknowledged then.
func (a *agent) processEarly() {
	for {
		m, ok := a.early[a.expected]
		if !ok || a.handle(m) != nil {
			return
		}
		delete(a.early, a.expected)
		a.expected++
	}
}

// process handles a message and acknowledges it, in this order but for the response to the handshake.
func (a *agent) process(m message) error {
	if m.payloadType == payloadHandshakeResponse {
		return a.processResponse(m)
	}
	err := a.handle(m)
	if a.habits.hasty && errors.Is(err, errNotReady) {
		err = nil // lost
	}
	if err != nil {
		return err
	}
	a.ack(m)
	return nil
}

func (a *agent) handle(m message) error {
	switch {
	case m.payloadType == payloadHandshakeResponse:
		return a.respond(m)
	case !a.complete.Load():
		return nil // acknowledged and discarded
	}
	return a.plugin.input(m)
}

// processResponse acknowledges the response before HandshakeComplete goes out, or after, as the model has it. AWS's client
// hangs if anything reaches it between HandshakeComplete and its own first stream.
func (a *agent) processResponse(m message) error {
	if !a.model.AckAfterComplete {
		a.ack(m)
		return a.respond(m)
	}
	if err := a.respond(m); err != nil {
		return err
	}
	select {
	case <-a.announced:
	case <-a.life.Done():
	}
	a.ack(m)
	return nil
}

func (a *agent) respond(m message) error {
	var r handshakeResponse
	if err := json.Unmarshal(m.payload, &r); err != nil {
		return err
	}
	select {
	case a.responses <- r:
	default: // a second one
	}
	return nil
}

// handshake asks the client for what the session needs and answers the client's version.
func (a *agent) handshake() (version string, err error) {
	began := time.Now()
	a.send(payloadHandshakeRequest, jsonOf(handshakeRequest{
		AgentVersion: a.model.AgentVersion,
		RequestedClientActions: []requestedAction{{
			ActionType: "SessionType", ActionParameters: sessionTypeRequest{string(a.session.config.Type), a.properties()},
		}},
	}))
	timer := time.NewTimer(handshakeTimeout)
	defer timer.Stop()
	var r handshakeResponse
	select {
	case r = <-a.responses:
	case <-timer.C:
		return "", errors.New("Handshake timed out. Please ensure that you have the latest version of the session manager plugin.") //nolint:staticcheck,revive // the agent's words
	case <-a.life.Done():
		return "", a.life.Err()
	}
	for _, done := range r.ProcessedClientActions {
		if done.ActionStatus != 1 {
			return "", fmt.Errorf("%s failed on client with status %d error: %s", done.ActionType, done.ActionStatus, done.Error)
		}
	}
	if a.model.CompleteDelay == 0 {
		a.complete.Store(true) // before the client can know: on loopback its data would come too early otherwise
	}
	a.send(payloadHandshakeComplete, jsonOf(handshakeComplete{HandshakeTimeToComplete: time.Since(began).Nanoseconds()}))
	close(a.announced)
	return r.ClientVersion, nil
}

// properties are what the handshake tells of the document: everything for ports, nothing for commands.
func (a *agent) properties() any {
	if a.session.config.Type == Port {
		return a.session.config.Properties
	}
	return nil
}

// flagOf reads a Flag payload.
func flagOf(m message) uint32 {
	if len(m.payload) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(m.payload)
}

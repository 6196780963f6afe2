package datachannel

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// A Type is a session type, as session documents name them.
type Type string

// The session types that agents know.
const (
	Port                   Type = "Port"
	StandardStream         Type = "Standard_Stream"
	InteractiveCommands    Type = "InteractiveCommands"
	NonInteractiveCommands Type = "NonInteractiveCommands"
)

// A Target is the machine that a session's agent runs on.
type Target interface {
	// Dial connects to a TCP port from inside the machine.
	Dial(ctx context.Context, host string, port int) (net.Conn, error)
	// Exec runs a process on the machine until it ends and answers its exit status, -1 if a signal ended it. When
	// ctx ends, the process is killed, its children are not.
	Exec(ctx context.Context, c Command) (exit int, err error)
}

// A Command is a process to run on a Target.
type Command struct {
	Argv           []string
	Env            []string
	Dir            string
	User           string // empty is root
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Terminal       *Terminal // not nil: the process has a terminal, whose screen is Stdout
}

// A Terminal is what a Command's process is given to talk to people.
type Terminal struct {
	Size
	Resize <-chan Size
}

// A Size is that of a terminal, in characters.
type Size struct {
	Columns uint32 `json:"cols"`
	Rows    uint32 `json:"rows"`
}

// Config says what session to open.
type Config struct {
	ID         string
	Type       Type
	Properties map[string]any // the document's, with parameters resolved
	Target     Target
	Model      *Model    // nil is the service's
	Ended      func(End) // called once, from a goroutine of the session, when it has ended; may be nil
}

// A Reason is why a session ended.
type Reason int

// The reasons.
const (
	Completed   Reason = iota // the agent ended it: the port, the command or the client's Flag 2
	Failed                    // the agent ended it, and Output says why
	Terminated                // TerminateSession
	TimedOut                  // no input for Model.IdleTimeout, or Model.MaxDuration
	RateLimited               // more messages than Model.MessagesPerSecond, pause or not
	Abandoned                 // the service was closed
)

// An End is how a session ended.
type End struct {
	Reason Reason
	Output string // what the client was told in channel_closed
}

// Stats count what happened in a session.
type Stats struct {
	FromClient, FromAgent int // stream data messages, repeated ones included
	WrongDigest           int // messages of the client whose digest is not that of the payload
	Opened                int // websockets of the client
	Paused                int // times that publication was paused for the rate
}

// A Session is one Session Manager session: its state in the service, its agent, and the wires between them.
type Session struct {
	service *Service
	config  Config
	model   Model
	faults  *Faults
	cell    string
	log     *slog.Logger
	started time.Time

	ctx      context.Context //nolint:containedctx // the life of the session, which outlives any call
	cancel   context.CancelFunc
	tasks    sync.WaitGroup // every goroutine of the session but the one that ends it
	done     chan struct{}  // closed when all of it is gone
	toAgent  *wire
	toClient *wire
	agent    *agent
	line     *gate // shut: nothing passes between the service and the client

	mu        sync.Mutex
	token     string
	tokenEnd  time.Time
	client    *clientSocket // nil while there is none
	held      [][]byte      // what the agent said before the client was there
	agentUp   bool          // the agent's websocket is open
	agentGone bool          // its machine is
	outage    outage        // to come, or under way
	ending    bool
	lastInput time.Time
	meters    [2]meter
	stats     Stats
	cutTimers []*time.Timer
}

func newSession(service *Service, c Config, m Model) *Session {
	ctx, cancel := context.WithCancel(context.Background())
	now := time.Now()
	s := &Session{
		service: service, config: c, model: m, faults: newFaults(service.faults), cell: newCell(),
		log: service.log.With("session", c.ID), started: now, lastInput: now,
		ctx: ctx, cancel: cancel, done: make(chan struct{}), line: newGate(),
	}
	s.meters = [2]meter{{limit: m.MessagesPerSecond}, {limit: m.MessagesPerSecond}}
	s.agent = newAgent(s)
	s.toAgent = newWire(ToAgent, s.faults, s.deliverToAgent)
	s.toClient = newWire(ToClient, s.faults, s.deliverToClient)
	return s
}

func (s *Session) start() {
	if s.model.StartPublication {
		s.tellClient(startPublication)
	}
	s.tasks.Go(func() { s.toAgent.run(s.ctx) })
	s.tasks.Go(func() { s.toClient.run(s.ctx) })
	s.tasks.Go(s.agent.run)
	s.tasks.Go(s.watch)
}

// ID is the session's id.
func (s *Session) ID() string { return s.config.ID }

// Done is closed when the session has ended and nothing of it runs.
func (s *Session) Done() <-chan struct{} { return s.done }

// Faults are the impairments of this session; what they leave out is as for all sessions.
func (s *Session) Faults() *Faults { return s.faults }

// Stats counts what happened so far.
func (s *Session) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Connected says whether a client's websocket is open.
func (s *Session) Connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client != nil
}

// Terminate ends the session as TerminateSession does.
func (s *Session) Terminate() { s.end(End{Reason: Terminated}) }

// Resumed counts as input for the idle timeout.
func (s *Session) Resumed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastInput = time.Now()
}

// end tells the client, and then takes everything down. Only the first call counts.
func (s *Session) end(e End) {
	s.mu.Lock()
	if s.ending {
		s.mu.Unlock()
		return
	}
	s.ending = true
	s.mu.Unlock()
	s.toClient.sendOwn(s.closedFrame(e.Output))
	s.service.ended(s, e)
}

// abandon takes the session down without a word to the client, and waits.
func (s *Session) abandon() {
	s.mu.Lock()
	first := !s.ending
	s.ending = true
	s.mu.Unlock()
	if !first {
		s.cancel()
		<-s.done
		return
	}
	s.teardown(End{Reason: Abandoned})
}

// linger waits until the client has heard the end, or had the time to.
func (s *Session) linger() {
	deadline := time.NewTimer(5 * time.Second)
	defer deadline.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for !s.toClient.idle() && s.Connected() {
		select {
		case <-deadline.C:
			return
		case <-s.ctx.Done():
			return
		case <-poll.C:
		}
	}
}

func (s *Session) teardown(e End) {
	s.cancel()
	s.toAgent.close()
	s.toClient.close()
	s.agent.stop()
	s.mu.Lock()
	client := s.client
	s.client, s.held = nil, nil
	for _, t := range s.cutTimers {
		t.Stop()
	}
	s.mu.Unlock()
	if client != nil {
		client.close(closeNormal, "")
	}
	s.tasks.Wait()
	if s.config.Ended != nil {
		s.config.Ended(e)
	}
	close(s.done)
}

func (s *Session) closedFrame(output string) []byte {
	named := newID()
	m := newMessage(channelClosed, payloadNone, jsonOf(closedPayload{
		MessageType: channelClosed, MessageID: named.String(), DestinationID: s.config.ID, SessionID: s.config.ID,
		SchemaVersion: 1, CreatedDate: time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), Output: output,
	}))
	m.id = named
	return m.encodeAsService()
}

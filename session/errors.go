package session

import (
	"errors"
	"fmt"
	"strings"
)

// What the session's calls and connections give.
var (
	// ErrNotResumable is what Service.Resume wraps to say that the session
	// is gone and asking again is pointless.
	ErrNotResumable = errors.New("session cannot be resumed")

	// ErrClosed is Port.Err after Port.Close, and what Dial gives then.
	ErrClosed = errors.New("session closed")

	// ErrPortRefused says that nothing accepts connections on the port of
	// the instance. The session lives on: dial again when the port is open.
	ErrPortRefused = errors.New("the agent could not connect to the port; is anything listening on it?")

	// ErrSlowReader is what a connection gives after its reader fell more
	// than Options.StreamBuffer behind.
	ErrSlowReader = errors.New("connection broken off because its reader was too far behind")
)

// Reason says why a session ended.
type Reason string

// The reasons. Those of the service and the agent come as text for people, so
// text that is not known becomes ReasonAgent.
const (
	ReasonTerminated   Reason = "terminated by an operator, TerminateSession or the agent"
	ReasonIdle         Reason = "timed out because it was idle"
	ReasonMaxDuration  Reason = "reached its maximum duration"
	ReasonPort         Reason = "agent is unable to connect to the port"
	ReasonDataChannel  Reason = "agent could not open its data channel"
	ReasonHandshake    Reason = "agent gave up the handshake"
	ReasonUnsupported  Reason = "agent does not support this kind of session; update it"
	ReasonAgentDied    Reason = "agent's session process died, as it does when the instance reboots"
	ReasonEncryption   Reason = "session encryption (KMS) could not be set up"
	ReasonAgent        Reason = "ended by the agent"
	ReasonExpired      Reason = "timed out, the service gives no more tokens for it"
	ReasonNotResumable Reason = "is gone and cannot be resumed"
	ReasonLost         Reason = "was lost"
	ReasonRefused      Reason = "is refused by the service"
	ReasonUnusable     Reason = "cannot carry connections"
	ReasonProtocol     Reason = "broke the protocol"
)

// EndedError says why a session ended other than by Port.Close. It is final:
// what is needed is a new session.
type EndedError struct {
	SessionID string
	Reason    Reason
	Output    string // the service's or agent's own words, may be empty
	Err       error  // the cause on this side, may be nil

	closed bool // channel_closed said so: nothing is left to terminate
}

// Error names the session, the reason and what was seen.
func (e *EndedError) Error() string {
	s := fmt.Sprintf("session %s %s", e.SessionID, e.Reason)
	if e.Output != "" {
		s += ": " + strings.TrimSpace(e.Output)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause on this side.
func (e *EndedError) Unwrap() error { return e.Err }

// outputs are pieces of what channel_closed carries, in lower case. The wire
// has no code for a reason, only these words.
var outputs = []struct {
	words  string
	reason Reason
}{
	{"inactivity", ReasonIdle},
	{"idle", ReasonIdle},
	{"session duration", ReasonMaxDuration},
	{"maximum duration", ReasonMaxDuration},
	{"max duration", ReasonMaxDuration},
	{"unable to connect to specified port", ReasonPort},
	{"setting up data channel", ReasonDataChannel},
	{"handshake", ReasonHandshake},
	{"not supported by this version", ReasonUnsupported},
	{"plugin with name", ReasonUnsupported},
	{"document worker timed out", ReasonAgentDied},
	{"document process failed", ReasonAgentDied},
	{"encryption", ReasonEncryption},
	{"terminated by", ReasonTerminated},
	{"has been terminated", ReasonAgent},
}

// reasonOf reads the words of channel_closed.
func reasonOf(output string) Reason {
	lower := strings.ToLower(output)
	for _, o := range outputs {
		if strings.Contains(lower, o.words) {
			return o.reason
		}
	}
	if strings.TrimSpace(output) == "" {
		return ReasonTerminated
	}
	return ReasonAgent
}

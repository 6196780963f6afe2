package session

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
)

// Grant is what StartSession and ResumeSession answer: the right to open the
// session's websocket once. Printed, logged or marshalled, it shows the session
// only, neither the token nor the URL. (Not so in an unexported field of
// another struct, where fmt does not ask: keep no Grant in one.)
type Grant struct {
	SessionID string
	StreamURL string // wss://..., kept byte for byte
	Token     string // secret, good for one open
}

// String names the session only.
func (g Grant) String() string { return "session " + g.SessionID }

// GoString is String: %#v shows no token either.
func (g Grant) GoString() string { return g.String() }

// Format prints String for every verb, %x and %q included.
func (g Grant) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(g.String())) }

// LogValue names the session only.
func (g Grant) LogValue() slog.Value { return slog.StringValue(g.SessionID) }

// MarshalJSON writes the session's id only.
func (g Grant) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		SessionID string `json:"SessionId"`
	}{g.SessionID})
}

// Service is the control API of Session Manager as the caller has it: with an
// AWS SDK, each field is a call of a few lines. The functions may be called
// from several goroutines and must end when their context does.
type Service struct {
	// Start starts a session with a document that multiplexes, such as
	// AWS-StartPortForwardingSession. Required. Retrying while the target is
	// not connected is the caller's business: it knows how long to wait.
	Start func(ctx context.Context) (Grant, error)

	// Resume asks for a new token after the websocket was lost. Required. It
	// gives an error that wraps ErrNotResumable when the service says that
	// the session does not exist (DoesNotExistException) or when asking again
	// is pointless; any other error is retried. An empty Token means that the
	// session has timed out. Credentials are looked up afresh on each call.
	Resume func(ctx context.Context, sessionID string) (Grant, error)

	// Terminate ends the session for good. Nil leaves that to the flag that
	// is sent to the agent, which is lost if the agent is.
	Terminate func(ctx context.Context, sessionID string) error

	// Sign signs the websocket's upgrade request (SigV4, service ssmmessages,
	// empty payload). It is not called for a URL that is signed already. Nil,
	// or an error such as missing credentials, opens the websocket unsigned,
	// which the service takes too: the token is what counts.
	Sign func(ctx context.Context, r *http.Request) error
}

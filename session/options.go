package session

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// The defaults of Options.
const (
	DefaultClientVersion    = "1.3.0.0"
	DefaultPayloadSize      = 1024
	DefaultRate             = 900
	DefaultMaxRate          = 970
	DefaultHandshakeTimeout = 30 * time.Second
	DefaultResumeTimeout    = 5 * time.Minute
	DefaultKeepAlive        = 30 * time.Second
	DefaultStreamBuffer     = 32 << 20
)

// MaxPayloadSize is the largest payload that is known to get through the
// service, in bytes.
const MaxPayloadSize = 1536

// Options tune a session. The zero value is right for almost everybody.
type Options struct {
	// ClientVersion is reported to the agent, which decides by it how to
	// speak: below 1.1.70 it does not multiplex, up to 1.2.331.0 it kills idle
	// connections. Four numbers; default 1.3.0.0.
	ClientVersion string

	// PayloadSize is how many bytes one message carries, at most 1536;
	// default 1024. The service limits messages, not bytes, so more is
	// faster, but only 1024 is what AWS's own client sends.
	PayloadSize int

	// Rate is how many data messages a second are sent at first; default 900.
	// The service pauses, then closes a session that keeps above 1000.
	Rate int

	// MaxRate is how far the rate may grow while all is calm; default 970, or
	// Rate when that is given.
	MaxRate int

	// HandshakeTimeout bounds the time from a started session to one that is
	// ready for Dial; default 30 s.
	HandshakeTimeout time.Duration

	// ResumeTimeout is how long a lost connection, or an agent that does not
	// answer, is put up with before the session is given up; default 5 min.
	ResumeTimeout time.Duration

	// KeepAlive is the interval at which an idle session sends an empty
	// multiplexer frame, so that the service's idle timeout (1 to 60 minutes)
	// does not end it and a dead agent is noticed; default 30 s, negative for
	// never. Agents up to 3.1.1511 get one every 10 s at least: they may end a
	// session that says nothing for 30.
	KeepAlive time.Duration

	// StreamBuffer is how many unread bytes one connection may hold; default
	// 32 MiB. The agent cannot be told to slow down, so a connection whose
	// reader falls further behind is broken off (ErrSlowReader) rather than
	// stalling the others or growing memory. What could not be read before,
	// because a message was lost that the agent has only now repeated, is held
	// beside that, up to 128 MiB.
	StreamBuffer int

	// HTTPClient makes the websocket's upgrade request; by default one that
	// takes its proxy from HTTPS_PROXY and NO_PROXY.
	HTTPClient *http.Client

	// Logger gets what happens to the session, at levels Debug to Warn; nil
	// for none. No token, signed URL or payload is ever logged.
	Logger *slog.Logger
}

// withDefaults gives a copy with the defaults filled in.
func (o Options) withDefaults() (Options, error) {
	o.MaxRate = cmp.Or(o.MaxRate, o.Rate, DefaultMaxRate)
	o.Rate = cmp.Or(o.Rate, min(DefaultRate, o.MaxRate))
	o.ClientVersion = cmp.Or(o.ClientVersion, DefaultClientVersion)
	o.PayloadSize = cmp.Or(o.PayloadSize, DefaultPayloadSize)
	o.HandshakeTimeout = cmp.Or(o.HandshakeTimeout, DefaultHandshakeTimeout)
	o.ResumeTimeout = cmp.Or(o.ResumeTimeout, DefaultResumeTimeout)
	o.KeepAlive = cmp.Or(o.KeepAlive, DefaultKeepAlive)
	o.StreamBuffer = cmp.Or(o.StreamBuffer, DefaultStreamBuffer)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.PayloadSize < 1 || o.PayloadSize > MaxPayloadSize:
		return o, fmt.Errorf("payload size %d is not between 1 and %d", o.PayloadSize, MaxPayloadSize)
	case o.Rate < 1 || o.MaxRate < o.Rate:
		return o, fmt.Errorf("rate %d to %d messages a second is not a range", o.Rate, o.MaxRate)
	case o.HandshakeTimeout < 0 || o.ResumeTimeout < 0 || o.StreamBuffer < 0:
		return o, fmt.Errorf("negative handshake timeout, resume timeout or stream buffer")
	}
	return o, nil
}

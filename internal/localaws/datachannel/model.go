package datachannel

import "time"

// A Model says how the service and the agents behave where AWS's behaviour depends on time, load or version. A running session
// keeps the model that it was opened with.
type Model struct {
	// MessagesPerSecond is how many stream data messages a session may carry in a second and direction. Twice as
	// many within 2 s, and 5 in 100 more, pause publication; going on regardless closes the channel. 0 is no limit.
	MessagesPerSecond int
	// MaxMessage is the largest websocket message that the service takes, in bytes; a larger one ends the
	// websocket with close code 1009. 0 means 142,000, the limit that the agent's control channel states.
	MaxMessage int64
	// CloseEvery is when the service closes websockets with 1000 "Bye": on AWS about every 60 minutes. 0 is never.
	CloseEvery time.Duration
	// IdleTimeout ends a session that had no input from the client for so long. 0 means 20 minutes.
	IdleTimeout time.Duration
	// MaxDuration ends a session whatever happens in it. 0 is never.
	MaxDuration time.Duration
	// TokenTTL is how long a token that was not used stays good. 0 means 1 minute.
	TokenTTL time.Duration

	// WorkerStart is how long the agent takes to start a session's worker, which then opens its data channel.
	WorkerStart time.Duration
	// CompleteDelay is how long after it has sent HandshakeComplete the agent takes note of that itself: data that
	// comes before is acknowledged and thrown away. On real agents it is a matter of microseconds. 0 is never too early.
	CompleteDelay time.Duration
	// ReadyDelay is how long after the handshake the agent's plugin begins to take data; what comes before is dropped
	// without an acknowledgement.
	ReadyDelay time.Duration
	// Pump makes the agent sleep 1 ms after each message of at most 1024 bytes, as the real one does. Without it
	// the messages are of the same size, and there is no pause.
	Pump bool
	// AckAfterComplete acknowledges the HandshakeResponse after HandshakeComplete was sent, as real agents may.
	AckAfterComplete bool
	// StartPublication sends start_publication, with a wrong length and digest, before anything else, as is often seen.
	StartPublication bool
	// AgentReconnect is how long the agent takes to come back when its websocket is cut. 0 means 200 ms.
	AgentReconnect time.Duration
	// AgentVersion is what the handshake reports, and what the agent behaves as: those up to 3.0.196 do not multiplex,
	// those before 3.0.655 lose data that comes before they are ready, those before 3.1.1446 end a session that is silent
	// for 30 s, those up to 3.1.1511 acknowledge no message twice. Empty means 3.3.987.0.
	AgentVersion string
}

// Realistic has the limits, delays and habits that were seen on AWS.
func Realistic() Model {
	return Model{
		MessagesPerSecond: 1000, CloseEvery: time.Hour, WorkerStart: 1200 * time.Millisecond,
		CompleteDelay: time.Millisecond, ReadyDelay: 50 * time.Millisecond, Pump: true, StartPublication: true, AgentReconnect: 3 * time.Second,
	}
}

func (m Model) withDefaults() Model {
	defaultTo(&m.MaxMessage, 142_000)
	defaultTo(&m.IdleTimeout, 20*time.Minute)
	defaultTo(&m.TokenTTL, time.Minute)
	defaultTo(&m.AgentReconnect, 200*time.Millisecond)
	defaultTo(&m.AgentVersion, "3.3.987.0")
	return m
}

func defaultTo[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

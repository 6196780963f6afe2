package session

import "context"

// pipe carries whole messages, one at a time in each direction. Close makes
// the other calls return; they may run at the same time as each other.
type pipe interface {
	Read(ctx context.Context) ([]byte, error) // the caller may keep the bytes
	Write(ctx context.Context, message []byte) error
	Close() error
}

// channel is an open websocket: a pipe that can be asked for a sign of life.
type channel interface {
	pipe
	Ping(ctx context.Context) error // returns when the other end has answered
}

// dialer opens the websocket that a grant is for, and sends the message that
// opens the data channel on it.
type dialer func(ctx context.Context, grant Grant) (channel, error)

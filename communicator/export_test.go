package communicator

import (
	"context"
	"net"
	"time"
)

// Port is what the tests put in the place of a session.
type Port interface {
	Dial(ctx context.Context) (net.Conn, error)
	Done() <-chan struct{}
	Err() error
	Close() error
	Reachable() bool
	Gap() int
}

// ConnectOver is Connect without Session Manager.
func ConnectOver(ctx context.Context, cfg Config,
	open func(context.Context, int) (Port, error),
	run func(context.Context, string) (string, error),
	online func(context.Context) error,
) (*Communicator, error) {
	return connectOver(ctx, links{run: run, online: online, alive: orContent(nil), open: func(ctx context.Context, number int) (port, error) {
		return open(ctx, number)
	}}, cfg)
}

// Name is what the daemon of the communicator is called on the instance.
func (c *Communicator) Name() string { return c.identity.name }

// BootstrapScripts makes the scripts of one build whose instance ends itself.
func BootstrapScripts(user string) (func(ttl time.Duration) string, error) {
	id, err := newIdentity()
	if err != nil {
		return nil, err
	}
	return func(ttl time.Duration) string { return id.bootstrap(user, ttl, anyPort()) }, nil
}

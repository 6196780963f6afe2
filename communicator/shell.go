package communicator

import (
	"context"
	"net"
	"slices"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	sdkssh "github.com/hashicorp/packer-plugin-sdk/sdk-internals/communicator/ssh"
)

// shell is the SDK's SSH communicator, which runs the commands. It is not made
// for several callers at once while it reconnects, so they take turns; a
// command that has started needs no turn.
type shell struct {
	turn  chan struct{}
	start func(context.Context, *packersdk.RemoteCmd) (*line, error)
}

// newShell logs in for commands.
func newShell(ctx context.Context, c *Communicator) (*shell, error) {
	// The hook is called within New and Start only, and has no context of
	// its own: it gets that of the call. It leaves behind what it used.
	calling, on := ctx, (*line)(nil)
	conf := *c.login
	conf.Auth = slices.Clone(conf.Auth) // the SDK appends to it
	sdk, err := sdkssh.New("instance", &sdkssh.Config{
		Connection: func() (conn net.Conn, err error) {
			on, conn, err = c.stream(calling)
			return conn, err
		},
		SSHConfig: &conf,
		Pty:       c.cfg.SSH.SSHPty,
		// The line has keepalives of its own, and tunnels that survive a
		// reconnect.
		KeepAliveInterval:      -1,
		DisableAgentForwarding: c.cfg.SSH.SSHDisableAgentForwarding,
		UseSftp:                true,
		Timeout:                c.cfg.SSH.SSHReadWriteTimeout,
	})
	if err != nil {
		return nil, err
	}
	return &shell{
		turn: make(chan struct{}, 1),
		start: func(ctx context.Context, cmd *packersdk.RemoteCmd) (*line, error) {
			calling = ctx
			err := sdk.Start(ctx, cmd)
			return on, err
		},
	}, nil
}

// stream is a new connection to the instance, on the living line or a new one.
func (c *Communicator) stream(ctx context.Context) (*line, net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.reconnectLimit())
	defer cancel()
	for {
		on, err := c.current(ctx)
		if err != nil {
			return nil, nil, err
		}
		conn, err := on.dial(ctx)
		if err == nil {
			return on, conn, nil
		}
		// The line may not know yet that its daemon is gone.
		on.fail(err)
		if wait(ctx, attemptPause) != nil {
			return nil, nil, err
		}
	}
}

// Start runs a command on the instance and returns when it has started; where
// the connection was lost, when it is back. The exit status is the command's
// own, or packersdk.CmdDisconnect when the connection was lost before it ended.
func (c *Communicator) Start(ctx context.Context, cmd *packersdk.RemoteCmd) error {
	ctx, done := c.untilClosed(ctx)
	defer done()
	select {
	case c.shell.turn <- struct{}{}:
		defer func() { <-c.shell.turn }()
	case <-ctx.Done():
		return c.because(ctx)
	}
	// What is found dead here is not yet a command that may have started.
	if _, err := c.answering(ctx); err != nil {
		return err
	}
	under := &packersdk.RemoteCmd{
		Command: cmd.Command, Stdin: cmd.Stdin, Stdout: cmd.Stdout, Stderr: cmd.Stderr,
	}
	on, err := c.shell.start(ctx, under)
	if err != nil {
		return err
	}
	if !c.owned.goes(func() { cmd.SetExited(verdict(under.Wait(), on)) }) {
		return errClosed
	}
	return nil
}

// A shutdown ends the command by a signal first and the connection a moment
// later. It is the connection that the user asked to lose (expect_disconnect).
const shutdownGrace = 3 * time.Second

func verdict(status int, on *line) int {
	const hup, kill, term = 128 + 1, 128 + 9, 128 + 15
	if status != hup && status != kill && status != term {
		return status
	}
	timer := time.NewTimer(shutdownGrace)
	defer timer.Stop()
	select {
	case <-on.dead:
		return packersdk.CmdDisconnect
	case <-timer.C:
		return status
	}
}

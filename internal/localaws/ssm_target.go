package localaws

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/datachannel"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

// sessionTarget is a machine as the agent's sessions use it.
type sessionTarget struct{ guest *machine.Machine }

// Dial connects to a port of the machine itself; there is no other network behind it.
func (t sessionTarget) Dial(ctx context.Context, host string, port int) (net.Conn, error) {
	switch {
	case t.guest == nil:
		return nil, fmt.Errorf("dial tcp 127.0.0.1:%d: connect: connection refused", port)
	case host != "localhost" && host != "127.0.0.1" && host != "::1":
		return nil, fmt.Errorf("dial tcp: lookup %s: no such host", host)
	}
	return t.guest.Dial(ctx, port)
}

// Exec runs a process on the machine.
func (t sessionTarget) Exec(ctx context.Context, c datachannel.Command) (int, error) {
	if t.guest == nil {
		return -1, machine.ErrDown
	}
	command := machine.Command{
		Path: c.Argv[0], Args: c.Argv[1:], Env: c.Env, Dir: c.Dir, User: c.User, Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr,
	}
	if c.Terminal == nil {
		return t.guest.Exec(ctx, command)
	}
	ctx, cancel := context.WithCancel(ctx)
	resize := make(chan [2]uint16)
	var pump sync.WaitGroup
	pump.Go(func() { resizes(ctx, c.Terminal.Resize, resize) })
	defer pump.Wait()
	defer cancel()
	command.Terminal = &machine.Terminal{
		Rows: uint16(c.Terminal.Rows), Cols: uint16(c.Terminal.Columns), Type: "xterm-256color", Resize: resize,
	}
	return t.guest.Exec(ctx, command)
}

// resizes passes a terminal's sizes on until ctx ends.
func resizes(ctx context.Context, from <-chan datachannel.Size, to chan<- [2]uint16) {
	for {
		select {
		case size := <-from:
			select {
			case to <- [2]uint16{uint16(size.Rows), uint16(size.Columns)}:
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

package communicator

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"

	helperssh "github.com/hashicorp/packer-plugin-sdk/communicator/ssh"
	sdkssh "github.com/hashicorp/packer-plugin-sdk/sdk-internals/communicator/ssh"
)

// openTunnels opens what ssh_local_tunnels ask for. Their listeners are kept
// through reconnects; each connection takes the line of its time. (The SDK's
// own tunnels never give up their ports, so they can't be opened again.)
func (c *Communicator) openTunnels() error {
	for _, argument := range c.cfg.SSH.SSHLocalTunnels {
		spec, err := helperssh.ParseTunnelArgument(argument, sdkssh.LocalTunnel)
		if err != nil {
			return fmt.Errorf("ssh_local_tunnels %q: %w", argument, err)
		}
		var lc net.ListenConfig
		listener, err := lc.Listen(context.Background(), spec.ListenType, spec.ListenAddr)
		if err != nil {
			return fmt.Errorf("ssh_local_tunnels %q: %w", argument, err)
		}
		c.owned.goes(func() {
			<-c.closing
			_ = listener.Close()
		})
		c.owned.goes(func() {
			accept(listener, func(near net.Conn) { c.owned.goes(func() { c.forward(near, spec) }) })
		})
	}
	return nil
}

// forward carries a connection of a local tunnel to where it leads, as seen
// from the instance.
func (c *Communicator) forward(near net.Conn, spec sdkssh.TunnelSpec) {
	on, release, err := c.bound()
	if err != nil {
		_ = near.Close()
		return
	}
	defer release()
	far, err := on.client.Dial(spec.ForwardType, spec.ForwardAddr)
	if err != nil {
		c.cfg.Logger.Warn("tunnel", "to", spec.ForwardAddr, "err", err)
		_ = near.Close()
		return
	}
	join(near, far, on.dead)
}

// bound is the living line, bound.
func (c *Communicator) bound() (on *line, release func(), err error) {
	if on, err = c.current(context.Background()); err == nil {
		release, err = on.bind()
	}
	return on, release, err
}

// listenRemotely opens what ssh_remote_tunnels ask for on a new line, with
// which they end.
func (c *Communicator) listenRemotely(on *line) error {
	for _, argument := range c.cfg.SSH.SSHRemoteTunnels {
		spec, err := helperssh.ParseTunnelArgument(argument, sdkssh.RemoteTunnel)
		if err != nil {
			return fmt.Errorf("ssh_remote_tunnels %q: %w", argument, err)
		}
		if err := on.listen(spec); err != nil {
			return fmt.Errorf("ssh_remote_tunnels %q: %w", argument, err)
		}
	}
	return nil
}

// listen has the instance listen, and carries what connects there to where the
// tunnel leads, as seen from here.
func (l *line) listen(spec sdkssh.TunnelSpec) error {
	listener, err := l.client.Listen(spec.ListenType, spec.ListenAddr)
	if err != nil {
		return err
	}
	l.owned.Go(func() {
		accept(listener, func(far net.Conn) {
			l.owned.Go(func() {
				release, err := l.bind()
				if err != nil {
					return // far has ended, too
				}
				defer release()
				near, err := sdkssh.ConnectFunc(spec.ForwardType, spec.ForwardAddr)()
				if err != nil {
					_ = far.Close()
					return
				}
				join(near, far, l.dead)
			})
		})
	})
	return nil
}

// accept hands out connections until the listener is closed.
func accept(listener net.Listener, handle func(net.Conn)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		handle(conn)
	}
}

// join carries bytes both ways and passes on the end of either direction. The
// end of the line ends both.
func join(near, far net.Conn, dead <-chan struct{}) {
	both := func() {
		_ = near.Close()
		_ = far.Close()
	}
	var carrying sync.WaitGroup
	finished := make(chan struct{})
	carrying.Go(func() {
		select {
		case <-dead:
			both()
		case <-finished:
		}
	})
	var ways sync.WaitGroup
	ways.Go(func() { carry(near, far, both) })
	ways.Go(func() { carry(far, near, both) })
	ways.Wait()
	close(finished)
	carrying.Wait()
	both()
}

func carry(to, from net.Conn, broken func()) {
	if _, err := io.Copy(to, from); err != nil {
		broken()
		return
	}
	endWrites(to)
}

func endWrites(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	_ = conn.Close()
}

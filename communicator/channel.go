package communicator

import (
	"context"
	"io"

	sdkssh "github.com/hashicorp/packer-plugin-sdk/sdk-internals/communicator/ssh"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// opened is the result of opening a channel for a command.
type opened struct {
	session *ssh.Session
	err     error
}

// channel gives a channel for one command. One is always opened ahead, so that
// a command costs one round trip and not two.
func (l *line) channel(ctx context.Context) (*ssh.Session, error) {
	ahead, err := l.takeAhead()
	if err != nil {
		return nil, err
	}
	if ahead != nil {
		select {
		case got := <-ahead:
			if got.err == nil {
				return got.session, nil
			}
		case <-ctx.Done():
			l.giveBack(ahead)
			return nil, ctx.Err()
		}
	}
	// The server may have had no room for it before.
	if err := l.openAhead(nil); err != nil {
		return nil, err
	}
	if ahead, err = l.takeAhead(); err != nil {
		return nil, err
	}
	select {
	case got := <-ahead:
		return got.session, got.err
	case <-ctx.Done():
		l.giveBack(ahead)
		return nil, ctx.Err()
	}
}

func (l *line) takeAhead() (chan opened, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ahead := l.ahead
	l.ahead = nil
	return ahead, l.err
}

func (l *line) giveBack(ahead chan opened) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ahead == nil {
		l.ahead = ahead
	}
}

// openAhead begins to open a channel, unless there is one, and prepares it.
func (l *line) openAhead(prepare func(*ssh.Session) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.ahead
	if l.err != nil || before != nil && prepare == nil {
		return l.err
	}
	ahead, client := make(chan opened, 1), l.client
	if l.commands != nil {
		client = l.commands
	}
	l.ahead = ahead
	l.owned.Go(func() {
		var got opened
		if before != nil {
			got = <-before
		} else {
			got.session, got.err = client.NewSession()
		}
		if got.err == nil && prepare != nil {
			got.err = prepare(got.session)
		}
		ahead <- got
	})
	return nil
}

// separate gives the commands an SSH connection of their own, as soon as there
// is one: what files have under way on the other does not hold them up. Until
// then, and without it, they share.
func (c *Communicator) separate(on *line) {
	ctx, cancel := context.WithTimeout(context.Background(), openLimit)
	defer cancel()
	conn, err := on.dial(ctx)
	if err != nil {
		return // so has the line, or will
	}
	conf := *c.login
	conf.HostKeyCallback = c.pinned.check
	client, err := handshake(ctx, conn, &conf)
	if err != nil {
		c.cfg.Logger.Debug("commands have no connection of their own", "reason", err)
		return
	}
	on.useForCommands(client)
	if err := on.openAhead(c.forwardAgent(on, client)); err == nil {
		_ = client.Wait()
	}
	on.useForCommands(nil)
	_ = client.Close()
}

// useForCommands has channels opened on another connection from now on, nil for
// that of the line.
func (l *line) useForCommands(client *ssh.Client) {
	l.mu.Lock()
	before := l.ahead
	l.commands, l.ahead = client, nil
	l.mu.Unlock()
	if before == nil {
		return
	}
	if got := <-before; got.err == nil {
		_ = got.session.Close()
	}
}

// forwardAgent lets commands use the SSH agent of this machine, if there is
// one, and returns what asks the server for it on the first channel.
func (c *Communicator) forwardAgent(on *line, client *ssh.Client) (ask func(*ssh.Session) error) {
	if c.cfg.SSH.SSHDisableAgentForwarding {
		return nil
	}
	conn, err := sdkssh.GetSSHAgentConnection()
	if err != nil {
		c.cfg.Logger.Debug("no SSH agent to forward", "reason", err)
		return nil
	}
	if err := agent.ForwardToAgent(client, agent.NewClient(conn)); err != nil {
		_ = conn.Close()
		return nil
	}
	on.owned.Go(func() { on.closeWith(conn) })
	return func(session *ssh.Session) error {
		if err := agent.RequestAgentForwarding(session); err != nil {
			c.cfg.Logger.Info("SSH agent is not forwarded", "reason", err)
		}
		return nil
	}
}

func (l *line) closeWith(other io.Closer) {
	<-l.dead
	_ = other.Close()
}

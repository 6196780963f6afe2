package communicator

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// advance is a way in that is made ready while Run Command is still about to
// start the daemon: a session to the port that the daemon is told to take and,
// as soon as something listens there, an SSH connection with a channel. That
// hides all round trips but the last behind the command's own time.
//
// Which server that is is known once the command has told the daemon's host
// key. Until then nothing goes to it but the name of the user, a public key and
// a signature that is good for this one connection.
type advance struct {
	port  int
	stop  context.CancelFunc
	up    chan struct{} // closed when the daemon is known to listen
	ended chan struct{} // closed when all is ready, or nothing will be; then:
	line  *line
	err   error

	key atomic.Pointer[ssh.PublicKey] // of the server there, unchecked
}

const (
	knockFirst = 30 * time.Millisecond // after a try at the port
	knockMost  = 400 * time.Millisecond
)

// anyPort is a port that the daemon may take: above those of root, below those
// that outgoing connections get.
func anyPort() int { return 10240 + rand.N(20000) }

// goAhead begins to make the way in ready. It is to be ended by arrive or by
// retreat.
func (c *Communicator) goAhead(ctx context.Context, number int) *advance {
	ctx, stop := context.WithTimeout(ctx, bootstrapLimit+openLimit)
	a := &advance{port: number, stop: stop, up: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		a.line, a.err = a.enter(ctx, c)
	}()
	return a
}

// enter opens the session and logs in.
func (a *advance) enter(ctx context.Context, c *Communicator) (*line, error) {
	p, err := c.links.open(ctx, a.port)
	if err != nil {
		return nil, fmt.Errorf("session to port %d: %w", a.port, err)
	}
	conf := *c.login
	conf.HostKeyCallback = func(_ string, _ net.Addr, key ssh.PublicKey) error {
		a.key.Store(&key)
		return nil
	}
	l := lineOn(early(p), c.cfg.patience)
	if err = a.knock(ctx, l, &conf, c.cfg.keepAlive()); err == nil {
		err = l.openAhead(nil)
	}
	if err != nil {
		l.discard(err)
		return nil, fmt.Errorf("port %d: %w", a.port, err)
	}
	return l, nil
}

// knock tries to log in until something listens on the port. Once the daemon is
// known to, one more try has to do.
func (a *advance) knock(ctx context.Context, l *line, conf *ssh.ClientConfig, every time.Duration) error {
	for pause := knockFirst; ; pause = min(pause*3/2, knockMost) {
		last := isDone(a.up)
		err := l.login(ctx, conf, every)
		if err == nil || last || a.key.Load() != nil || ctx.Err() != nil || isDone(l.port.Done()) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-a.up:
		case <-l.port.Done():
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// arrive gives the line once it is there. check is asked about the server's
// host key before anything is done with it.
func (a *advance) arrive(ctx context.Context, check ssh.HostKeyCallback) (*line, error) {
	close(a.up)
	select {
	case <-a.ended:
	case <-ctx.Done():
		a.stop()
		<-a.ended
	}
	defer a.stop()
	if a.err != nil {
		return nil, a.err
	}
	if err := check("instance", nil, *a.key.Load()); err != nil {
		a.line.discard(err)
		return nil, err
	}
	return a.line, nil
}

// retreat gives all of it up.
func (a *advance) retreat() {
	if a == nil {
		return
	}
	a.stop()
	<-a.ended
	if a.err == nil {
		a.line.discard(errIdle)
	}
}

// establish has the daemon started, or found, and logs in to it. What has
// failed before is not gone ahead of again.
func (c *Communicator) establish(ctx context.Context, failed bool) (*line, error) {
	var ahead *advance
	wish := anyPort()
	if !failed {
		ahead = c.goAhead(ctx, wish)
	}
	found, err := c.bootstrap(ctx, wish)
	if status, _ := exitStatus(err); c.line != nil && (status == exitDown || err == nil && found.boot != c.previous.boot) {
		c.line.markDown()
	}
	if err != nil {
		ahead.retreat()
		return nil, err
	}
	c.pinned.set(found.hostKey)
	c.suspect = found.boot == c.previous.boot && found.port != c.previous.port
	made, err := c.follow(ctx, ahead, found.port)
	if err != nil {
		return nil, err
	}
	c.daemon, c.previous = &found, found
	return made.to(&found), nil
}

// follow is the line made ahead where that leads to the daemon, otherwise a new
// one: the daemon may run already, or something else may have its port.
func (c *Communicator) follow(ctx context.Context, ahead *advance, number int) (*line, error) {
	if ahead == nil || ahead.port != number {
		ahead.retreat()
		return c.attach(ctx, openLimit, number)
	}
	limited, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	made, err := ahead.arrive(limited, c.pinned.check)
	switch {
	case err == nil:
		return made, c.equip(made) //nolint:contextcheck // what it starts ends with the line
	case hopeless(err) || ctx.Err() != nil:
		return nil, err
	}
	c.cfg.Logger.Debug("the way made ready ahead leads nowhere", "err", err)
	return c.attach(ctx, openLimit, number)
}

package communicator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/taccoform/packer-plugin-ssm/session"
)

// links is Link with the session as an interface, so that tests can stand in.
type links struct {
	open   func(ctx context.Context, port int) (port, error)
	run    func(ctx context.Context, script string) (string, error)
	online func(ctx context.Context) error
	alive  func(ctx context.Context) error
}

func (l Link) links() links {
	return links{
		run:    l.Run,
		online: orContent(l.Online),
		alive:  orContent(l.Alive),
		open: func(ctx context.Context, number int) (port, error) {
			p, err := l.OpenPort(ctx, number)
			if err != nil {
				return nil, err
			}
			return p, nil
		},
	}
}

// orContent is a question of a Link, or where that has none, one whose answer
// is always that all is well.
func orContent(question func(context.Context) error) func(context.Context) error {
	if question == nil {
		return func(context.Context) error { return nil }
	}
	return question
}

// answering is current, after it has answered where it was quiet for a moment:
// what is started on it then does not wait for the dead.
func (c *Communicator) answering(ctx context.Context) (*line, error) {
	for {
		on, err := c.current(ctx)
		if err != nil || on.answers(ctx) {
			return on, err
		}
		if ctx.Err() != nil {
			return nil, c.because(ctx)
		}
	}
}

// current is the living line; where there is none it makes one. One caller at
// a time makes it, the others wait for it.
func (c *Communicator) current(ctx context.Context) (*line, error) {
	ctx, done := c.untilClosed(ctx)
	defer done()
	if c.closed() {
		return nil, errClosed
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, c.because(ctx)
	}
	switch {
	case c.final != nil:
		return nil, c.final
	case c.line == nil:
		made, err := c.connect(ctx, c.cfg.connectLimit())
		c.line = made
		return made, err
	case c.line.alive():
		return c.line, nil
	}
	return c.again(ctx)
}

// again makes a line in the place of one that was lost. c.turn is held.
func (c *Communicator) again(ctx context.Context) (*line, error) {
	lost := c.line
	c.say(fmt.Sprintf("Lost the connection to the instance: %v. Connecting again...", lost.err))
	lost.wait()
	ctx, stop := c.whileAlive(ctx)
	defer stop()
	made, err := c.connect(ctx, c.cfg.reconnectLimit())
	if err != nil {
		return nil, err
	}
	c.line = made
	if made.boot != lost.boot {
		lost.markDown()
	} else if deliberate(lost.err) {
		return nil, c.giveUp(made, lost.err) //nolint:contextcheck // to be done whatever ctx says
	}
	c.say("Connected again")
	return made, nil
}

// deliberate tells that somebody has ended the session. That can also be the
// agent as the instance goes down, so it counts only if the instance stays up.
func deliberate(err error) bool {
	var ended *session.EndedError
	return errors.As(err, &ended) && ended.Reason == session.ReasonTerminated
}

// giveUp ends the commands under way and all that follows: an operator who has
// ended the session does not want the next one.
func (c *Communicator) giveUp(made *line, why error) error {
	c.final = fmt.Errorf("%w; the instance is up, so it was on purpose, and nothing more is done there", why)
	c.killJobs(made)
	made.fail(c.final)
	made.wait()
	return c.final
}

// connect tries until there is a line, until it is clear that there can't be
// one, or until the limit.
func (c *Communicator) connect(ctx context.Context, limit time.Duration) (*line, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSSHTimeout)
	defer cancel()
	start, rejected, broken := time.Now(), 0, 0
	for try := 0; ; try++ {
		made, err := c.attempt(ctx, try)
		if err == nil {
			err = c.prove(ctx, made)
		}
		if err == nil {
			return made, nil
		}
		c.cfg.Logger.Debug("connection attempt", "try", try, "err", err)
		var refusal *rejectedError
		if errors.As(err, &refusal) {
			rejected++
		}
		if status, ok := exitStatus(err); ok && status != exitLater && status != exitDown {
			broken++
		}
		switch {
		case hopeless(err), broken == scriptAttempts:
			return nil, fmt.Errorf("connect: %w", err)
		case rejected > 0 && rejected == c.cfg.SSH.SSHHandshakeAttempts:
			return nil, fmt.Errorf("connect: refused %d times (ssh_handshake_attempts): %w", rejected, err)
		}
		if wait(ctx, attemptPause) != nil {
			return nil, c.outOfTime(ctx, limit, time.Since(start), err)
		}
	}
}

// errSSHTimeout is why connecting has ended at its own limit. As with any cause of a
// context's end by time, its text is what the limit is called.
var errSSHTimeout = errors.New("ssh_timeout")

// outOfTime tells which limit it was: connecting's own, or the caller's, of which only the time that has passed is known.
func (c *Communicator) outOfTime(ctx context.Context, limit, after time.Duration, last error) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return c.because(ctx)
	}
	cause := context.Cause(ctx)
	if !errors.Is(cause, errSSHTimeout) {
		limit = after.Round(time.Second)
	}
	within := limit.String()
	if !errors.Is(cause, context.DeadlineExceeded) {
		within += fmt.Sprintf(" (%v)", cause)
	}
	return fmt.Errorf("connect: no SSH connection within %s; last: %w", within, last)
}

// attempt makes a line by the shortest way that may work.
func (c *Communicator) attempt(ctx context.Context, try int) (*line, error) {
	if c.daemon != nil {
		made, err := c.attach(ctx, quickLimit, c.daemon.port)
		c.suspect = c.line != nil && (c.line.hungUp() || deliberate(c.line.err))
		if err == nil {
			return made.to(c.daemon), nil
		}
		c.cfg.Logger.Debug("the daemon of before is out of reach", "err", err)
		c.daemon, try = nil, max(try, 1)
	}
	if try > 0 || c.line != nil {
		if err := c.links.online(ctx); err != nil {
			return nil, fmt.Errorf("waiting for the agent: %w", err)
		}
	}
	if c.cfg.OwnCredentials {
		return c.attach(ctx, openLimit, c.cfg.ownPort())
	}
	return c.establish(ctx, try > 1)
}

// prove watches a new line for a while where the instance has ended the one
// before, or its daemon, without having booted again since. Most often that is
// the beginning of a shutdown, and what is done now would be lost.
func (c *Communicator) prove(ctx context.Context, made *line) error {
	if !c.suspect {
		return nil
	}
	timer := time.NewTimer(provingTime)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-made.dead:
		made.wait()
		return fmt.Errorf("the instance is going down: %w", made.err)
	case <-ctx.Done():
		made.fail(ctx.Err())
		made.wait()
		return ctx.Err()
	}
}

// attach opens a session to a port of the instance and logs in through it.
func (c *Communicator) attach(ctx context.Context, limit time.Duration, number int) (*line, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	p, err := c.links.open(ctx, number)
	if err != nil {
		return nil, fmt.Errorf("session to port %d: %w", number, err)
	}
	var known atomic.Bool // the key exchange is behind us
	conf := *c.login
	conf.HostKeyCallback = func(host string, addr net.Addr, key ssh.PublicKey) error {
		err := c.pinned.check(host, addr, key)
		known.Store(err == nil)
		return err
	}
	made, err := newLine(ctx, early(p), &conf, c.cfg.keepAlive(), c.cfg.patience)
	if err == nil {
		return made, c.equip(made) //nolint:contextcheck // what it starts ends with the line
	}
	if known.Load() && ctx.Err() == nil && !errors.Is(err, io.EOF) {
		err = &rejectedError{user: c.cfg.User, err: err}
	}
	return nil, fmt.Errorf("port %d: %w", number, err)
}

// equip opens what has to be opened anew on each line.
func (c *Communicator) equip(made *line) error {
	err := c.listenRemotely(made)
	if err == nil {
		err = made.openAhead(c.forwardAgent(made, made.client))
	}
	if err != nil {
		made.fail(err)
		made.wait()
		return err
	}
	made.owned.Go(func() { c.separate(made) })
	return nil
}

// rejectedError is an SSH server that is the right one and won't let us in.
type rejectedError struct {
	user string
	err  error
}

func (e *rejectedError) Error() string { return fmt.Sprintf("log in as %s: %v", e.user, e.err) }
func (e *rejectedError) Unwrap() error { return e.err }

// hopeless tells that trying again can't help: the script refused for good, or
// the API did.
func hopeless(err error) bool {
	if errors.Is(err, ErrPermanent) {
		return true
	}
	if status, ok := exitStatus(err); ok {
		return status == exitNever
	}
	var changed *hostKeyError
	if errors.As(err, &changed) {
		return changed.first
	}
	var answer interface{ ErrorCode() string }
	if errors.As(err, &answer) {
		return hopelessCodes[answer.ErrorCode()]
	}
	var algorithms *ssh.AlgorithmNegotiationError // ssh_ciphers and ssh_key_exchange_algorithms stay what they are
	return errors.As(err, &algorithms)
}

// exitStatus is what a script exited with, if it did.
func exitStatus(err error) (status int, ok bool) {
	var exited interface{ ExitStatus() (int, bool) }
	if !errors.As(err, &exited) {
		return 0, false
	}
	return exited.ExitStatus()
}

// hopelessCodes are refusals of AWS that time does not mend.
var hopelessCodes = map[string]bool{
	"AccessDenied":                true,
	"AccessDeniedException":       true,
	"UnauthorizedOperation":       true,
	"UnrecognizedClientException": true,
	"InvalidClientTokenId":        true,
	"InvalidSignatureException":   true,
	"SignatureDoesNotMatch":       true,
	"ExpiredToken":                true,
	"ExpiredTokenException":       true,
	"OptInRequired":               true,
	"InvalidDocument":             true,
	"InvalidParameters":           true,
	"ValidationException":         true,
	"UnsupportedPlatformType":     true,
	"InvalidInstanceID.NotFound":  true,
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

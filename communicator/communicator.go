package communicator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"golang.org/x/crypto/ssh"
)

var _ packersdk.Communicator = (*Communicator)(nil)

// Communicator runs commands and moves files on the instance. It comes back by
// itself after a lost session and after a reboot. All methods may be called at
// the same time.
type Communicator struct {
	cfg       Config
	links     links
	identity  *identity
	pinned    pin
	login     *ssh.ClientConfig // never written to
	connected time.Time         // when Connect was called
	jobs      jobs

	closing      chan struct{} // closed by Disconnect
	closeOnce    sync.Once
	owned        lodge        // commands, tunnels and lanes under way
	lanes        []*lane      // for bulk data, open or not
	commands     atomic.Int64 // under way
	sftp         sftpClient   // on the last line that files went over
	litterMu     sync.Mutex
	littered     []string    // files on the instance that are not wanted, under litterMu
	bootstrapped atomic.Bool // the daemon may be running
	left         atomic.Bool // the daemon was stopped

	turn     chan struct{} // held by who looks at or makes:
	line     *line         // the last line, dead or alive
	daemon   *daemon       // what it leads to; nil when it has to be bootstrapped
	previous daemon        // the last one known, its boot above all
	suspect  bool          // the line just made may lead to an instance that is going down
	final    error         // why there won't be another line
}

// Connect makes the instance ready to log in to, and logs in. It returns once
// that is done, or when ctx or ssh_timeout ends, or at once when the instance or the API refuse
// for good. The cause of ctx's end by time, if it is given one, is told as what the limit is called.
func Connect(ctx context.Context, link Link, cfg Config) (*Communicator, error) {
	if err := link.check(); err != nil {
		return nil, err
	}
	return connectOver(ctx, link.links(), cfg)
}

func connectOver(ctx context.Context, over links, cfg Config) (*Communicator, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	id, err := newIdentity()
	if err != nil {
		return nil, err
	}
	c := &Communicator{
		cfg: cfg, links: over, identity: id, connected: time.Now(),
		pinned:  pin{own: cfg.OwnCredentials},
		closing: make(chan struct{}), turn: make(chan struct{}, 1),
	}
	if c.login, err = c.clientConfig(); err != nil {
		return nil, err
	}
	c.lanes = newLanes(c)
	if err := c.open(ctx); err != nil {
		c.Disconnect() //nolint:contextcheck // takes its own time, also when ctx has ended
		return nil, err
	}
	return c, nil
}

func (c *Communicator) open(ctx context.Context) error {
	if _, err := c.current(ctx); err != nil {
		return err
	}
	return c.openTunnels() //nolint:contextcheck // tunnels outlive the call and end with the communicator
}

// Leave ends the SSH connections and sessions, stops the private daemon and
// removes everything of it from the instance. The instance's timer stays
// armed. Nothing can be run afterwards.
func (c *Communicator) Leave(ctx context.Context) error {
	c.Disconnect() //nolint:contextcheck // takes its own time, also when ctx has ended
	sweep := c.sweep()
	if !c.bootstrapped.Load() && sweep == "" || c.left.Swap(true) {
		return nil
	}
	if _, err := c.links.run(ctx, c.identity.stop()+sweep); err != nil {
		c.left.Store(false)
		return fmt.Errorf("stop the private sshd: %w", err)
	}
	return nil
}

// Disconnect ends the SSH connections and sessions of this side and leaves the
// instance as it is, which is right for one that is about to be terminated.
// Commands under way are ended there too, and end as disconnected.
func (c *Communicator) Disconnect() {
	c.closeOnce.Do(func() { close(c.closing) })
	c.turn <- struct{}{} // whoever makes a line has seen closing
	defer func() { <-c.turn }()
	if c.line != nil {
		c.killJobs(c.line)
		c.line.fail(errClosed)
		c.line.wait()
	}
	c.owned.leave(partingLimit)
}

// Close is Leave within half a minute of its own. The error says that the
// daemon could not be stopped; this side is closed in any case.
func (c *Communicator) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), leaveLimit)
	defer cancel()
	return c.Leave(ctx)
}

// untilClosed is a context that also ends with the communicator.
func (c *Communicator) untilClosed(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-c.closing:
			cancel(errClosed)
		case <-done:
		case <-ctx.Done():
		}
	})
	var once sync.Once
	return ctx, func() {
		once.Do(func() { close(done) })
		watching.Wait()
		cancel(context.Canceled)
	}
}

func (c *Communicator) closed() bool {
	select {
	case <-c.closing:
		return true
	default:
		return false
	}
}

// because is why a context of untilClosed or whileAlive ended.
func (c *Communicator) because(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, errClosed) {
		return errClosed
	}
	if errors.As(cause, new(endedError)) {
		return cause
	}
	return ctx.Err()
}

func (c *Communicator) say(text string) {
	c.cfg.Logger.Info(text)
	if c.cfg.Say != nil {
		c.cfg.Say(text)
	}
}

// lodge counts goroutines that others' readers and writers may hold up, so
// that closing waits for them only so long.
type lodge struct {
	mu     sync.Mutex
	count  int
	closed bool
	empty  chan struct{} // closed when count falls to 0 after leave
}

// goes runs f in a goroutine unless leave was called.
func (l *lodge) goes(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.count++
	go func() {
		defer l.done()
		f()
	}()
	return true
}

func (l *lodge) done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count--
	if l.closed && l.count == 0 {
		close(l.empty)
	}
}

// leave waits until all have returned, at most for limit.
func (l *lodge) leave(limit time.Duration) {
	l.mu.Lock()
	if !l.closed {
		l.closed, l.empty = true, make(chan struct{})
		if l.count == 0 {
			close(l.empty)
		}
	}
	empty := l.empty
	l.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-empty:
	case <-timer.C:
	}
}

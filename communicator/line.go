package communicator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

var (
	errSilent = errors.New("the instance has not answered; it may be rebooting")
	errHungUp = errors.New("the instance closed the SSH connection")
	errClosed = errors.New("communicator closed")

	errRebooted = errors.New("the instance has rebooted")
)

// line is one living connection: a session, and on it an authenticated SSH
// connection for keepalives, files and tunnels. When any part of it is lost
// all streams end at once, so that nothing waits for an answer that can't come.
type line struct {
	port     port
	client   *ssh.Client
	patience time.Duration // how long the instance may be silent after a keepalive
	dead     chan struct{} // closed by fail, after err is set
	boot     string        // of the instance, as far as it is known; set by to
	jobs     bool          // commands can outlive the line; set by to
	down     chan struct{} // closed by markDown: what ran on the instance is over
	downOnce sync.Once

	heard atomic.Int64 // when the instance last sent anything on any stream, Unix nanoseconds

	mu      sync.Mutex
	err     error // under mu until dead is closed
	bound   int   // how much ends with the line that can't be picked up on another
	streams map[*stream]struct{}
	ahead   chan opened // the channel opened ahead, nil if there is none

	commands *ssh.Client // the connection of the commands, nil while that is client

	over  bool           // the session had ended by itself; to be read after wait
	owned sync.WaitGroup // watch, keepalives under way, closing streams
}

// stream is a connection to the instance that the line can cut.
type stream struct {
	net.Conn
	line *line
}

// Read is net.Conn's, and keeps the time. After its end nothing can be written.
func (s *stream) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if n > 0 {
		s.line.heard.Store(time.Now().UnixNano())
	}
	if err != nil {
		// Where the request for a channel can still be written after the end, the SSH library may wait for its answer for ever.
		_ = s.Conn.Close()
	}
	return n, err
}

// Close is net.Conn's.
func (s *stream) Close() error {
	s.line.mu.Lock()
	delete(s.line.streams, s)
	s.line.mu.Unlock()
	return s.Conn.Close()
}

// newLine logs in through a new stream of p and watches from then on. It owns
// p, also when it fails.
func newLine(ctx context.Context, p port, conf *ssh.ClientConfig, every, patience time.Duration) (*line, error) {
	l := lineOn(p, patience)
	if err := l.login(ctx, conf, every); err != nil {
		l.discard(err)
		return nil, err
	}
	return l, nil
}

// lineOn is a line that nobody has logged in on yet. It owns p.
func lineOn(p port, patience time.Duration) *line {
	return &line{
		port: p, patience: patience, dead: make(chan struct{}), down: make(chan struct{}), streams: map[*stream]struct{}{},
	}
}

// login logs in through a new stream and watches from then on. It may be tried
// again when it failed.
func (l *line) login(ctx context.Context, conf *ssh.ClientConfig, every time.Duration) error {
	conn, err := l.dial(ctx)
	if err != nil {
		return err
	}
	if l.client, err = handshake(ctx, conn, conf); err != nil {
		return err
	}
	l.owned.Go(func() { l.watch(every) })
	return nil
}

// discard ends a line that is not for use, and waits for that.
func (l *line) discard(why error) {
	l.fail(why)
	l.wait()
}

// handshake is ssh.NewClient with a context.
func handshake(ctx context.Context, conn net.Conn, conf *ssh.ClientConfig) (*ssh.Client, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	sshConn, channels, requests, err := ssh.NewClientConn(conn, "instance", conf)
	if err != nil {
		_ = conn.Close()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("ssh handshake: %w", ctx.Err())
		}
		return nil, err
	}
	return ssh.NewClient(sshConn, channels, requests), nil
}

// dial opens a stream to the daemon.
func (l *line) dial(ctx context.Context) (net.Conn, error) {
	conn, err := l.port.Dial(ctx)
	if err != nil {
		return nil, err
	}
	s := &stream{Conn: conn, line: l}
	l.mu.Lock()
	lost := l.err
	if lost == nil {
		l.streams[s] = struct{}{}
	}
	l.mu.Unlock()
	if lost != nil {
		_ = conn.Close()
		return nil, lost
	}
	return s, nil
}

func (l *line) alive() bool {
	select {
	case <-l.dead:
		return false
	default:
		return true
	}
}

// to says which daemon the line leads to. It is called before others have it.
func (l *line) to(d *daemon) *line {
	l.boot, l.jobs = d.boot, d.jobs
	return l
}

// markDown says that the instance that the line led to has gone down.
func (l *line) markDown() { l.downOnce.Do(func() { close(l.down) }) }

// lostSoon waits a moment for a line that something has failed on to be found
// dead, and tells whether it is.
func (l *line) lostSoon(ctx context.Context) bool {
	timer := time.NewTimer(lossGrace)
	defer timer.Stop()
	select {
	case <-l.dead:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// recent is how fresh a sign of life has to be to go without another. Who runs one command after the other has
// heard of the last one just now; no instance reboots so fast.
const recent = 100 * time.Millisecond

// answers tells whether the instance is there, by what it sent a moment ago or
// by asking it; the answer is no once the line is dead.
func (l *line) answers(ctx context.Context) bool {
	if l.alive() && time.Since(time.Unix(0, l.heard.Load())) < recent {
		return true
	}
	return l.replies(ctx)
}

// replies asks, and tells whether there was an answer before the line was dead.
func (l *line) replies(ctx context.Context) bool {
	select {
	case <-l.ping(time.Now()).answered:
		return true
	case <-l.dead:
	case <-ctx.Done():
	}
	return false
}

const sessionGrace = 200 * time.Millisecond

// fail cuts the line: every stream first, because what runs over them waits,
// then the session, which says goodbye to the service and may take a while.
func (l *line) fail(err error) { l.failWith(err, func() bool { return true }) }

// leave is fail for a line that would do, but slowly: not where something is bound to it.
func (l *line) leave(err error) { l.failWith(err, func() bool { return l.bound == 0 }) }

// failWith fails the line if may, which is asked with l.mu held, lets it.
func (l *line) failWith(err error, may func() bool) {
	l.mu.Lock()
	if l.err != nil || !may() {
		l.mu.Unlock()
		return
	}
	l.err = err
	cut := l.streams
	l.streams = nil
	l.owned.Go(func() { // before others may wait
		<-l.dead
		l.end(cut)
	})
	l.mu.Unlock()
	close(l.dead)
}

func (l *line) end(cut map[*stream]struct{}) {
	var closing sync.WaitGroup
	for s := range cut {
		closing.Go(func() { _ = s.Conn.Close() })
	}
	if errors.Is(l.err, errHungUp) {
		l.over = l.sessionOver()
	}
	// A session that is gone has nobody to tell.
	_ = l.port.Close()
	closing.Wait()
}

// sessionOver tells whether the session has ended too. Its streams may end a
// moment before it says so.
func (l *line) sessionOver() bool {
	timer := time.NewTimer(sessionGrace)
	defer timer.Stop()
	select {
	case <-l.port.Done():
		return true
	case <-timer.C:
		return false
	}
}

// hungUp tells that it was the instance that ended the line, not the session.
// It is to be asked after wait.
func (l *line) hungUp() bool { return errors.Is(l.err, errHungUp) && !l.over }

// goes runs f in a goroutine that wait waits for, unless the line is lost.
func (l *line) goes(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.owned.Go(f)
	}
}

// wait returns when nothing of the line is left; fail comes before.
func (l *line) wait() { l.owned.Wait() }

// bind keeps the line, as long as it lives at all, for something that ends with
// it, until release is called. It fails where the line is lost.
func (l *line) bind() (release func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, l.err
	}
	l.bound++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.bound--
	}, nil
}

// free tells whether nothing is bound to the line.
func (l *line) free() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bound == 0
}

func sessionEnd(p port) error {
	if err := p.Err(); err != nil {
		return err
	}
	return errors.New("the session ended")
}

//go:build linux

package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Exec runs a command and returns its exit status: 128 + n if it was ended by signal n. The error is not nil if the
// command could not be started, if the machine went down (ErrDown), or if ctx ended; the command's process group is killed then. Exec
// returns when the command has ended and what it wrote so far has been passed on: processes that it left behind in the background do
// not hold it. If Stdin is not an *os.File, one goroutine may stay in its Read until that returns.
func (m *Machine) Exec(ctx context.Context, c Command) (int, error) {
	r := m.current()
	if r == nil {
		return -1, ErrDown
	}
	status, err := r.exec(ctx, c)
	if err != nil {
		return -1, fmt.Errorf("exec on %s: %w", m.spec.ID, err)
	}
	return status, nil
}

func (r *running) exec(ctx context.Context, c Command) (int, error) {
	s := &stdio{}
	defer s.close()
	files, err := s.open(c)
	if err != nil {
		return -1, err
	}
	q := request{Op: opExec, Exec: &execRequest{Path: c.Path, Args: c.Args, Env: c.Env, Dir: c.Dir, User: c.User}}
	if c.Terminal != nil {
		q.Exec.Terminal, q.Exec.Rows, q.Exec.Cols = true, c.Terminal.Rows, c.Terminal.Cols
		q.Exec.Env = append([]string{"TERM=" + firstOf(c.Terminal.Type, "xterm-256color")}, c.Env...)
	}
	id, answers, done, err := r.ask(q, files...)
	s.handedOver()
	if err != nil {
		return -1, err
	}
	defer done()
	return r.follow(ctx, c, id, answers, s)
}

// follow sees the command through.
func (r *running) follow(ctx context.Context, c Command, id uint64, answers <-chan delivery, s *stdio) (int, error) {
	var resize <-chan [2]uint16
	cancelled := ctx.Done()
	for {
		select {
		case d, ok := <-answers:
			if !ok {
				return -1, ErrDown
			}
			if err := d.err(); err != nil {
				return -1, err
			}
			if d.Exited {
				return d.Status, errors.Join(s.drain(), context.Cause(ctx))
			}
			if c.Terminal == nil {
				s.start(c)
				continue
			}
			if err := s.startTerminal(c, d.files); err != nil {
				return -1, err
			}
			resize = c.Terminal.Resize
		case size, ok := <-resize:
			if !ok {
				resize = nil
				continue
			}
			r.resize(id, size)
		case <-cancelled:
			cancelled = nil // the answer comes when it is dead
			_ = r.child.talk.send(request{Op: opKill, Target: id})
		}
	}
}

func (r *running) resize(id uint64, size [2]uint16) {
	if size[0] > 0 && size[1] > 0 {
		_ = r.child.talk.send(request{Op: opResize, Target: id, Rows: size[0], Cols: size[1]}) // a machine that is gone has no terminal
	}
}

// stdio is our side of a command's files.
type stdio struct {
	theirs []*os.File // to be closed when the command has them
	ours   []*os.File
	pumps  []*pump
	copies sync.WaitGroup // pumps at work
}

// A pump copies what a command writes to a writer.
type pump struct {
	from *os.File
	to   io.Writer
	err  error
}

// open makes the three files for the command.
func (s *stdio) open(c Command) ([]*os.File, error) {
	if c.Terminal != nil {
		return nil, nil
	}
	in, err := s.input(c.Stdin)
	if err != nil {
		return nil, err
	}
	out, err := s.output(c.Stdout)
	if err != nil {
		return nil, err
	}
	if same(c.Stdout, c.Stderr) {
		return []*os.File{in, out, out}, nil
	}
	errOut, err := s.output(c.Stderr)
	return []*os.File{in, out, errOut}, err
}

func same(a, b io.Writer) bool {
	return a != nil && b != nil && reflect.TypeOf(a).Comparable() && a == b
}

func (s *stdio) input(r io.Reader) (*os.File, error) {
	if f, ok := r.(*os.File); ok {
		return f, nil
	}
	if r == nil {
		return s.null(os.O_RDONLY)
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.theirs, s.ours = append(s.theirs, theirs), append(s.ours, ours)
	return theirs, nil
}

func (s *stdio) output(w io.Writer) (*os.File, error) {
	if f, ok := w.(*os.File); ok {
		return f, nil
	}
	if w == nil {
		return s.null(os.O_WRONLY)
	}
	ours, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.theirs, s.ours = append(s.theirs, theirs), append(s.ours, ours)
	s.pumps = append(s.pumps, &pump{from: ours, to: w})
	return theirs, nil
}

func (s *stdio) null(mode int) (*os.File, error) {
	f, err := os.OpenFile(os.DevNull, mode, 0)
	if err == nil {
		s.theirs = append(s.theirs, f)
	}
	return f, err
}

// handedOver closes what the command has now: a pipe ends when its last writer has closed it.
func (s *stdio) handedOver() {
	closeAll(s.theirs...)
	s.theirs = nil
}

// start starts to copy.
func (s *stdio) start(c Command) {
	for _, p := range s.pumps {
		s.copies.Go(p.run)
	}
	if _, isFile := c.Stdin.(*os.File); c.Stdin == nil || isFile {
		return
	}
	feed(s.ours[0], c.Stdin) // the first that open made
}

// feed copies r to the command, until either is at its end.
func feed(to *os.File, r io.Reader) {
	go func() { // see Exec for how long it lives
		_, _ = io.Copy(to, r) // the command need not read it all
		_ = to.Close()
	}()
}

// startTerminal copies from and to the terminal that came with the command's start.
func (s *stdio) startTerminal(c Command, files []*os.File) error {
	s.ours = append(s.ours, files...)
	if len(files) != 1 {
		return errors.New("process 1 sent no terminal")
	}
	fd, err := unix.FcntlInt(files[0].Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(unix.SetNonblock(fd, true), files[0].Close()); err != nil {
		return err
	}
	master := os.NewFile(uintptr(fd), "terminal") // non-blocking, so that it can be closed while it is read
	s.ours = []*os.File{master}
	out := c.Stdout
	if out == nil {
		out = io.Discard
	}
	p := &pump{from: master, to: out}
	s.pumps = append(s.pumps, p)
	s.copies.Go(p.run)
	if c.Stdin != nil {
		go func() { // see Exec for how long it lives
			_, _ = io.Copy(master, c.Stdin)
		}()
	}
	return nil
}

func (p *pump) run() {
	_, p.err = io.Copy(p.to, onlyReader{p.from})
	switch {
	case errors.Is(p.err, os.ErrDeadlineExceeded):
		p.err = p.rest()
	case errors.Is(p.err, syscall.EIO): // a terminal that nobody has open any more
		p.err = nil
	}
	if p.err != nil {
		_ = p.from.Close() // the command gets SIGPIPE
	}
}

// onlyReader keeps io.Copy from splicing, which does not report the writer's errors as such.
type onlyReader struct{ io.Reader }

// rest passes on what is in the pipe now, without waiting for more.
func (p *pump) rest() error {
	if err := p.from.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	raw, err := p.from.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		n, readErr := 0, error(nil)
		if err := raw.Read(func(fd uintptr) bool {
			n, readErr = unix.Read(int(fd), buf)
			return true
		}); err != nil {
			return err
		}
		if n <= 0 || readErr != nil {
			return nil // at its end, or empty
		}
		if _, err := p.to.Write(buf[:n]); err != nil {
			return err
		}
	}
}

// drain waits until everything that the command has written is passed on.
func (s *stdio) drain() error {
	for _, p := range s.pumps {
		_ = p.from.SetReadDeadline(time.Now()) // fails only if it is closed, and so at its end
	}
	s.copies.Wait()
	var all []error
	for _, p := range s.pumps {
		all = append(all, p.err)
	}
	return errors.Join(all...)
}

func (s *stdio) close() {
	closeAll(s.theirs...)
	closeAll(s.ours...)
	s.copies.Wait()
}

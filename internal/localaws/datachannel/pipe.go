package datachannel

import (
	"io"
	"sync"
)

// pipeBuffer is what Linux buffers by default on a unix socket, which is what lies between the agent's
// data channel and its smux server.
const pipeBuffer = 208 << 10

// A bufferedPipe is one direction of a socket in memory: writes are taken until the buffer is full, reads get what is there,
// whatever the sizes of the writes were.
type bufferedPipe struct {
	mu     sync.Mutex
	change sync.Cond
	data   []byte
	closed bool
}

func newBufferedPipe() *bufferedPipe {
	p := &bufferedPipe{}
	p.change.L = &p.mu
	return p
}

func (p *bufferedPipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.data) == 0 {
		if p.closed {
			return 0, io.EOF
		}
		p.change.Wait()
	}
	n := copy(b, p.data)
	p.data = p.data[n:]
	p.change.Broadcast()
	return n, nil
}

func (p *bufferedPipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	written := 0
	for written < len(b) {
		for len(p.data) >= pipeBuffer && !p.closed {
			p.change.Wait()
		}
		if p.closed {
			return written, io.ErrClosedPipe
		}
		n := min(len(b)-written, pipeBuffer-len(p.data))
		p.data = append(p.data, b[written:written+n]...)
		written += n
		p.change.Broadcast()
	}
	return written, nil
}

func (p *bufferedPipe) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.change.Broadcast()
	return nil
}

// A socket is one end of two pipes.
type socket struct {
	in, out *bufferedPipe
}

func socketPair() (a, b *socket) {
	x, y := newBufferedPipe(), newBufferedPipe()
	return &socket{x, y}, &socket{y, x}
}

func (s *socket) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s *socket) Write(b []byte) (int, error) { return s.out.Write(b) }

func (s *socket) Close() error {
	return firstError(s.in.Close(), s.out.Close())
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

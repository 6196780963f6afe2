package session

import (
	"encoding/binary"
	"io"
	"sync"

	"github.com/taccoform/packer-plugin-ssm/session/internal/agentmsg"
)

// server is a double of the agent's smux server, for fake time (the library's
// has global pools, which bubbles of fake time do not take). Each stream is
// served by serve; refuse says that the port is closed.
type server struct {
	agent  *agent
	serve  func(*target)
	refuse bool

	in      []byte
	targets map[uint32]*target
	opened  int
}

func newServer(a *agent, serve func(*target)) *server {
	s := &server{agent: a, serve: serve, targets: make(map[uint32]*target)}
	a.sink = s.feed
	return s
}

// target is one TCP connection of the agent's to the port.
type target struct {
	server *server
	id     uint32
	mu     sync.Mutex
	cond   *sync.Cond
	in     []byte
	eof    bool
}

func header(command byte, id uint32, length int) []byte {
	h := []byte{1, command}
	h = binary.LittleEndian.AppendUint16(h, uint16(length))
	return binary.LittleEndian.AppendUint32(h, id)
}

// feed is called with the agent's lock held.
func (s *server) feed(b []byte) {
	s.in = append(s.in, b...)
	for len(s.in) >= 8 {
		n := int(binary.LittleEndian.Uint16(s.in[2:]))
		if len(s.in) < 8+n {
			return
		}
		if s.in[0] != 1 {
			panic("smux version")
		}
		s.frame(s.in[1], binary.LittleEndian.Uint32(s.in[4:]), s.in[8:8+n])
		s.in = s.in[8+n:]
	}
}

func (s *server) frame(command byte, id uint32, data []byte) {
	t := s.targets[id]
	switch {
	case command == 0 && s.refuse:
		s.agent.send(agentmsg.Flag, agentmsg.ConnectToPortError.Encode())
		s.agent.put(header(1, id, 0))
	case command == 0:
		t = &target{server: s, id: id}
		t.cond = sync.NewCond(&t.mu)
		s.targets[id] = t
		s.opened++
		s.agent.working.Go(func() {
			s.serve(t)
			s.agent.write(header(1, id, 0))
		})
	case t != nil && command == 1:
		delete(s.targets, id)
		t.push(nil, true)
	case t != nil && command == 2:
		t.push(data, false)
	}
}

// hangUp ends all reads, as the end of the agent does.
func (s *server) hangUp() {
	s.agent.mu.Lock()
	defer s.agent.mu.Unlock()
	for _, t := range s.targets {
		t.push(nil, true)
	}
}

func (t *target) push(b []byte, eof bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.in = append(t.in, b...)
	t.eof = t.eof || eof
	t.cond.Broadcast()
}

func (t *target) Read(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.in) == 0 && !t.eof {
		t.cond.Wait()
	}
	if len(t.in) == 0 {
		return 0, io.EOF
	}
	n := copy(b, t.in)
	t.in = t.in[n:]
	return n, nil
}

func (t *target) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n := min(len(rest), 4096)
		t.server.agent.write(append(header(2, t.id, n), rest[:n]...))
		rest = rest[n:]
	}
	return len(b), nil
}

func echo(t *target) { _, _ = io.Copy(t, t) }

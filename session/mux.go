package session

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A smux frame, version 1: version u8, command u8, length u16, stream id u32
// (little-endian), then length bytes of data.
const (
	muxVersion = 1
	muxHeader  = 8

	muxSYN = 0 // opens a stream; the agent dials the port
	muxFIN = 1 // closes a stream both ways: there is no half-close
	muxPSH = 2 // data
	muxNOP = 3 // nothing, with stream id 0

	// muxFrame is the most data one frame of ours carries. It bounds how long
	// one connection waits for another: 8 messages of 1024 bytes.
	muxFrame = 8 << 10

	// silentFor is how long after a FIN a refusal may still be meant for it.
	silentFor = time.Second
)

// mux is the client's end of a smux session: it turns the bytes that
// connections write into frames when the sender has room for them, and hands
// the frames that come in to their connections. It never blocks, starts no
// goroutine, and keeps its memory bounded: per connection outLimit bytes that
// wait to be sent and inLimit bytes that wait to be read.
type mux struct {
	session string // its id, for addresses
	inLimit int
	wake    func() // tells the sender that fill has something

	mu      sync.Mutex
	err     error // why everything ended, nil while it lives
	nextID  uint32
	conns   map[uint32]*conn
	ready   []*conn // those with something to send, next one first
	nop     bool    // an empty frame is due
	offered uint64  // bytes framed since the start
	acked   uint64  // bytes of those that the agent has acknowledged

	unproven []*conn // opened, and nothing has come back yet, oldest first
	refusals int     // ConnectToPortErrors that fit several of unproven
	silent   *conn   // the last one that ended without a byte or a refusal
	silentAt time.Time

	head []byte // rest of the header that is being sent
	cur  *conn  // whose data is being sent
	left int    // bytes of it to go in this frame

	inHead []byte // part of the header that has come in
	inCur  *conn  // whose data is coming in, nil to throw it away
	inLeft int    // bytes of it to go in this frame
	burst  int    // bytes that have come in at once, after those that they had waited for
}

func newMux(session string, inLimit int, wake func()) *mux {
	return &mux{session: session, inLimit: inLimit, wake: wake, nextID: 1, conns: make(map[uint32]*conn)}
}

// open makes a connection and queues its SYN ahead of all data.
func (m *mux) open() (*conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, m.err
	}
	m.nextID += 2
	c := newConn(m, m.nextID)
	m.conns[c.id] = c
	m.unproven = append(m.unproven, c)
	c.queued = true
	m.ready = slices.Insert(m.ready, m.opening(), c)
	m.wake()
	return c, nil
}

// opening is how many of ready are still to be opened: they come first, in
// their order.
func (m *mux) opening() int {
	if i := slices.IndexFunc(m.ready, func(c *conn) bool { return c.synSent }); i >= 0 {
		return i
	}
	return len(m.ready)
}

// keepAlive queues an empty frame.
func (m *mux) keepAlive() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nop = true
	m.wake()
}

// enqueue puts c in the line of those with something to send. m.mu is held.
func (m *mux) enqueue(c *conn) {
	if !c.queued {
		c.queued = true
		m.ready = append(m.ready, c)
	}
	m.wake()
}

// pending says whether fill has something.
func (m *mux) pending() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.ready) > 0 || len(m.head) > 0 || m.left > 0 || m.nop
}

// fill packs as much as there is into b and says how much, and up to which
// byte of the whole that is: the argument of a later acknowledged.
func (m *mux) fill(b []byte) (n int, end uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n < len(b) {
		switch {
		case len(m.head) > 0:
			k := copy(b[n:], m.head)
			m.head, n = m.head[k:], n+k
		case m.left > 0:
			k := m.cur.out.pop(b[n:min(len(b), n+m.left)])
			m.left, n = m.left-k, n+k
			signal(m.cur.writable)
		case !m.nextFrame():
			return n, m.offered
		}
	}
	return n, m.offered - uint64(len(m.head)+m.left)
}

// nextFrame begins the next frame, connection by connection in turn.
func (m *mux) nextFrame() bool {
	if m.nop {
		m.nop = false
		m.begin(muxNOP, 0, 0)
		return true
	}
	for len(m.ready) > 0 {
		c := m.ready[0]
		m.ready = slices.Delete(m.ready, 0, 1)
		c.queued = false
		if m.frameOf(c) {
			return true
		}
	}
	return false
}

// frameOf begins c's next frame and puts c back in line if there is more.
func (m *mux) frameOf(c *conn) bool {
	switch {
	case !c.synSent:
		c.synSent = true
		m.begin(muxSYN, c.id, 0)
		c.synEnd = m.offered
		if c.out.len() > 0 || c.finDue {
			c.queued = true
			m.ready = slices.Insert(m.ready, 0, c)
		}
	case c.out.len() > 0:
		m.cur, m.left = c, min(c.out.len(), muxFrame)
		m.begin(muxPSH, c.id, m.left)
		if c.out.len() > m.left || c.finDue {
			c.queued = true
			m.ready = append(m.ready, c)
		}
	case c.finDue && !c.finSent:
		c.finSent = true
		m.begin(muxFIN, c.id, 0)
	default:
		return false
	}
	return true
}

func (m *mux) begin(command byte, id uint32, length int) {
	h := make([]byte, muxHeader)
	h[0], h[1] = muxVersion, command
	binary.LittleEndian.PutUint16(h[2:], uint16(length))
	binary.LittleEndian.PutUint32(h[4:], id)
	m.head = h
	m.offered += uint64(muxHeader + length)
}

// acknowledged says that the agent has taken the first end bytes of the whole.
func (m *mux) acknowledged(end uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acked = end
	for _, c := range m.unproven {
		if c.synSent && c.synEnd <= end {
			c.taken()
		}
	}
}

// feed takes the next bytes from the agent, which may have waited for those
// before them. It copies what it keeps.
func (m *mux) feed(b []byte, waited bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !waited {
		m.burst = 0
	} else {
		m.burst += len(b)
	}
	for len(b) > 0 {
		if m.inLeft > 0 {
			k := min(m.inLeft, len(b))
			if m.inCur != nil {
				m.inCur.receive(b[:k])
			}
			m.inLeft, b = m.inLeft-k, b[k:]
			continue
		}
		k := min(muxHeader-len(m.inHead), len(b))
		m.inHead, b = append(m.inHead, b[:k]...), b[k:]
		if len(m.inHead) < muxHeader {
			return nil
		}
		if err := m.frame(m.inHead); err != nil {
			return err
		}
		m.inHead = m.inHead[:0]
	}
	return nil
}

// frame looks at the header of a frame from the agent.
func (m *mux) frame(h []byte) error {
	length := int(binary.LittleEndian.Uint16(h[2:]))
	id := binary.LittleEndian.Uint32(h[4:])
	if h[0] != muxVersion {
		return fmt.Errorf("multiplexer frame of version %d", h[0])
	}
	switch h[1] {
	case muxPSH:
		m.inCur, m.inLeft = m.conns[id], length
		return nil
	case muxFIN:
		m.finished(id)
	case muxSYN, muxNOP: // the agent opens no streams; its NOPs need no answer
	default:
		return fmt.Errorf("multiplexer frame with command %d", h[1])
	}
	if length != 0 {
		return fmt.Errorf("multiplexer frame with command %d and %d bytes", h[1], length)
	}
	return nil
}

// finished handles a FIN: nothing more comes for id, nor is read there.
func (m *mux) finished(id uint32) {
	i := slices.IndexFunc(m.unproven, func(c *conn) bool { return c.id == id })
	if i >= 0 && m.refusals > 0 {
		m.refusals--
		m.unproven[i].refuse()
	} else if i >= 0 {
		m.silent, m.silentAt = m.unproven[i], time.Now()
		m.prove(m.silent)
	}
	if c := m.conns[id]; c != nil {
		c.finish()
	}
}

// refused handles a ConnectToPortError, which names no stream. It means the
// only connection that nothing has come back for; if there are several, the
// one whose FIN follows, because the agent dials one at a time and closes the
// stream right after the flag. Should the FIN have come first, it means that.
func (m *mux) refused() {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.silent != nil && time.Since(m.silentAt) < silentFor:
		m.silent.refuse()
		m.silent = nil
	case len(m.unproven) == 1:
		m.unproven[0].refuse()
	case m.refusals < len(m.unproven):
		m.refusals++
	}
}

// prove takes c off the list of those that nothing has come back for.
func (m *mux) prove(c *conn) {
	if i := slices.Index(m.unproven, c); i >= 0 {
		m.unproven = slices.Delete(m.unproven, i, i+1)
		m.refusals = min(m.refusals, len(m.unproven))
	}
	c.decide(nil)
}

// fail ends the mux and its open connections, and gives the error they end
// with: the first one counts. What closed ones still have to send stays.
func (m *mux) fail(err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.err = err
	}
	for _, c := range m.conns {
		c.fail(m.err)
	}
	return m.err
}

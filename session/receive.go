package session

import (
	"time"

	"github.com/taccoform/packer-plugin-ssm/session/internal/agentmsg"
)

const (
	// earlyLimit bounds what is kept of messages that came before their turn,
	// in bytes. It holds everything that an agent remembers for resending
	// (100,000 messages of 1 KiB): after a gap the agent goes on at full speed
	// but fills the gap at ten messages a second.
	earlyLimit = 128 << 20

	earlyOverhead = 256 // what a kept message takes beside its payload

	recentSize = 2048                   // how many of the last acknowledgements are remembered
	againFew   = 64                     // how many are repeated with that of a repeated message
	againAfter = 150 * time.Millisecond // a repeat so late is the agent's, a sooner one the network's
	againSpan  = 10 * time.Second       // how far back acknowledgements are repeated after an outage

	gapMost = 10_000 // messages that are counted in a gap
)

// receipt is an acknowledgement that was given.
type receipt struct {
	number int64
	id     agentmsg.UUID
	at     time.Time // of the first
}

// receiver puts what comes from the agent in order. It only decides; whoever
// owns it keeps the lock.
type receiver struct {
	want  int64 // number of the message whose turn it is
	early map[int64]agentmsg.Message
	size  int // of early, in bytes

	recent []receipt // of number n at n mod recentSize
}

// accept takes in a message, and says which are to be handled now, in order,
// and whether it is to be acknowledged. Repeated messages are acknowledged
// again: the agent repeats the oldest for ever otherwise.
func (r *receiver) accept(m agentmsg.Message) (turn []agentmsg.Message, ack bool) {
	switch {
	case m.Sequence < 0:
		return nil, false
	case m.Sequence < r.want:
		return nil, true
	case m.Sequence > r.want:
		return nil, r.keep(m)
	}
	turn = append(turn, m)
	for r.want++; len(r.early) > 0; r.want++ {
		m, ok := r.early[r.want]
		if !ok {
			break
		}
		delete(r.early, r.want)
		r.size -= len(m.Payload) + earlyOverhead
		turn = append(turn, m)
	}
	return turn, true
}

// keep stores a message for later, if it is there or there is room.
func (r *receiver) keep(m agentmsg.Message) bool {
	if _, ok := r.early[m.Sequence]; ok {
		return true
	}
	if r.size+len(m.Payload)+earlyOverhead > earlyLimit {
		return false
	}
	if r.early == nil {
		r.early = make(map[int64]agentmsg.Message)
	}
	r.early[m.Sequence] = m
	r.size += len(m.Payload) + earlyOverhead
	return true
}

// gap is how many messages in a row are missing in front of those that came
// early, gapMost at most.
func (r *receiver) gap() int {
	if len(r.early) == 0 {
		return 0
	}
	for n := range gapMost {
		if _, ok := r.early[r.want+int64(n)]; ok {
			return n
		}
	}
	return gapMost
}

// follow gives the acknowledgements to repeat when m was accepted. If the
// agent repeats a message, its acknowledgement was lost, and likely those of
// the next ones too: the agent would repeat them one by one, ten a second.
func (r *receiver) follow(m *agentmsg.Message, now time.Time) []agentmsg.Acknowledge {
	if r.recent == nil {
		r.recent = make([]receipt, recentSize)
	}
	slot := &r.recent[m.Sequence%recentSize]
	if slot.id != m.ID || slot.number != m.Sequence {
		*slot = receipt{m.Sequence, m.ID, now}
		return nil
	}
	if now.Sub(slot.at) < againAfter {
		return nil
	}
	var acks []agentmsg.Acknowledge
	for n := m.Sequence + 1; n <= m.Sequence+againFew; n++ {
		if next := r.recent[n%recentSize]; next.number == n && now.Sub(next.at) >= againAfter {
			acks = append(acks, acknowledgeOf(n, next.id))
		}
	}
	return acks
}

// again gives the acknowledgements of the last seconds once more: after an
// outage nobody knows which of them have arrived.
func (r *receiver) again(now time.Time) []agentmsg.Acknowledge {
	var acks []agentmsg.Acknowledge
	for _, old := range r.recent {
		if !old.at.IsZero() && now.Sub(old.at) < againSpan {
			acks = append(acks, acknowledgeOf(old.number, old.id))
		}
	}
	return acks
}

func acknowledgeOf(number int64, id agentmsg.UUID) agentmsg.Acknowledge {
	return agentmsg.AcknowledgeOf(&agentmsg.Message{Type: agentmsg.TypeOutput, Sequence: number, ID: id})
}

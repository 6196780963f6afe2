package session

import (
	"time"

	"github.com/taccoform/packer-plugin-ssm/session/internal/agentmsg"
)

// The agent throws away data that comes after HandshakeComplete was sent and
// before it has taken note of that itself, which is a matter of microseconds
// on an idle machine. A round trip is usually time enough.
const (
	openGrace = 5 * time.Millisecond  // the least to wait
	openLeast = 20 * time.Millisecond // the least from HandshakeComplete to the first data, both ways included
)

// Most agents acknowledge a message again when it comes again. Old ones don't:
// an acknowledgement that got lost, as those on the way do when a websocket
// breaks, never comes. What was sent again and again, and passed each time by
// a later message that the agent has acknowledged, must have arrived: messages
// don't overtake each other on a websocket.
const (
	overduePlenty = 12 // that many times, if some of the sends may have got lost as well
	overdueFew    = 3  // from an agent that is known to be so
	probeAfter    = 3  // sends of the oldest message, after which a probe is to pass it
	probesMost    = 8  // without an acknowledgement of anything
)

// probe is a terminal's size, which a port session takes, acknowledges and
// ignores.
var probe = []byte(`{"cols":80,"rows":24}`)

// open lets data go, to an agent of version v that has completed the
// handshake.
func (s *sender) open(now time.Time, v version) {
	trip := s.rtt.smooth
	for _, o := range s.flight { // the response, whose acknowledgement may be late or lost
		if o.frame != nil {
			trip = now.Sub(o.sentAt)
			s.settle(o)
		}
	}
	s.everything()
	s.rtt.backoff = 0
	s.openAt = now.Add(max(openGrace, openLeast-trip))
	if !v.after(lastHasty) {
		s.openAt = now.Add(hastyGrace)
	}
	if !v.after(lastTaciturn) {
		s.overdue = overdueFew
	}
}

// judge counts that what was sent in that turn has arrived, and takes what it
// has passed often enough for acknowledged. The first data message is not
// judged as long as the agent may not be ready for it.
func (s *sender) judge(older []*outgoing, turn uint64) {
	for i, o := range older {
		if o.frame == nil || o.sends == 1 || o.judged == o.sends || o.turn > turn {
			continue
		}
		if s.base+int64(i) == s.first && !s.fed {
			continue
		}
		o.judged = o.sends
		if o.passed++; o.passed >= s.overdue {
			s.settle(o)
		}
	}
}

// sendProbe queues a message whose only use is to pass the oldest one, when
// nothing else will.
func (s *sender) sendProbe() {
	if s.openAt.IsZero() || s.hurried() || s.probes == probesMost || s.flight[0].sends < probeAfter {
		return
	}
	s.probes++
	s.orders = append(s.orders, order{agentmsg.Size, probe})
}

package session

import (
	"crypto/rand"
	"math"
	"time"

	"github.com/taccoform/packer-plugin-ssm/session/internal/agentmsg"
)

const (
	windowStart = 128 // messages on the way, unacknowledged
	windowMin   = 32
	windowMax   = 512

	responseTimeout = 500 * time.Millisecond // for the response to the handshake, which the agent awaits for 15 s

	resendFew    = 4                      // messages sent again at a timeout
	firstTimeout = 75 * time.Millisecond  // for the first data message: the agent may not be ready yet
	firstTries   = 40                     // after that many the usual timeout holds
	pauseGrace   = 250 * time.Millisecond // what was on the way when the pause came proves nothing
	pauseProbe   = time.Second            // paused and nothing on the way: try one message
	stallAfter   = 25 * time.Second       // nothing heard for so long: the websocket is no good
	deafAfter    = 60 * time.Second       // nothing acknowledged for so long, whatever else was heard
)

// source is where the data to send comes from.
type source interface {
	pending() bool                    // is there any
	fill(b []byte) (n int, to uint64) // takes some: up to byte to of the whole
	acknowledged(to uint64)           // the agent has everything up to there
}

// outgoing is a message on its way.
type outgoing struct {
	frame  []byte // as sent, so that a resend has the same id; nil once acknowledged
	to     uint64 // source.acknowledged when this and all before it are
	sentAt time.Time
	sends  int
	turn   uint64 // of the last send among all
	due    bool   // to be sent again
	passed int    // how many of the sends something sent later has overtaken
	judged int    // sends when passed was last counted
}

// order is a message that does not come from the source.
type order struct {
	kind    agentmsg.PayloadType
	payload []byte
}

// sender numbers, paces, remembers and repeats what goes to the agent. It only
// decides; whoever owns it keeps the lock and does the writing.
type sender struct {
	payload []byte    // scratch, of the payload size
	openAt  time.Time // data may go from then on; zero before the handshake is complete

	base    int64       // number of flight[0]
	flight  []*outgoing // sent, from the oldest unacknowledged one on
	unacked int
	due     int    // of those, to be sent again
	turn    uint64 // counts what is sent
	orders  []order
	taken   uint64 // how far the source was emptied
	have    uint64 // how far the agent has it
	first   int64  // the first data message while it is unacknowledged; -1 before, math.MaxInt64 after
	probes  int    // sent since the last acknowledgement
	fed     bool   // data has come from the agent, which takes ours then
	overdue int    // how often a message may be passed until it counts as acknowledged

	window   int
	halved   time.Time
	rtt      rtt
	pacer    pacer
	timer    time.Time // when the retransmission timer was started
	latest   time.Time // when the last-sent of those acknowledged was sent
	pausedAt time.Time // zero if not paused

	heard    time.Time // when the agent last gave a sign, or waiting for one began
	ackAt    time.Time // when it last acknowledged anything, or waiting for that began
	attached time.Time // when the websocket was opened
	wrote    time.Time // when data was last sent
}

func newSender(opts *Options, now time.Time) sender {
	return sender{
		payload: make([]byte, opts.PayloadSize), first: -1, overdue: overduePlenty, window: windowStart,
		pacer: newPacer(opts.Rate, opts.MaxRate, now), heard: now, attached: now, wrote: now,
	}
}

// next gives the next message to write, or how long there is none unless
// something happens.
func (s *sender) next(now time.Time, src source) ([]byte, time.Duration) {
	s.expire(now)
	idle := s.idle(now)
	if s.due == 0 && len(s.orders) == 0 && (!s.mayOffer(now) || !src.pending()) {
		return nil, idle
	}
	if wait := s.pacer.wait(now); wait > 0 {
		return nil, min(wait, idle)
	}
	if frame := s.pick(now, src); frame != nil {
		s.pacer.take()
		return frame, 0
	}
	return nil, idle
}

// pick takes what is to be repeated first, then orders, then data.
func (s *sender) pick(now time.Time, src source) []byte {
	if s.due > 0 {
		return s.again(now)
	}
	if len(s.orders) > 0 {
		o := s.orders[0]
		s.orders = s.orders[1:]
		return s.message(now, o.kind, o.payload)
	}
	n, to := src.fill(s.payload)
	if n == 0 {
		return nil
	}
	s.taken, s.wrote = to, now
	if s.first == -1 {
		s.first = s.base + int64(len(s.flight))
	}
	return s.message(now, agentmsg.Output, s.payload[:n])
}

// message makes the next message of the stream.
func (s *sender) message(now time.Time, kind agentmsg.PayloadType, payload []byte) []byte {
	m := agentmsg.Message{
		Type: agentmsg.TypeInput, Created: uint64(now.UnixMilli()), ID: newID(),
		Sequence: s.base + int64(len(s.flight)), PayloadType: kind, Payload: payload,
	}
	frame, err := m.Append(make([]byte, 0, agentmsg.Overhead+len(payload)))
	if err != nil {
		return nil // an empty payload, which nobody makes
	}
	if s.unacked == 0 {
		s.timer, s.heard, s.ackAt = now, now, now
	}
	s.turn++
	s.flight = append(s.flight, &outgoing{frame: frame, to: s.taken, sentAt: now, sends: 1, turn: s.turn})
	s.unacked++
	return frame
}

// again repeats the oldest message that is due.
func (s *sender) again(now time.Time) []byte {
	for _, o := range s.flight {
		if o.due {
			o.due = false
			s.due--
			s.turn++
			o.sentAt, o.turn = now, s.turn
			o.sends++
			return o.frame
		}
	}
	return nil
}

// mayOffer says whether new data may go.
func (s *sender) mayOffer(now time.Time) bool {
	if s.openAt.IsZero() || now.Before(s.openAt) || s.unacked >= s.window {
		return false
	}
	return s.pausedAt.IsZero() || s.unacked == 0 && now.Sub(s.pausedAt) >= pauseProbe
}

// idle is how long until a timer of the sender runs out.
func (s *sender) idle(now time.Time) time.Duration {
	switch {
	case now.Before(s.openAt):
		return s.openAt.Sub(now)
	case s.unacked > 0:
		return max(s.timer.Add(s.timeout()).Sub(now), time.Millisecond)
	case !s.pausedAt.IsZero() && now.Sub(s.pausedAt) < pauseProbe:
		return s.pausedAt.Add(pauseProbe).Sub(now)
	}
	return math.MaxInt64
}

// timeout is how long the oldest message may stay unacknowledged.
func (s *sender) timeout() time.Duration {
	if s.openAt.IsZero() {
		return responseTimeout
	}
	if s.hurried() {
		return max(firstTimeout, s.rtt.smooth*5/4)
	}
	return s.rtt.timeout()
}

// hurried says whether the oldest message is the first data message, which
// the agent drops silently as long as it is not ready.
func (s *sender) hurried() bool {
	return s.first == s.base && len(s.flight) > 0 && s.flight[0].sends <= firstTries
}

// expire marks the oldest few as due when the retransmission timer runs out.
func (s *sender) expire(now time.Time) {
	if s.unacked == 0 || now.Before(s.timer.Add(s.timeout())) {
		return
	}
	few := resendFew
	if s.hurried() {
		few = 1
	} else {
		s.rtt.backoff = min(s.rtt.backoff+1, 8)
		s.halve(now)
	}
	if !s.pausedAt.IsZero() {
		few = 1
	}
	s.sendProbe()
	s.timer = now
	for _, o := range s.flight {
		if few == 0 {
			break
		}
		if o.frame != nil {
			s.mark(o)
			few--
		}
	}
}

// mark makes o due.
func (s *sender) mark(o *outgoing) {
	if o.frame != nil && !o.due {
		o.due = true
		s.due++
	}
}

// halve shrinks the window, at most once per round trip.
func (s *sender) halve(now time.Time) {
	if now.Sub(s.halved) > s.rtt.smooth {
		s.halved = now
		s.window = max(s.window/2, windowMin)
	}
}

// acknowledged takes in that the agent has message number, and says how far
// it has everything the source gave.
func (s *sender) acknowledged(number int64, now time.Time) uint64 {
	s.sign(now)
	i := number - s.base
	if i < 0 || i >= int64(len(s.flight)) || s.flight[i].frame == nil {
		return s.everything()
	}
	o := s.flight[i]
	if o.sends == 1 {
		s.rtt.sample(now.Sub(o.sentAt))
	}
	if s.unacked >= s.window {
		s.window = min(s.window+1, windowMax)
	}
	if o.sentAt.After(s.latest) && (o.sends == 1 || now.Sub(o.sentAt) > s.rtt.smooth/2) {
		s.latest = o.sentAt
	}
	s.settle(o)
	s.timer, s.ackAt, s.probes = now, now, 0
	s.missing(s.flight[:i])
	if o.sends == 1 {
		s.judge(s.flight[:i], o.turn)
	}
	return s.everything()
}

// settle takes o for acknowledged.
func (s *sender) settle(o *outgoing) {
	if o.due {
		s.due--
	}
	o.frame, o.due = nil, false
	s.unacked--
}

// missing marks as due what was sent well before something that has arrived.
func (s *sender) missing(older []*outgoing) {
	for _, o := range older {
		if o.frame != nil && s.latest.Sub(o.sentAt) > s.rtt.reordering() {
			s.mark(o)
		}
	}
}

// everything forgets the oldest messages that are acknowledged, and says how
// far the agent has everything the source gave.
func (s *sender) everything() uint64 {
	for len(s.flight) > 0 && s.flight[0].frame == nil {
		s.have = s.flight[0].to
		s.flight[0] = nil
		s.flight = s.flight[1:]
		if s.first == s.base {
			s.first = math.MaxInt64
		}
		s.base++
	}
	return s.have
}

// sign takes in that the agent gave a sign. It ends a pause unless it was on
// the way when the pause came.
func (s *sender) sign(now time.Time) {
	s.heard = now
	if !s.pausedAt.IsZero() && now.Sub(s.pausedAt) > max(pauseGrace, 2*s.rtt.smooth) {
		s.pausedAt = time.Time{}
	}
}

// pause takes in pause_publication: no new data, but what is unacknowledged
// is repeated at its timeout.
func (s *sender) pause(now time.Time) {
	if s.pausedAt.IsZero() {
		s.pacer.paused(now)
		s.halve(now)
	}
	s.pausedAt = now
}

// start takes in start_publication: the agent is back. It has lost what was
// sent while it was away, so what should have been acknowledged by now goes
// again without waiting for its turn at the timeout.
func (s *sender) start(now time.Time) {
	s.pausedAt, s.rtt.backoff, s.timer = time.Time{}, 0, now
	for _, o := range s.flight {
		if now.Sub(o.sentAt) > s.rtt.timeout() {
			s.mark(o)
		}
	}
}

// attach takes in that there is a new websocket: all that is unacknowledged
// goes again, in order.
func (s *sender) attach(now time.Time) {
	s.attached, s.timer, s.pausedAt = now, now, time.Time{}
	s.rtt.backoff = 0
	for _, o := range s.flight {
		s.mark(o)
	}
}

// silence is for how long the agent has owed a sign; 0 if it owes none.
func (s *sender) silence(now time.Time) time.Duration {
	if s.unacked == 0 {
		return 0
	}
	return now.Sub(s.heard)
}

// stalled says that this websocket has brought no sign, or let nothing
// through, for too long.
func (s *sender) stalled(now time.Time) bool {
	deaf := s.unacked > 0 && now.Sub(s.ackAt) > deafAfter && now.Sub(s.attached) > deafAfter
	return deaf || s.silence(now) > stallAfter && now.Sub(s.attached) > stallAfter
}

// newID makes a random UUID.
func newID() agentmsg.UUID {
	var u agentmsg.UUID
	_, _ = rand.Read(u[:]) // never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return u
}

package session

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/taccoform/packer-plugin-ssm/session/internal/agentmsg"
)

// errStalled is why a websocket is given up that carries nothing any more.
var errStalled = errors.New("the agent has not answered for too long")

// stream is a reliable, ordered stream of messages to and from the agent. It
// outlives the pipes that it runs over: read and write run for one pipe each,
// and what was on the way when it broke goes again over the next.
type stream struct {
	src  source
	sink func(m *agentmsg.Message, waited bool) error // takes the agent's messages in order, must not block; waited for those before it
	log  *slog.Logger
	wake chan struct{} // capacity 1: there may be something to write

	progress chan struct{} // capacity 1: something was acknowledged

	mu   sync.Mutex
	send sender
	recv receiver
	acks []agentmsg.Acknowledge // to be written at once
	more []agentmsg.Acknowledge // given before, to be repeated at the pace of data
	turn bool                   // the next message is one of more if both could go
	gap  bool                   // there was a pause, or an end of a websocket: the last acknowledgements may be lost
}

func newStream(opts *Options) *stream {
	return &stream{
		log: opts.Logger, wake: make(chan struct{}, 1), progress: make(chan struct{}, 1), send: newSender(opts, time.Now()),
	}
}

// poke tells write to look again.
func (s *stream) poke() { signal(s.wake) }

// with runs f with the lock held and pokes: f changes what there is to send.
func (s *stream) with(f func(*sender)) {
	s.mu.Lock()
	f(&s.send)
	s.mu.Unlock()
	s.poke()
}

// order queues a message that does not come from the source.
func (s *stream) order(kind agentmsg.PayloadType, payload []byte) {
	s.with(func(q *sender) { q.orders = append(q.orders, order{kind, payload}) })
}

// settled says whether all orders are sent and all messages acknowledged.
func (s *stream) settled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.send.orders) == 0 && s.send.unacked == 0
}

// read takes messages from p until it breaks or a message ends the session.
// life is called for each. The pipe is read whatever happens to the messages:
// nothing here waits for a reader or for the writing side.
func (s *stream) read(ctx context.Context, p pipe, life func()) error {
	for {
		raw, err := p.Read(ctx)
		if err != nil {
			return err
		}
		life()
		m, err := agentmsg.Decode(raw)
		if err != nil {
			s.log.Warn("message dropped", "reason", err)
			continue
		}
		if err := s.receive(&m); err != nil {
			return err
		}
	}
}

// receive handles one message.
func (s *stream) receive(m *agentmsg.Message) error {
	switch m.Type {
	case agentmsg.TypeOutput:
		return s.output(m)
	case agentmsg.TypeAcknowledge:
		return s.acknowledge(m)
	case agentmsg.TypeStartPublication:
		s.log.Debug("publication started")
		s.restart((*sender).start)
	case agentmsg.TypePausePublication:
		s.with(func(q *sender) {
			s.gap = true
			q.pause(time.Now())
			s.log.Info("publication paused", "rate", int(q.pacer.rate))
		})
	case agentmsg.TypeChannelClosed:
		return closed(m)
	default:
		s.log.Warn("message of unknown type ignored", "type", m.Type)
	}
	return nil
}

// closed makes the error that channel_closed means.
func closed(m *agentmsg.Message) error {
	c, err := agentmsg.DecodeChannelClosed(m.Payload)
	if err != nil {
		return &EndedError{Reason: ReasonAgent, Err: err, closed: true}
	}
	return &EndedError{Reason: reasonOf(c.Output), Output: c.Output, closed: true}
}

// output handles a message of the agent's stream. Its acknowledgement is
// queued before anything else is done with it.
func (s *stream) output(m *agentmsg.Message) error {
	s.mu.Lock()
	turn, ack := s.recv.accept(*m)
	now := time.Now()
	if ack {
		s.acks = append(s.acks, agentmsg.AcknowledgeOf(m))
		s.repeat(s.recv.follow(m, now))
	}
	s.send.sign(now)
	s.send.fed = s.send.fed || m.PayloadType == agentmsg.Output
	s.mu.Unlock()
	s.poke()
	for i := range turn {
		if err := s.sink(&turn[i], i > 0); err != nil {
			return err
		}
		turn[i].Payload = nil // there may be megabytes to come
	}
	return nil
}

// acknowledge handles an acknowledgement of ours.
func (s *stream) acknowledge(m *agentmsg.Message) error {
	a, err := agentmsg.DecodeAcknowledge(m.Payload)
	if err != nil {
		s.log.Warn("acknowledgement dropped", "reason", err)
		return nil
	}
	if a.MessageType != "" && a.MessageType != agentmsg.TypeInput {
		return nil
	}
	s.mu.Lock()
	to := s.send.acknowledged(a.SequenceNumber, time.Now())
	s.mu.Unlock()
	s.src.acknowledged(to)
	s.poke()
	signal(s.progress)
	return nil
}

// write sends what there is to send over p until it breaks or stalls.
func (s *stream) write(ctx context.Context, p pipe) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer func() { s.with(func(*sender) { s.gap = true }) }()
	s.restart((*sender).attach)
	for {
		frame, wait, err := s.next(time.Now())
		if err != nil {
			return err
		}
		if frame != nil {
			if err := p.Write(ctx, frame); err != nil {
				return err
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-s.wake:
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// restart takes in, by f, that messages may go through again, and repeats the
// last acknowledgements if some may be lost.
func (s *stream) restart(f func(*sender, time.Time)) {
	now := time.Now()
	s.mu.Lock()
	f(&s.send, now)
	if s.gap {
		s.gap = false
		s.repeat(s.recv.again(now))
	}
	s.mu.Unlock()
	s.poke()
}

// repeat queues acknowledgements that were given before. s.mu is held.
func (s *stream) repeat(acks []agentmsg.Acknowledge) {
	if len(s.more) < recentSize {
		s.more = append(s.more, acks...)
	}
}

// next gives the next message to write, acknowledgements first.
func (s *stream) next(now time.Time) ([]byte, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.acks) > 0 {
		frame, err := popAcknowledgement(&s.acks, now)
		return frame, 0, err
	}
	if s.send.stalled(now) {
		return nil, 0, errStalled
	}
	if s.turn = !s.turn; s.turn && len(s.more) > 0 {
		if frame, wait, err := s.repetition(now); frame != nil || err != nil {
			return frame, wait, err
		}
	}
	frame, wait := s.send.next(now, s.src)
	if frame != nil || len(s.more) == 0 {
		return frame, wait, nil
	}
	frame, pace, err := s.repetition(now)
	return frame, min(wait, pace), err
}

// repetition gives the next of the acknowledgements to repeat, if the pace
// allows one, or how long it does not. s.mu is held.
func (s *stream) repetition(now time.Time) ([]byte, time.Duration, error) {
	if wait := s.send.pacer.wait(now); wait > 0 {
		return nil, wait, nil
	}
	s.send.pacer.take()
	frame, err := popAcknowledgement(&s.more, now)
	return frame, 0, err
}

// silence is for how long the agent has owed a sign.
func (s *stream) silence() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.send.silence(time.Now())
}

// missing is how many of the agent's messages are, in a row.
func (s *stream) missing() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recv.gap()
}

// idle is for how long no data was sent.
func (s *stream) idle() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.send.wrote)
}

package datachannel

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

const closeNormal = 1000

// attach makes c the session's websocket, in the place of any other, and hands it what was said before the first came.
func (s *Session) attach(c *clientSocket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return errors.New("session has ended")
	}
	if s.client != nil {
		old := s.client
		s.tasks.Go(func() { old.close(closeNormal, "replaced") })
	}
	s.client = c
	s.stats.Opened++
	s.lastInput = time.Now()
	for _, frame := range s.held {
		if err := c.write(frame); err != nil {
			return err
		}
	}
	s.held = nil
	if s.stats.Opened > 1 {
		s.toAgent.sendOwn(garbled(startPublication))
	}
	return nil
}

// detach forgets a websocket that has ended. What was in flight to it is lost.
func (s *Session) detach(c *clientSocket) {
	c.cut()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != c {
		return
	}
	s.client = nil
	if s.ending {
		return
	}
	s.toClient.drop()
	s.toAgent.sendOwn(garbled(pausePublication))
}

// fromClient takes a message of the client.
func (s *Session) fromClient(frame []byte) error {
	m, err := decode(frame)
	if err != nil {
		return err
	}
	if m.kind != inputStreamData && m.kind != acknowledge {
		s.log.Warn("unknown message of the client", "type", m.kind)
		return nil
	}
	s.mu.Lock()
	if sha256.Sum256(m.payload) != m.digest {
		s.stats.WrongDigest++
	}
	if m.kind == inputStreamData {
		s.stats.FromClient++
		s.lastInput = time.Now()
	}
	s.mu.Unlock()
	if m.kind == inputStreamData {
		s.count(ToAgent)
	}
	if !s.toAgent.offer(frame) {
		s.log.Debug("agent does not keep up: message dropped", "sequence", m.seq)
	}
	return nil
}

// fromAgent takes a message of the agent, which loses it if its websocket is down.
func (s *Session) fromAgent(m message) {
	if m.kind == outputStreamData {
		s.passes(m)
	}
	s.mu.Lock()
	up := s.agentUp
	if up && m.kind == outputStreamData {
		s.stats.FromAgent++
	}
	s.mu.Unlock()
	if !up || m.kind == sessionState {
		return
	}
	if m.kind == outputStreamData {
		s.count(ToClient)
	}
	s.toClient.send(m.encode())
}

func (s *Session) deliverToAgent(frame []byte) {
	s.mu.Lock()
	up := s.agentUp
	s.mu.Unlock()
	if up {
		s.agent.receive(frame)
	}
}

func (s *Session) deliverToClient(frame []byte) {
	s.mu.Lock()
	client := s.client
	if client == nil && s.stats.Opened == 0 && !slices.ContainsFunc(s.held, func(h []byte) bool { return bytes.Equal(h, frame) }) {
		s.held = append(s.held, frame)
	}
	s.mu.Unlock()
	if client == nil {
		return
	}
	s.line.wait(s.ctx)
	if err := client.write(frame); err != nil {
		client.cut() // its reader notices and detaches it
	}
}

// count feeds the meter of a direction and acts on what it says.
func (s *Session) count(d Direction) {
	s.mu.Lock()
	v := s.meters[d].add(time.Now())
	if v == pauseNow {
		s.stats.Paused++
	}
	s.mu.Unlock()
	if v == pauseNow {
		s.log.Info("too many messages: publication paused")
		s.tellBoth(pausePublication)
	}
}

func (s *Session) tellClient(kind string) { s.toClient.sendOwn(garbled(kind)) }

func (s *Session) tellBoth(kind string) {
	s.tellClient(kind)
	s.toAgent.sendOwn(garbled(kind))
}

// garbled is a start_publication or pause_publication as the service sends them: with a length and digest that fit nothing.
func garbled(kind string) []byte {
	m := newMessage(kind, payloadNone, []byte("\x00\x00\x00\x01"))
	_, _ = rand.Read(m.digest[:]) // never fails
	frame := m.encodeAsService()
	binary.BigEndian.PutUint32(frame[headerShort:], 0x20202020)
	return frame
}

// roundTrip waits as long as a message and its answer take.
func (s *Session) roundTrip() {
	wait := s.faults.impairment(ToAgent).Delay + s.faults.impairment(ToClient).Delay
	select {
	case <-time.After(wait):
	case <-s.ctx.Done():
	}
}

// watch ends the session when its time is over, closes its websockets when theirs is, and lifts or enforces a pause.
func (s *Session) watch() {
	bye := make(<-chan time.Time)
	if s.model.CloseEvery > 0 {
		hourly := time.NewTicker(s.model.CloseEvery)
		defer hourly.Stop()
		bye = hourly.C
	}
	review := time.NewTicker(meterSlot)
	defer review.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-bye:
			s.Bye()
		case now := <-review.C:
			s.review(now)
		}
	}
}

func (s *Session) review(now time.Time) {
	s.mu.Lock()
	verdicts := []verdict{s.meters[ToAgent].review(now), s.meters[ToClient].review(now)}
	idle := now.Sub(s.lastInput)
	s.mu.Unlock()
	for _, v := range verdicts {
		switch v {
		case resumeNow:
			s.tellBoth(startPublication)
		case closeNow:
			s.end(End{Reason: RateLimited})
		case keepOn, pauseNow:
		}
	}
	if over := s.model.MaxDuration; over > 0 && now.Sub(s.started) >= over {
		s.end(End{TimedOut, "Your session has been terminated because it reached the maximum session duration."})
	}
	if idle >= s.model.IdleTimeout {
		s.end(End{TimedOut, "Your session timed out due to inactivity and has been terminated."})
	}
}

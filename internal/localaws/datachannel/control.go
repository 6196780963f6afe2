package datachannel

import "time"

// Bye closes both websockets of the session with 1000 "Bye", as the service does about every 60 minutes. The session goes on.
func (s *Session) Bye() {
	s.mu.Lock()
	client := s.client
	s.mu.Unlock()
	if client != nil {
		client.close(closeNormal, "Bye")
	}
	s.CutAgent(s.model.AgentReconnect)
}

// CutClient cuts the client's connection without a word; what is in flight either way is lost.
func (s *Session) CutClient() {
	s.mu.Lock()
	client := s.client
	s.mu.Unlock()
	if client == nil {
		return
	}
	client.cut()
	s.toClient.drop()
	s.toAgent.drop()
}

// CutAgent cuts the agent's connection. It is back after down; the client is told to pause and, then, to go on.
func (s *Session) CutAgent(down time.Duration) {
	s.mu.Lock()
	was := s.agentUp
	s.agentUp = false
	s.mu.Unlock()
	if !was {
		return
	}
	s.toAgent.drop()
	s.tellClient(pausePublication)
	s.after(down, s.agentBack)
}

// CutAgentWhileSending cuts the agent's connection once it has sent that many more messages of its stream. It is back when it has
// sent, and lost, that many, or after atMost.
func (s *Session) CutAgentWhileSending(sent, lost int, atMost time.Duration) {
	from := s.agent.out.upcoming() + int64(sent)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outage = outage{from, from + int64(lost), atMost}
}

// An outage of the agent's connection, from one message of its stream to another.
type outage struct {
	from, to int64
	atMost   time.Duration
}

// passes has the outage begin and end when its messages come.
func (s *Session) passes(m message) {
	s.mu.Lock()
	o := s.outage
	begins, ends := m.seq >= o.from && s.agentUp, m.seq >= o.to
	s.mu.Unlock()
	switch {
	case o == outage{}:
	case ends:
		s.agentBack()
	case begins:
		s.CutAgent(o.atMost)
	}
}

func (s *Session) agentBack() {
	s.mu.Lock()
	if s.agentGone || s.ending {
		s.mu.Unlock()
		return
	}
	s.agentUp, s.outage = true, outage{}
	s.mu.Unlock()
	s.agent.paused.Store(false)
	s.tellClient(startPublication)
}

// Pause sends pause_publication to the client and to the agent, and start_publication after d.
func (s *Session) Pause(d time.Duration) {
	s.tellBoth(pausePublication)
	s.after(d, func() { s.tellBoth(startPublication) })
}

// Freeze stops the agent where it is, as SIGSTOP would. Its websocket stays open, and fills. thaw lets it go on.
func (s *Session) Freeze() (thaw func()) { return s.agent.gate.shut() }

// Silence lets nothing pass between the service and the client, pings and their answers included, while the connection stays
// open: what a network does that drops packets. restore ends it.
func (s *Session) Silence() (restore func()) { return s.line.shut() }

// MachineGone takes the agent away without a word, as a reboot or the machine's end does. The service notices that it
// hears nothing, and pauses the client.
func (s *Session) MachineGone() {
	s.mu.Lock()
	gone := s.agentGone
	s.agentGone, s.agentUp = true, false
	s.mu.Unlock()
	if gone {
		return
	}
	s.agent.stop()
	s.toAgent.drop()
	s.tellClient(pausePublication)
}

// WorkerLost ends the session as an agent does that comes back after a reboot and finds the worker of the session dead.
func (s *Session) WorkerLost() {
	s.end(End{Failed, "document process failed unexpectedly: document worker timed out, " +
		"check [ssm-document-worker]/[ssm-session-worker] log for crash reason"})
}

// after runs f in d, unless the session has ended by then.
func (s *Session) after(d time.Duration, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return
	}
	s.cutTimers = append(s.cutTimers, time.AfterFunc(d, func() {
		if s.ctx.Err() == nil {
			f()
		}
	}))
}

package localaws

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/datachannel"
)

// An ssmSession is one Session Manager session.
type ssmSession struct {
	id, target string
	document   string
	owner      string // ARN
	ownerID    string // aws:userid
	reason     string
	maximum    string // minutes; empty is none
	started    time.Time
	ended      time.Time
	end        datachannel.End
	channel    *datachannel.Session
}

// Channels are the data channels of all sessions: their live sessions can be cut, frozen, paused and closed, and faults can be set
// for all of them or for one.
//
//	aws.Channels().Faults().ImpairBoth(datachannel.Impairment{Delay: 20 * time.Millisecond, LoseData: 0.01})
//	for _, session := range aws.Channels().Live() { session.Bye() }
func (s *Server) Channels() *datachannel.Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.channels()
}

// SetChannelModel changes how the data channels of sessions to come behave: limits, delays, habits. The default is
// datachannel.Realistic with realistic delays, and otherwise no limits.
func (s *Server) SetChannelModel(m datachannel.Model) { s.Channels().SetModel(m) }

// channels is the service of the data channels, which ends with the server. s.mu is held.
func (s *Server) channels() *datachannel.Service {
	if s.ssm.channels != nil {
		return s.ssm.channels
	}
	service := datachannel.NewService(datachannel.Options{
		Verify: s.mayOpenChannel,
		Model:  s.channelModel(),
		Log:    s.log,
	})
	s.ssm.channels = service
	s.goOwned(func(ctx context.Context) {
		<-ctx.Done()
		service.Close()
	})
	return service
}

// mayOpenChannel checks the signature of a data channel's upgrade and its
// signer's permission to open it.
func (s *Server) mayOpenChannel(r *http.Request) error {
	who, err := s.verifySignature(r, nil, "ssmmessages")
	if err != nil {
		return err
	}
	sig, fault := parseSignature(r)
	if fault != nil {
		return refuseSignature("ssmmessages", fault)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	const action = "ssmmessages:OpenDataChannel"
	arn := "arn:aws:ssm:" + sig.region + ":" + who.account + ":session/" + lastPart(r.URL.Path)
	if !s.mayDo(who, sig.region, action, arn) {
		return &apiError{code: "AccessDeniedException", message: "User: " + who.arn + " is not authorized to perform: " + action + " on resource: " + arn, status: http.StatusForbidden}
	}
	return nil
}

func (s *Server) channelModel() datachannel.Model {
	if s.delays == realisticDelays() {
		m := datachannel.Realistic()
		m.WorkerStart = s.delays.SessionReady
		return m
	}
	return datachannel.Model{WorkerStart: s.delays.SessionReady}
}

// serveDataChannel answers the websocket of a session.
func (s *Server) serveDataChannel(w http.ResponseWriter, r *http.Request) {
	s.Channels().ServeHTTP(w, r)
}

// openSession starts a session of d on an agent. s.mu is held.
func (c *call) openSession(a *ssmAgent, d *ssmDocument, in *startSessionIn, parameters map[string][]string) (*ssmSession, error) {
	s, place := c.server, c.ssm()
	model := s.channels().Model()
	if model.AgentVersion == "" {
		model.AgentVersion = a.platform.agentVersion()
	}
	setMinutes(&model.IdleTimeout, d.parsed.Inputs.IdleSessionTimeout)
	setMinutes(&model.MaxDuration, d.parsed.Inputs.MaxSessionDuration)
	properties, _ := substitute(d.parsed.Properties, parameters, d.lists()).(map[string]any)
	session := &ssmSession{
		id: c.sessionID(), target: a.instance.ID, document: d.name, owner: c.caller.arn, ownerID: c.caller.userID, reason: deref(in.Reason), started: c.now,
		maximum: d.parsed.Inputs.MaxSessionDuration,
	}
	channel, err := s.channels().Open(datachannel.Config{
		ID: session.id, Type: datachannel.Type(d.parsed.SessionType), Properties: properties, Model: &model,
		Target: sessionTarget{a.instance.Machine},
		Ended: func(e datachannel.End) {
			s.mu.Lock()
			defer s.mu.Unlock()
			session.close(s.clock.Now(), e)
		},
	})
	if err != nil {
		return nil, &apiError{code: "InternalServerError", message: err.Error(), status: http.StatusInternalServerError}
	}
	session.channel = channel
	place.sessions[session.id] = session
	return session, nil
}

// close records the end, unless it has been.
func (s *ssmSession) close(now time.Time, e datachannel.End) {
	if s.ended.IsZero() {
		s.ended, s.end = now, e
	}
}

// setMinutes sets a time from a document's text, if it has one.
func setMinutes(d *time.Duration, text string) {
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		*d = time.Duration(n) * time.Minute
	}
}

// sessionID is the caller's name and a random part, as AWS has it.
func (c *call) sessionID() string {
	name := nameOf(c.caller.arn)
	if len(name) > 70 {
		name = name[:70]
	}
	return newID(strings.ReplaceAll(name, " ", "-"))
}

// status is a session's, as DescribeSessions tells it.
func (s *ssmSession) status() string {
	switch {
	case !s.ended.IsZero() && s.end.Reason == datachannel.Failed:
		return "Failed"
	case !s.ended.IsZero():
		return "Terminated"
	case s.channel.Connected():
		return "Connected"
	case s.channel.Stats().Opened > 0:
		return "Disconnected"
	}
	return "Connecting"
}

package localaws

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/datachannel"
)

var documentARN = regexp.MustCompile(`^[a-zA-Z0-9_\-.:/]{3,128}$`)

func ssmSessionOperations() map[string]operation {
	return map[string]operation{
		"DescribeSessions": jsonOp(describeSessions),
		"ResumeSession":    jsonOp(resumeSession),
		"StartSession":     jsonOp(startSession),
		"TerminateSession": jsonOp(terminateSession),
	}
}

type startSessionIn struct {
	Target       string              `json:"Target" required:"true"`
	DocumentName *string             `json:"DocumentName"`
	Reason       *string             `json:"Reason"`
	Parameters   map[string][]string `json:"Parameters"`
}

type sessionOut struct {
	SessionID  string `json:"SessionId"`
	TokenValue string `json:"TokenValue,omitempty"`
	StreamURL  string `json:"StreamUrl,omitempty"`
}

func startSession(c *call, in *startSessionIn) (*sessionOut, error) {
	if err := in.check(c); err != nil {
		return nil, err
	}
	d, err := in.document(c)
	if err != nil {
		return nil, err
	}
	parameters, err := d.resolve(in.Parameters)
	if err != nil {
		return nil, refuse("InvalidParameters", "%s", upperFirst(err.Error()))
	}
	a := c.ssm().agents[in.Target]
	if !a.known() || !a.connected {
		return nil, refuse("TargetNotConnected", "%s is not connected.", in.Target)
	}
	session, err := c.openSession(a, d, in, parameters)
	if err != nil {
		return nil, err
	}
	return c.grant(session), nil
}

func (in *startSessionIn) check(c *call) error {
	switch {
	case in.Target == "" || len(in.Target) > 400:
		return c.unfit("Value '%s' at 'target' failed to satisfy constraint: Member must have length between 1 and 400", in.Target)
	case in.Reason != nil && (*in.Reason == "" || len([]rune(*in.Reason)) > 256 || strings.Contains(*in.Reason, "\n")):
		return c.unfit("Value at 'reason' failed to satisfy constraint: Member must satisfy regular expression pattern: ^.{1,256}$")
	case in.DocumentName != nil && !documentARN.MatchString(*in.DocumentName):
		return c.unfit("Value '%s' at 'documentName' failed to satisfy constraint: Member must satisfy regular expression pattern: %s", *in.DocumentName, documentARN)
	}
	for name, values := range in.Parameters {
		for _, value := range values {
			if value == "" || len(value) > 65535 || len(name) > 255 {
				return c.unfit("Value at 'parameters' failed to satisfy constraint: Map value must satisfy constraint: " +
					"[Member must satisfy constraint: [Member must have length less than or equal to 65535, Member must have length greater than or equal to 1]]")
			}
		}
	}
	return nil
}

// document is the one that the session runs; without a name the account's shell, or the default one.
func (in *startSessionIn) document(c *call) (*ssmDocument, error) {
	if in.DocumentName == nil {
		if own := c.ssm().documents[shellDocument]; own != nil {
			return own, nil
		}
		return awsDocuments[shellDocument], nil
	}
	d := c.document(*in.DocumentName)
	if d == nil {
		return nil, noDocument(*in.DocumentName)
	}
	if d.kind != "Session" {
		return nil, refuse("InvalidDocument", "Document type: '%s' is not supported. Only type: 'Session' is supported for Session Manager.", d.kind)
	}
	return d, nil
}

// grant is what a client needs to open the session's websocket; without a token if the session can't be opened any more.
func (c *call) grant(session *ssmSession) *sessionOut {
	out := &sessionOut{SessionID: session.id, TokenValue: session.channel.Token()}
	if out.TokenValue != "" {
		out.StreamURL = session.channel.StreamURL("ws" + strings.TrimPrefix(c.server.URL(), "http"))
	}
	return out
}

type sessionIn struct {
	SessionID string `json:"SessionId" required:"true"`
}

// resumeSession gives a new token for a session that goes on. One that has timed out is answered without a token.
func resumeSession(c *call, in *sessionIn) (*sessionOut, error) {
	session := c.ssm().sessions[in.SessionID]
	if session == nil || !session.ended.IsZero() && session.end.Reason != datachannel.TimedOut {
		return nil, refuse("DoesNotExistException", "Session with id %s does not exist or has been terminated.", in.SessionID)
	}
	session.channel.Resumed()
	return c.grant(session), nil
}

// terminateSession ends a session. Ending one that has ended, or never was, is no error.
func terminateSession(c *call, in *sessionIn) (*sessionOut, error) {
	if in.SessionID == "" || len(in.SessionID) > 96 {
		return nil, c.unfit("Value '%s' at 'sessionId' failed to satisfy constraint: Member must have length between 1 and 96", in.SessionID)
	}
	if session := c.ssm().sessions[in.SessionID]; session != nil && session.ended.IsZero() {
		session.close(c.now, datachannel.End{Reason: datachannel.Terminated})
		session.channel.Terminate()
	}
	return &sessionOut{SessionID: in.SessionID}, nil
}

type describeSessionsIn struct {
	State      string          `json:"State" required:"true"`
	MaxResults *int64          `json:"MaxResults"`
	NextToken  *string         `json:"NextToken"`
	Filters    []commandFilter `json:"Filters"`
}

type describeSessionsOut struct {
	Sessions  []sessionView `json:"Sessions"`
	NextToken *string       `json:"NextToken,omitempty"`
}

type sessionView struct {
	SessionID          string       `json:"SessionId"`
	Target             string       `json:"Target"`
	Status             string       `json:"Status"`
	StartDate          epochSeconds `json:"StartDate"`
	EndDate            epochSeconds `json:"EndDate,omitzero"`
	DocumentName       string       `json:"DocumentName"`
	Owner              string       `json:"Owner"`
	Reason             string       `json:"Reason,omitempty"`
	Details            string       `json:"Details,omitempty"`
	OutputURL          *struct{}    `json:"OutputUrl,omitempty"`
	MaxSessionDuration string       `json:"MaxSessionDuration,omitempty"`
	AccessType         string       `json:"AccessType"`
}

func describeSessions(c *call, in *describeSessionsIn) (*describeSessionsOut, error) {
	if in.State != "Active" && in.State != "History" {
		return nil, c.unfit("Value '%s' at 'state' failed to satisfy constraint: Member must satisfy enum value set: [Active, History]", in.State)
	}
	views := []sessionView{}
	for _, session := range c.ssm().sessions {
		if (in.State == "Active") != session.ended.IsZero() {
			continue
		}
		view := session.view()
		keep, err := view.passes(in.Filters)
		if err != nil {
			return nil, err
		}
		if keep {
			views = append(views, view)
		}
	}
	slices.SortFunc(views, func(a, b sessionView) int { return time.Time(b.StartDate).Compare(time.Time(a.StartDate)) })
	page, next, err := ssmNextPage(c, views, in.MaxResults, in.NextToken, 200, 200)
	return &describeSessionsOut{page, next}, err
}

func (s *ssmSession) view() sessionView {
	return sessionView{
		SessionID: s.id, Target: s.target, Status: s.status(), StartDate: epochSeconds(s.started), EndDate: epochSeconds(s.ended),
		DocumentName: s.document, Owner: s.owner, Reason: s.reason, Details: s.end.Output, MaxSessionDuration: s.maximum, AccessType: "Standard",
	}
}

func (v sessionView) passes(filters []commandFilter) (bool, error) {
	for _, f := range filters {
		keep, err := v.passesOne(f)
		if err != nil || !keep {
			return false, err
		}
	}
	return true, nil
}

func (v sessionView) passesOne(f commandFilter) (bool, error) {
	switch f.Key {
	case "Target":
		return v.Target == f.Value, nil
	case "Owner":
		return v.Owner == f.Value, nil
	case "SessionId":
		return v.SessionID == f.Value, nil
	case "Status":
		return v.Status == f.Value, nil
	case "AccessType":
		return v.AccessType == f.Value, nil
	case "InvokedAfter", "InvokedBefore":
		at, err := time.Parse(time.RFC3339, f.Value)
		if err != nil {
			return false, refuse("ValidationException", "%s is not a valid date", f.Value)
		}
		return time.Time(v.StartDate).After(at) == (f.Key == "InvokedAfter"), nil
	}
	return false, refuse("InvalidFilterKey", "%s is not a valid filter key", f.Key)
}

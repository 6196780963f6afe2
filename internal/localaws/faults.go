package localaws

import (
	"errors"
	"net/http"
	"path"
	"slices"
	"sync"
	"time"
)

// errDropped ends a call without an answer: its connection is closed.
var errDropped = errors.New("connection dropped")

// A Fault makes calls fail. Which calls: those of Service, Action and Region
// (empty means any; Action may have *) whose parameters are as Where says, from
// the Nth that matches (0 and 1 mean the first), Times of them (0 means one,
// below 0 means all that follow). What
// happens to them: the first of Hang, Drop, Deny, Code that is set, preceded by
// Before and Delay; with After it happens once the call has had its effect, so
// that the client does not learn what it did.
type Fault struct {
	Service, Action, Region string
	Where                   map[string]string // by parameter, "InstanceType" or "InstanceIds.0"; * is any run of characters
	Nth, Times              int

	Before  func(Call)    // called without the server's lock, before the rest
	Delay   time.Duration // the answer is this late
	Hang    bool          // no answer until the client or the server gives up
	Drop    bool          // the connection is closed without an answer
	Deny    bool          // refused as by a policy, in the service's words
	Code    string        // refused with this error code
	Message string        // the error's message; default "injected fault"
	Status  int           // the error's HTTP status; default 400, 5xx and throttling codes their own
	After   bool
}

type faultList struct {
	mu     sync.Mutex
	faults []*faultCount
}

// A faultCount is a fault and how many calls it has matched.
type faultCount struct {
	fault Fault
	seen  int
}

// Inject makes calls fail from now on, until remove is called or the fault is
// used up.
func (s *Server) Inject(f Fault) (remove func()) {
	counted := &faultCount{fault: f}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.faults = append(s.faults.faults, counted)
	return func() {
		s.faults.mu.Lock()
		defer s.faults.mu.Unlock()
		s.faults.faults = slices.DeleteFunc(s.faults.faults, func(f *faultCount) bool { return f == counted })
	}
}

// Heal takes every fault away.
func (s *Server) Heal() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.faults = nil
}

// take is the faults that strike this call.
func (l *faultList) take(c *call) []Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	var struck []Fault
	for _, f := range l.faults {
		if f.fault.matches(c) && f.due() {
			struck = append(struck, f.fault)
		}
	}
	return struck
}

func (f *Fault) matches(c *call) bool {
	named, _ := path.Match(f.Action, c.action)
	return (f.Service == "" || f.Service == c.service) &&
		(f.Action == "" || named) &&
		(f.Region == "" || f.Region == c.region) &&
		f.meets(c)
}

func (f *Fault) meets(c *call) bool {
	if len(f.Where) == 0 {
		return true
	}
	parameters := c.parameters()
	for name, pattern := range f.Where {
		if value, sent := parameters[name]; !sent || !matches(pattern, value) {
			return false
		}
	}
	return true
}

// due counts a call that matches and says whether it is one of those to strike.
func (f *faultCount) due() bool {
	f.seen++
	first := max(f.fault.Nth, 1)
	if f.seen < first {
		return false
	}
	return f.fault.Times < 0 || f.seen < first+max(f.fault.Times, 1)
}

// strike lets the faults of one side of the effect happen.
func (s *Server) strike(c *call, faults []Fault, after bool) error {
	for i := range faults {
		if faults[i].After != after {
			continue
		}
		if err := s.strikeOne(c, &faults[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) strikeOne(c *call, f *Fault) error {
	if f.Before != nil {
		f.Before(Call{Time: c.now, Service: c.service, Action: c.action, Region: c.region, Account: c.caller.account, Caller: c.caller.arn, RequestID: c.requestID})
	}
	if err := s.wait(c.ctx, f.Delay); err != nil {
		return err
	}
	switch {
	case f.Hang:
		select {
		case <-c.ctx.Done():
		case <-s.ctx.Done():
		}
		return errDropped
	case f.Drop:
		return errDropped
	case f.Deny:
		return s.denyByFault(c)
	case f.Code != "":
		return f.refusal()
	}
	return nil
}

// faultStatus is the HTTP status of codes that AWS does not answer with 400.
var faultStatus = map[string]int{
	"RequestLimitExceeded":         http.StatusServiceUnavailable,
	"Unavailable":                  http.StatusServiceUnavailable,
	"ServiceUnavailable":           http.StatusServiceUnavailable,
	"InternalError":                http.StatusInternalServerError,
	"InternalFailure":              http.StatusInternalServerError,
	"InternalServerError":          http.StatusInternalServerError,
	"InsufficientInstanceCapacity": http.StatusInternalServerError,
	"UnauthorizedOperation":        http.StatusForbidden,
	"AccessDenied":                 http.StatusForbidden,
	"AuthFailure":                  http.StatusUnauthorized,
	"ExpiredToken":                 http.StatusForbidden,
}

// faultMessages are AWS's words for the codes that tests inject most.
var faultMessages = map[string]string{
	"RequestLimitExceeded":         "Request limit exceeded.",
	"Throttling":                   "Rate exceeded",
	"ThrottlingException":          "Rate exceeded",
	"ExpiredToken":                 "The security token included in the request is expired",
	"ExpiredTokenException":        "The security token included in the request is expired",
	"RequestExpired":               "Request has expired.",
	"InternalError":                "An internal error has occurred",
	"InsufficientInstanceCapacity": "We currently do not have sufficient capacity in the Availability Zone you requested.",
}

func (f *Fault) refusal() *apiError {
	e := &apiError{code: f.Code, message: f.Message, status: f.Status}
	if e.message == "" {
		e.message = faultMessages[f.Code]
	}
	if e.message == "" {
		e.message = "injected fault"
	}
	if e.status == 0 {
		e.status = faultStatus[f.Code]
	}
	return e
}

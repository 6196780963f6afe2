package localaws

import (
	"slices"
	"sync"
	"time"
)

// A Change is a moment at which something came into a state: what a client can
// only learn by looking, and later. Besides the states of EC2 there is
// AgentConnected, of an instance.
type Change struct {
	Time     time.Time `json:"time"`
	Region   string    `json:"region"`
	Resource string    `json:"resource"` // "i-0abc", "ami-0abc"
	State    string    `json:"state"`    // "running", "stopped", "available", ...
}

// AgentConnected is the state of an instance whose agent has come online.
const AgentConnected = "agent-connected"

type changeLog struct {
	mu      sync.Mutex
	changes []Change
}

// Changes is every change of state so far of instances, their agents and images, in order.
func (s *Server) Changes() []Change {
	s.changes.mu.Lock()
	defer s.changes.mu.Unlock()
	return slices.Clone(s.changes.changes)
}

// changed logs a change. Unlike the times that the API tells, its time has all digits.
func (s *Server) changed(region, resource, state string) {
	s.changes.mu.Lock()
	defer s.changes.mu.Unlock()
	s.changes.changes = append(s.changes.changes, Change{s.clock.now().UTC(), region, resource, state})
}

// FailInstance ends an instance with a state reason, as AWS's own troubles do; it says whether there was one to end.
func (s *Server) FailInstance(id, code, message string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.ec2.places {
		i := p.instances[id]
		if i != nil && !p.ending(id) {
			i.terminate(code, message, code)
			return true
		}
	}
	return false
}

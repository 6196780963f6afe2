package localaws

import (
	"context"
	"slices"
	"time"
)

const (
	agentPath       = "/usr/bin/amazon-ssm-agent"
	heartbeat       = 5 * time.Minute
	workerTimeout   = time.Minute // until an agent that came back gives up on the sessions of before
	agentRetryLimit = 10          // doublings of the wait between attempts to register
)

// agentPermissions are what an instance's role must allow for its agent to come online.
var agentPermissions = []string{
	"ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
	"ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
}

// An ssmAgent is the agent on an instance, as Systems Manager sees it.
type ssmAgent struct {
	instance   *instance
	up         bool      // the machine runs
	boot       int       // counts the machine's starts
	connected  bool      // has a control channel
	registered time.Time // first seen; zero: never
	lastPing   time.Time
	lost       bool // not heard from for too long
	role       string
	platform   platform
	change     chan struct{} // closed and replaced whenever up or connected changes
}

// ssmAgentOf finds the agent of an instance, or nil. s.mu is held.
func (s *Server) ssmAgentOf(account, region, instanceID string) *ssmAgent {
	return s.ssmPlace(account, region).agents[instanceID]
}

// machineUp starts the life of the agent on an instance whose machine has booted. It is called with s.mu held.
func (s *Server) machineUp(i *instance) {
	agents := s.ssmPlace(i.Account, i.Region).agents
	if agents[i.ID] == nil {
		agents[i.ID] = &ssmAgent{change: make(chan struct{})}
	}
	a := agents[i.ID]
	a.instance, a.up, a.connected = i, true, false
	a.boot++
	a.changed()
	boot := a.boot
	s.clock.AfterFunc(s.delays.AgentOnline, func() { s.agentRegisters(a, boot, 0) })
}

// machineDown ends the life of the agent on an instance whose machine has gone. It is called with s.mu held.
func (s *Server) machineDown(i *instance) {
	a := s.ssmAgentOf(i.Account, i.Region, i.ID)
	if a == nil || !a.up {
		return
	}
	a.up = false
	a.disconnect(s)
	for _, session := range s.ssmPlace(i.Account, i.Region).sessions {
		if session.target == i.ID && session.ended.IsZero() {
			session.channel.MachineGone()
		}
	}
}

func (a *ssmAgent) changed() {
	close(a.change)
	a.change = make(chan struct{})
}

// disconnect takes the control channel away; some time later the service calls the connection lost.
func (a *ssmAgent) disconnect(s *Server) {
	if a.connected {
		a.lastPing = s.clock.Now()
	}
	a.connected = false
	a.changed()
	boot := a.boot
	s.clock.AfterFunc(s.delays.AgentLost, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !a.connected && a.boot == boot {
			a.lost = true
		}
	})
}

// agentRegisters is one attempt of the agent to come online. An agent that can't tries again, each time after twice as long.
func (s *Server) agentRegisters(a *ssmAgent, boot, attempt int) {
	s.mu.Lock()
	current := a.up && a.boot == boot && !a.connected
	guest, inImage := a.instance.Machine, a.instance.agent
	s.mu.Unlock()
	if !current {
		return
	}
	found, installed := s.agentInstalled(guest, inImage)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !a.up || a.boot != boot {
		return
	}
	if !installed || !s.agentMay(a) {
		wait := s.agentRetry() << min(attempt, agentRetryLimit)
		s.clock.AfterFunc(wait, func() { s.agentRegisters(a, boot, attempt+1) })
		return
	}
	a.platform = found
	s.agentOnline(a)
}

func (s *Server) agentOnline(a *ssmAgent) {
	now := s.clock.Now()
	if a.registered.IsZero() {
		a.registered = now
	}
	a.connected, a.lost, a.lastPing = true, false, now
	a.changed()
	s.changed(a.instance.Region, a.instance.ID, AgentConnected)
	for _, session := range s.ssmPlace(a.instance.Account, a.instance.Region).sessions {
		if session.target == a.instance.ID && session.ended.IsZero() {
			s.clock.AfterFunc(workerTimeout, session.channel.WorkerLost)
		}
	}
}

// agentMay says whether the agent reaches the service and has the permissions for it, by the instance's profile or by the
// default host management role. s.mu is held.
func (s *Server) agentMay(a *ssmAgent) bool {
	i := a.instance
	if !i.reachesService() {
		return false
	}
	if p := s.instanceProfile(i.Account, i.ProfileARN); i.ProfileARN != "" && p != nil {
		may := func(action string) bool { return p.allows(action, "*") }
		if allOf(agentPermissions, may) {
			a.role = p.role.name
			return true
		}
	}
	role := s.hostManagementRole(i.Account, i.Region)
	if role == nil {
		return false
	}
	a.role = role.name
	return allOf(agentPermissions, func(action string) bool { return s.roleAllows(role, action) })
}

func allOf(actions []string, may func(string) bool) bool {
	return !slices.ContainsFunc(actions, func(action string) bool { return !may(action) })
}

// roleAllows says whether Systems Manager may use a role for an action on anything.
func (s *Server) roleAllows(role *iamRole, action string) bool {
	now := s.clock.Now()
	if !role.trusts(question{action: "sts:AssumeRole"}, trustService("ssm.amazonaws.com")) {
		return false
	}
	q := question{action: action, resource: "*", context: contextOf(principal{account: role.account, role: role.name}, now)}
	return evaluate(q, role.documents(s.iam, now, s.delays.IAMPropagation)) == allowed
}

// agentRetry is the first wait of an agent that could not register.
func (s *Server) agentRetry() time.Duration {
	if s.ssm.retry > 0 {
		return s.ssm.retry
	}
	return max(s.delays.AgentOnline/20, 50*time.Millisecond)
}

// SetAgentRetry sets how long an agent that found no permission, or no way to the service, waits before it tries again;
// every further wait is twice as long. The default is a twentieth of Delays.AgentOnline.
func (s *Server) SetAgentRetry(first time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ssm.retry = first
}

// awaitAgent waits until the agent is connected, or ctx ends. It is called without s.mu and answers the boot that it is of.
func (s *Server) awaitAgent(ctx context.Context, a *ssmAgent) (boot int, err error) {
	for {
		s.mu.Lock()
		connected, boot, change := a.connected, a.boot, a.change
		s.mu.Unlock()
		if connected {
			return boot, nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// ping is the agent's status as DescribeInstanceInformation tells it.
func (a *ssmAgent) ping() string {
	if a.lost {
		return "ConnectionLost"
	}
	return "Online"
}

// known says whether the service has an entry for the agent.
func (a *ssmAgent) known() bool {
	return a != nil && !a.registered.IsZero() && a.instance.State != "terminated"
}

// online says whether commands are taken for the instance.
func (a *ssmAgent) online() bool { return a.known() && !a.lost }

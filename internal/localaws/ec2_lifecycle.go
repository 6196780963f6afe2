package localaws

import (
	"context"
	"time"
)

// after runs f, with Server.mu held, once d has passed.
func (s *Server) after(d time.Duration, f func()) {
	s.clock.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		f()
	})
}

// launch makes the instances of a plan: pending, with their interfaces and volumes.
func (p *ec2Place) launch(plan *launchPlan) ([]*instance, error) {
	s := p.server
	if err := s.ec2.shortages.refuse(plan.kind.name, plan.subnet.zone.name, plan.spot); err != nil {
		return nil, err
	}
	now := s.clock.Now()
	reservation := newID("r")
	var started []*instance
	for n := range plan.count {
		i := plan.newInstance(p, now, reservation, int(n))
		if _, err := plan.connect(i); err != nil {
			return nil, err
		}
		p.instances[i.ID] = i
		for _, v := range plan.volumes {
			vol := p.addVolume(v, i.zone)
			vol.attach(i, v.device, now)
			p.setTags(vol.id, plan.tags["volume"])
			if v.kmsState != "" {
				i.kmsState = v.kmsState
			}
		}
		p.setTags(i.ID, plan.tags["instance"])
		if plan.spot {
			p.addSpotRequest(i, plan)
		}
		i.begin()
		started = append(started, i)
	}
	plan.image.lastLaunched = now
	return started, nil
}

func (l *launchPlan) newInstance(p *ec2Place, now time.Time, reservation string, index int) *instance {
	d := l.data
	i := &instance{
		ID: newID("i"), Account: p.account, Region: p.region, LaunchTime: now, ImageID: l.image.id,
		place: p, created: now, reservationID: reservation, launchIndex: index, clientToken: l.token, kind: l.kind,
		zone: l.subnet.zone, subnetID: l.subnet.id, vpcID: l.subnet.vpcID, keyName: d.KeyName,
		rootDevice: l.image.rootDevice, architecture: l.image.architecture, bootMode: l.image.bootMode,
		imageIMDS: l.image.imdsSupport, agent: l.image.agent, userData: l.userData,
		shutdownBehavior: valueOr(d.Shutdown, "stop"), keepAlive: isTrue(d.KeepAlive), keepRunning: isTrue(d.KeepRunning),
		ebsOptimized: isTrue(d.EBSOptimized), monitoring: isTrueIn(d.Monitoring), credits: l.credits,
		tenancy: "default", metadata: l.metadata, capacity: "open", options: l.options, hardware: l.image.hardware,
		instanceStore: l.instanceStore(),
	}
	if l.profile != nil {
		i.profileSet(l.profile, now)
	}
	if d.Placement != nil && d.Placement.Tenancy != "" {
		i.tenancy = d.Placement.Tenancy
	}
	if d.Placement != nil {
		i.hostID, i.hostGroup = d.Placement.HostID, d.Placement.HostGroupARN
	}
	if d.Capacity != nil && d.Capacity.Target != nil {
		i.capacity, i.reservedID, i.reservedGroup = "", d.Capacity.Target.ID, d.Capacity.Target.GroupARN
	}
	if d.Capacity != nil && d.Capacity.Preference != "" {
		i.capacity = d.Capacity.Preference
	}
	return i
}

// enter changes the state; what waits for an older one becomes void.
func (i *instance) enter(state, code, message string) {
	i.State, i.stateCode, i.stateMessage = state, code, message
	i.era++
	i.place.server.changed(i.Region, i.ID, state)
}

// later runs f after d unless the state has changed by then.
func (i *instance) later(d time.Duration, f func()) {
	era := i.era
	i.place.server.after(d, func() {
		if i.era == era {
			f()
		}
	})
}

// job queues work on the instance's machine; one job runs at a time, in order.
// It runs without Server.mu and does nothing but wait on a server without machines.
func (i *instance) job(work func(ctx context.Context)) {
	s := i.place.server
	i.jobs = append(i.jobs, work)
	if i.busy {
		return
	}
	i.busy = true
	s.goOwned(func(ctx context.Context) {
		for {
			s.mu.Lock()
			if len(i.jobs) == 0 {
				i.busy = false
				s.mu.Unlock()
				return
			}
			next := i.jobs[0]
			i.jobs = i.jobs[1:]
			s.mu.Unlock()
			next(ctx)
		}
	})
}

// begin takes a new or stopped instance from pending to running.
func (i *instance) begin() {
	s := i.place.server
	i.enter("pending", "pending", "pending")
	i.later(s.delays.InstancePending, func() {
		if i.kmsState != "" {
			i.terminate("Client.InvalidKMSKey.InvalidState", "Client.InvalidKMSKey.InvalidState: The KMS key provided is in an incorrect state", "Server.InternalError")
			return
		}
		i.enter("running", "", "")
		i.boot()
	})
}

// boot starts the system inside, if the instance still runs when its turn comes.
func (i *instance) boot() {
	s := i.place.server
	i.job(func(ctx context.Context) {
		s.mu.Lock()
		wanted := i.State == "running"
		s.mu.Unlock()
		if !wanted {
			return
		}
		id, err := i.bootMachine(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case err != nil:
			s.log.Error("boot", "instance", i.ID, "err", err)
			i.terminate("Server.InternalError", "Server.InternalError: Internal error on launch", "")
		case i.State == "running":
			i.BootID = id
			s.machineUp(i)
		}
	})
}

// halt takes the system down. then runs afterwards, with Server.mu held.
func (i *instance) halt(graceful bool, then func()) {
	s := i.place.server
	i.job(func(ctx context.Context) {
		err := i.haltMachine(ctx, graceful)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil && ctx.Err() == nil {
			s.log.Error("halt", "instance", i.ID, "err", err)
		}
		i.down()
		then()
	})
}

// down tells Systems Manager that no system runs any more.
func (i *instance) down() {
	if i.BootID != "" {
		i.BootID = ""
		i.place.server.machineDown(i)
	}
}

// stop takes a running instance to stopped.
func (i *instance) stop(code, message, reason string, graceful bool) {
	s := i.place.server
	i.reason = reason
	i.enter("stopping", code, message)
	due := s.clock.Now().Add(s.delays.Stopping)
	i.halt(graceful, func() {
		i.later(max(0, due.Sub(s.clock.Now())), func() {
			if n := i.primary(); n != nil && !i.place.hasElasticIP(n) {
				n.publicIP = ""
			}
			i.enter("stopped", code, message)
		})
	})
}

func (p *ec2Place) hasElasticIP(n *networkInterface) bool {
	for _, a := range p.addresses {
		if a.interfaceID == n.id {
			return true
		}
	}
	return false
}

// start takes a stopped instance to running again, on new addresses and, as on AWS, the same disks.
func (i *instance) start() {
	s := i.place.server
	i.reason, i.LaunchTime = "", s.clock.Now()
	if n := i.primary(); n != nil && n.publicIP == "" && n.autoPublic {
		n.publicIP = s.ec2.publicAddress().String()
	}
	i.begin()
}

// reboot restarts the system; the instance stays running.
func (i *instance) reboot() {
	i.halt(true, func() {})
	i.boot()
}

// rebootAround takes the system down, does what is given, and starts it again.
func (i *instance) rebootAround(what func()) {
	i.halt(true, func() {})
	what()
	i.boot()
}

// terminate ends the instance: its machine is destroyed, its interfaces are
// deleted, and its volumes deleted or detached.
func (i *instance) terminate(code, message, reason string) {
	s := i.place.server
	i.reason = reason
	i.enter("shutting-down", code, message)
	due := s.clock.Now().Add(s.delays.ShuttingDown)
	i.job(func(ctx context.Context) {
		kept, err := i.destroyMachine(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil && ctx.Err() == nil {
			s.log.Error("destroy", "instance", i.ID, "err", err)
		}
		i.down()
		if root := i.rootVolume(); root != nil && kept != "" {
			root.disk.layers = append(root.disk.layers[:len(root.disk.layers):len(root.disk.layers)], kept)
		}
		i.later(max(0, due.Sub(s.clock.Now())), i.ended)
	})
}

// ended is the last step of termination. EC2 shows the instance for some time yet.
func (i *instance) ended() {
	p, s := i.place, i.place.server
	i.enter("terminated", i.stateCode, i.stateMessage)
	i.Machine = nil
	for _, v := range i.volumes() {
		if v.deleteOnTermination {
			p.dropVolume(v)
		} else {
			v.detach()
		}
	}
	for _, n := range p.interfacesOf(i.ID) {
		if n.deleteOnTermination {
			p.releaseFrom(n)
			delete(p.interfaces, n.id)
			delete(p.tags, n.id)
		} else {
			n.instanceID, n.attachmentID = "", ""
		}
	}
	p.endSpotRequest(i)
	s.after(s.delays.TerminatedVisible, func() {
		delete(p.instances, i.ID)
		delete(p.tags, i.ID)
	})
}

// userInitiated is the transition reason of a change by an API call.
func userInitiated(now time.Time) string {
	return "User initiated (" + now.UTC().Format("2006-01-02 15:04:05") + " GMT)"
}

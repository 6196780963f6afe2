package localaws

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

// invoke starts a command's life on one instance. s.mu is held.
func (s *Server) invoke(command *ssmCommand, agent *ssmAgent) *ssmInvocation {
	i := &ssmInvocation{
		command: command, instance: agent.instance.ID, agent: agent, status: "Pending", details: "Pending",
		visible: command.requested.Add(s.delays.CommandVisible), cancel: func() {},
	}
	for _, step := range command.document.steps(command.parameters) {
		i.steps = append(i.steps, &ssmStepRun{documentStep: step, status: "Pending", details: "Pending", code: -1})
	}
	s.goOwned(func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		s.mu.Lock()
		i.cancel = cancel
		s.mu.Unlock()
		s.deliver(ctx, i)
	})
	return i
}

// deliver hands the command to the agent, if the agent is there in time, and sees it through.
func (s *Server) deliver(ctx context.Context, i *ssmInvocation) {
	if s.wait(ctx, s.delays.CommandDelivery) != nil {
		s.conclude(i, "Cancelled", "Cancelled")
		return
	}
	patience, done := context.WithDeadline(ctx, i.command.expires)
	_, err := s.awaitAgent(patience, i.agent)
	done()
	switch {
	case ctx.Err() != nil:
		s.conclude(i, "Cancelled", "Cancelled")
	case err != nil:
		s.conclude(i, "TimedOut", "DeliveryTimedOut")
	case s.take(i):
		s.runSteps(ctx, i)
	}
}

// take marks the command as with the agent; false if it was cancelled before.
func (s *Server) take(i *ssmInvocation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i.finished() {
		return false
	}
	i.status, i.details = "InProgress", "InProgress"
	return true
}

// conclude gives the invocation its last status, unless it has one.
func (s *Server) conclude(i *ssmInvocation, status, details string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i.finished() {
		return
	}
	i.status, i.details = status, details
	for _, step := range i.steps {
		if step.status == "Pending" || step.status == "InProgress" {
			step.status, step.details = status, details
		}
	}
}

// runSteps runs the steps one after the other until one of them does not succeed.
func (s *Server) runSteps(ctx context.Context, i *ssmInvocation) {
	status, details := "Success", "Success"
	for _, step := range i.steps {
		s.runStep(ctx, i, step)
		if step.status != "Success" {
			status, details = step.status, step.details
			break
		}
	}
	_ = s.wait(context.WithoutCancel(ctx), s.delays.CommandResult) // the status is told even if the server ends
	s.conclude(i, status, details)
}

// runStep runs a step until it has an end: again after the reboot that it asked for, and again, though not for ever, when the machine
// went away under it, as the agent does which finds it unfinished when it comes back.
func (s *Server) runStep(ctx context.Context, i *ssmInvocation, step *ssmStepRun) {
	s.beginStep(step)
	if step.plugin != "aws:runShellScript" {
		s.endStep(step, stepResult{exit: 1, stderr: fmt.Sprintf("Plugin with name %s not found. Step name: %s", step.plugin, step.name)})
		return
	}
	for runs := 1; ; runs++ {
		boot, err := s.awaitAgent(ctx, i.agent)
		if err != nil {
			s.endStep(step, stepResult{exit: exitStopped, cancelled: true})
			return
		}
		result := s.runScript(ctx, i, step.documentStep)
		switch {
		case result.exit == exitReboot && result.err == nil && !result.cancelled:
			s.rebootFor(ctx, i, boot)
			runs = 0
		case !s.interrupted(ctx, i, boot, result) || runs == maxRuns:
			s.endStep(step, result)
			return
		}
		if s.awaitReboot(ctx, i, boot) != nil {
			s.endStep(step, stepResult{exit: exitStopped, cancelled: true})
			return
		}
	}
}

// interrupted says whether the machine went away under a script, rather than the script having ended.
func (s *Server) interrupted(ctx context.Context, i *ssmInvocation, boot int, r stepResult) bool {
	if ctx.Err() != nil || r.timedOut || r.exit == 0 && r.err == nil {
		return false
	}
	if errors.Is(r.err, machine.ErrDown) || errors.Is(r.err, machine.ErrDestroyed) {
		return true
	}
	patience := time.Duration(0)
	if r.exit < 0 || r.exit == exitKilled || r.exit == exitTerminated {
		patience = shutdownTime
	}
	return s.goesDown(ctx, i.agent, boot, patience)
}

// goesDown waits until the machine is no longer in its boot: a shutdown kills scripts before it has ended.
func (s *Server) goesDown(ctx context.Context, a *ssmAgent, boot int, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		s.mu.Lock()
		gone, change := !a.up || a.boot != boot, a.change
		s.mu.Unlock()
		if gone {
			return true
		}
		select {
		case <-change:
		case <-ctx.Done():
			return false
		}
	}
}

// rebootFor reboots the machine as the agent does for a script that ended with 194.
func (s *Server) rebootFor(ctx context.Context, i *ssmInvocation, boot int) {
	s.mu.Lock()
	guest, same := i.agent.instance.Machine, i.agent.boot == boot
	s.mu.Unlock()
	if guest == nil || !same {
		return
	}
	if _, err := guest.Exec(ctx, machine.Command{Path: "/bin/sh", Args: []string{"-c", "shutdown -r now"}}); err != nil {
		s.log.Debug("reboot for a command", "instance", i.instance, "error", err)
	}
}

// awaitReboot waits until the agent is up in a later boot than before.
func (s *Server) awaitReboot(ctx context.Context, i *ssmInvocation, before int) error {
	if i.agent.instance.Machine == nil {
		return nil
	}
	for {
		s.mu.Lock()
		connected, boot, change := i.agent.connected, i.agent.boot, i.agent.change
		s.mu.Unlock()
		if connected && boot > before {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Server) beginStep(step *ssmStepRun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	step.status, step.details, step.started = "InProgress", "InProgress", s.clock.Now()
}

// endStep records how a step ended, in the agent's words.
func (s *Server) endStep(step *ssmStepRun, r stepResult) {
	s.mu.Lock()
	defer s.mu.Unlock()
	step.ended, step.code = s.clock.Now(), r.exit
	step.stdout, step.stderr = r.stdout, r.stderr
	// the agent writes its own words where the script's end, on a line of their own only if the script ended one
	switch {
	case r.cancelled:
		step.status, step.details, step.code = "Cancelled", "Cancelled", exitStopped
	case r.timedOut:
		step.status, step.details, step.code = "TimedOut", "ExecutionTimedOut", exitStopped
	case r.err != nil:
		step.status, step.details, step.code = "Failed", "Failed", 1
		step.stderr = cutText(step.stderr+"failed to run commands: "+r.err.Error(), maxStderr, false)
	case r.exit != 0:
		step.status, step.details = "Failed", "Failed"
		step.stderr = cutText(step.stderr+fmt.Sprintf("failed to run commands: exit status %d", r.exit), maxStderr, false)
	default:
		step.status, step.details = "Success", "Success"
	}
}

package localaws

import (
	"encoding/base64"
	"strings"
)

type instancesInput struct {
	dryRun
	IDs []string `query:"InstanceId"`
}

type stateChange struct {
	ID       string        `xml:"instanceId"`
	Current  instanceState `xml:"currentState"`
	Previous instanceState `xml:"previousState"`
}

type stateChangesOutput struct {
	Instances set[stateChange] `xml:"instancesSet"`
}

// changeEach applies a change to each instance and tells the states before and after.
func changeEach(all []*instance, change func(*instance)) *stateChangesOutput {
	return &stateChangesOutput{setFrom(all, func(i *instance) stateChange {
		before := stateOf(i.State)
		change(i)
		return stateChange{i.ID, stateOf(i.State), before}
	})}
}

type startInput struct {
	instancesInput
	AdditionalInfo *string `query:"AdditionalInfo"`
}

func (s *Server) startInstances(c *call, in *startInput) (*stateChangesOutput, error) {
	all, err := c.findInstances(in.IDs)
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		switch i.State {
		case "stopped", "running", "pending":
		default:
			return nil, refuse("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be started.", i.ID)
		}
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	return changeEach(all, func(i *instance) {
		if i.State == "stopped" {
			i.start()
		}
	}), nil
}

type stopInput struct {
	instancesInput
	Force          *bool `query:"Force"`
	Hibernate      *bool `query:"Hibernate"`
	SkipOSShutdown *bool `query:"SkipOsShutdown"`
}

func (s *Server) stopInstances(c *call, in *stopInput) (*stateChangesOutput, error) {
	all, err := c.findInstances(in.IDs)
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		switch {
		case i.keepRunning:
			return nil, refuse("OperationNotPermitted", "The instance '%s' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.", i.ID)
		case i.State == "pending" || i.State == "shutting-down" || i.State == "terminated":
			return nil, refuse("IncorrectInstanceState", "This instance '%s' is not in a state from which it can be stopped.", i.ID)
		case i.spotRequestID != "":
			return nil, refuse("UnsupportedOperation", "You can't stop the Spot Instance '%s' because it is associated with a one-time Spot Instance request. You can only stop Spot Instances associated with persistent Spot Instance requests.", i.ID)
		case isTrue(in.Hibernate) && !i.options.hibernation:
			return nil, refuse("UnsupportedHibernationConfiguration", "The instance '%s' does not have hibernation configured.", i.ID)
		}
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	graceful := !isTrue(in.Force) && !isTrue(in.SkipOSShutdown)
	return changeEach(all, func(i *instance) {
		if i.State == "running" {
			reason := "Client.UserInitiatedShutdown: User initiated shutdown"
			if isTrue(in.Hibernate) {
				reason = "Client.UserInitiatedHibernate: User initiated hibernate"
			}
			code, _, _ := strings.Cut(reason, ":")
			i.stop(code, reason, userInitiated(c.now), graceful)
		}
	}), nil
}

func (s *Server) rebootInstances(c *call, in *instancesInput) (*done, error) {
	all, err := c.findInstances(in.IDs)
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		if i.State != "running" {
			return nil, refuse("IncorrectState", "Cannot execute method: reboot. Reason: instance is not in a state to be rebooted (%s).", i.State)
		}
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	for _, i := range all {
		i.reboot()
	}
	return succeeded, nil
}

type terminateInput struct {
	instancesInput
	Force          *bool `query:"Force"`
	SkipOSShutdown *bool `query:"SkipOsShutdown"`
}

func (s *Server) terminateInstances(c *call, in *terminateInput) (*stateChangesOutput, error) {
	all, err := c.findInstances(in.IDs)
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		if i.keepAlive && i.State != "terminated" {
			return nil, refuse("OperationNotPermitted", "The instance '%s' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.", i.ID)
		}
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	return changeEach(all, func(i *instance) {
		if i.State != "terminated" && i.State != "shutting-down" {
			i.terminate("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown", userInitiated(c.now))
		}
	}), nil
}

type monitoringDescription struct {
	State string `xml:"state"`
}

type monitoredInstance struct {
	ID         string                `xml:"instanceId"`
	Monitoring monitoringDescription `xml:"monitoring"`
}

type monitorOutput struct {
	Instances set[monitoredInstance] `xml:"instancesSet"`
}

func (s *Server) monitor(on bool) func(*call, *instancesInput) (*monitorOutput, error) {
	return func(c *call, in *instancesInput) (*monitorOutput, error) {
		all, err := c.findInstances(in.IDs)
		if err != nil {
			return nil, err
		}
		if err := in.check(); err != nil {
			return nil, err
		}
		return &monitorOutput{setFrom(all, func(i *instance) monitoredInstance {
			return monitoredInstance{i.ID, monitoringDescription{i.monitor(on)}}
		})}, nil
	}
}

// monitor turns the monitoring on or off and tells the state that EC2 answers with: a change is under way.
func (i *instance) monitor(on bool) string {
	switch {
	case i.monitoring == on:
		return i.monitoringState()
	case on:
		i.monitoring = true
		return "pending"
	default:
		i.monitoring = false
		return "disabling"
	}
}

func (i *instance) monitoringState() string {
	if i.monitoring {
		return "enabled"
	}
	return "disabled"
}

type consoleInput struct {
	dryRun
	InstanceID string `query:"InstanceId"`
	Latest     *bool  `query:"Latest"`
}

type consoleOutput struct {
	InstanceID string `xml:"instanceId"`
	Timestamp  string `xml:"timestamp"`
	Output     string `xml:"output"`
}

// maxConsole is how much of the end of the console output, in bytes, can be read.
const maxConsole = 64 * 1024

func (s *Server) getConsoleOutput(c *call, in *consoleInput) (*consoleOutput, error) {
	i, err := c.findInstance(in.InstanceID)
	if err != nil {
		return nil, err
	}
	if isTrue(in.Latest) && !i.kind.nitro() {
		return nil, refuse("UnsupportedOperation", "This instance type does not support retrieving the latest console logs. Supported instance types are those built on the Nitro System.")
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	out := &consoleOutput{InstanceID: i.ID, Timestamp: ec2Time(c.now)}
	screen, has := any(i.Machine).(interface{ Console() ([]byte, error) }) // only on Linux
	if i.Machine == nil || !has {
		return out, nil
	}
	text, err := screen.Console()
	if err != nil {
		return out, nil //nolint:nilerr // no output yet is an empty answer
	}
	out.Output = base64.StdEncoding.EncodeToString(text[max(0, len(text)-maxConsole):])
	return out, nil
}

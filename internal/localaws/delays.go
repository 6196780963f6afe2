package localaws

import (
	"fmt"
	"time"
)

// A Profile says how fast this AWS is.
type Profile string

// The profiles.
const (
	Zero      Profile = "zero"      // nothing takes longer than its work
	Demo      Profile = "demo"      // every state can be seen, nobody waits long
	Realistic Profile = "realistic" // the times of AWS
)

// ParseProfile reads a profile's name.
func ParseProfile(name string) (Profile, error) {
	switch p := Profile(name); p {
	case Zero, Demo, Realistic:
		return p, nil
	default:
		return "", fmt.Errorf("profile %q is none of zero, demo, realistic", name)
	}
}

// Delays is how long each thing takes. The zero value takes no time, but EC2 never forgets an instance at once.
type Delays struct {
	APILatency time.Duration // every API call, before it has an effect

	InstancePending   time.Duration // RunInstances or StartInstances until running
	Stopping          time.Duration // StopInstances until stopped
	ShuttingDown      time.Duration // TerminateInstances until terminated
	TerminatedVisible time.Duration // terminated until DescribeInstances forgets it; 10 minutes if 0
	ImagePending      time.Duration // CreateImage until available
	SnapshotPending   time.Duration // CreateSnapshot until completed
	CopyPending       time.Duration // CopyImage or CopySnapshot until available
	EC2Consistency    time.Duration // a new instance until Describe calls know it
	ImageConsistency  time.Duration // a new image or snapshot until Describe calls know it; none in the profiles: amazon-ebs fails where there is one
	VolumeDetach      time.Duration // detaching or deleting a volume

	AgentOnline     time.Duration // machine up until the agent is online
	AgentLost       time.Duration // machine gone until ConnectionLost
	CommandVisible  time.Duration // SendCommand until GetCommandInvocation knows it
	CommandDelivery time.Duration // SendCommand until the agent starts it
	CommandResult   time.Duration // the command's end until its status tells it
	SessionReady    time.Duration // a data channel until the agent's handshake

	IAMPropagation time.Duration // a new role, profile or policy until other services see it
}

// terminatedVisible is how long AWS shows a terminated instance, in every
// profile but realistic cut down so that long-lived servers stay small.
const terminatedVisible = 10 * time.Minute

// DelaysOf is the delays of a profile.
func DelaysOf(p Profile) Delays {
	switch p {
	case Demo:
		return demoDelays()
	case Realistic:
		return realisticDelays()
	case Zero:
	}
	return Delays{}
}

func demoDelays() Delays {
	return Delays{
		APILatency:      2 * time.Millisecond,
		InstancePending: 700 * time.Millisecond,
		Stopping:        800 * time.Millisecond,
		ShuttingDown:    800 * time.Millisecond,
		ImagePending:    2 * time.Second,
		SnapshotPending: 1500 * time.Millisecond,
		CopyPending:     2 * time.Second,
		EC2Consistency:  150 * time.Millisecond,
		VolumeDetach:    200 * time.Millisecond,
		AgentOnline:     time.Second,
		AgentLost:       time.Second,
		CommandVisible:  100 * time.Millisecond,
		CommandDelivery: 150 * time.Millisecond,
		CommandResult:   50 * time.Millisecond,
		SessionReady:    50 * time.Millisecond,
		IAMPropagation:  800 * time.Millisecond,
	}
}

// realisticDelays has one representative value of each range that AWS shows.
func realisticDelays() Delays {
	return Delays{
		APILatency:        60 * time.Millisecond,
		InstancePending:   12 * time.Second,
		Stopping:          30 * time.Second,
		ShuttingDown:      35 * time.Second,
		TerminatedVisible: time.Hour,
		ImagePending:      180 * time.Second,
		SnapshotPending:   120 * time.Second,
		CopyPending:       240 * time.Second,
		EC2Consistency:    500 * time.Millisecond,
		VolumeDetach:      5 * time.Second,
		AgentOnline:       20 * time.Second,
		AgentLost:         5 * time.Minute,
		CommandVisible:    700 * time.Millisecond,
		CommandDelivery:   500 * time.Millisecond,
		CommandResult:     300 * time.Millisecond,
		SessionReady:      400 * time.Millisecond,
		IAMPropagation:    8 * time.Second,
	}
}

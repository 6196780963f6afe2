package amazonlinux

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/hashicorp/packer-plugin-sdk/sdk-internals/communicator/none"

	"github.com/taccoform/packer-plugin-ssm/communicator"
	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// stepSession waits for the agent and connects Packer's communicator to the
// instance. It is also where build.ID, build.Host and the rest are set.
type stepSession struct {
	open *communicator.Communicator // while it is connected
	link *link                      // what it opens sessions with
}

const (
	// usuallyOnline is when an agent is online on AWS at the earliest, mostly, counted from the running instance.
	usuallyOnline = 10 * time.Second

	// watchEvery is how often a wait for the agent also looks whether the instance still lives.
	watchEvery = 10 * time.Second
)

func (s *stepSession) Run(ctx context.Context, bag multistep.StateBag) multistep.StepAction {
	b := buildOf(bag)
	bag.Put(stateGeneratedData, generatedData(b))
	comm, err := s.connect(ctx, b)
	if err == nil {
		bag.Put(stateCommunicator, comm)
	}
	return conclude(bag, phase("connect", err))
}

// Cleanup ends the session. What the communicator has on the instance goes with
// it: it is terminated next.
func (s *stepSession) Cleanup(multistep.StateBag) {
	if s.open != nil {
		s.open.Disconnect()
	}
	s.open = nil
	s.close()
}

const (
	sessionRemoval = time.Minute // for the search for a session whose start was not answered
	partLimit      = 30 * time.Second
)

// part ends the session with an instance that is about to power off: all that the
// communicator has there ends with that, but for files of uploads that were not finished.
func (s *stepSession) part() {
	if s.open != nil {
		ctx, cancel := context.WithTimeout(context.Background(), partLimit)
		defer cancel()
		if err := s.open.Part(ctx); err != nil {
			slog.Warn("part from the instance", "error", err)
		}
	}
	s.open = nil
	s.close()
}

// close ends the session, if there is one, and removes what the communicator has
// on the instance. It may be called again.
func (s *stepSession) close() {
	if s.open != nil {
		if err := s.open.Close(); err != nil {
			slog.Warn("close communicator", "error", err)
		}
	}
	if s.link != nil {
		ctx, cancel := context.WithTimeout(context.Background(), sessionRemoval)
		defer cancel()
		if err := s.link.endLost(ctx); err != nil {
			s.link.tellLost(err)
		}
	}
	s.open, s.link = nil, nil
}

func (s *stepSession) connect(ctx context.Context, b *build) (packersdk.Communicator, error) {
	if b.config.Comm.Type == communicatorNone {
		return none.New("none")
	}
	s.close() // an earlier try's
	b.ui.Say("Waiting for the agent on " + b.instance.id + " to come online...")
	started := time.Now()
	if err := awaitAgent(ctx, b, b.config.SSMTimeout, b.instance.asked); err != nil {
		return nil, err
	}
	b.ui.Say(fmt.Sprintf("Agent online after %s; connecting through Session Manager...", seconds(time.Since(started))))

	limited, cancel := context.WithTimeoutCause(ctx, b.config.connectLimit(time.Since(started)), errSSMTimeout)
	defer cancel()
	s.link = newLink(b)
	comm, err := communicator.Connect(limited, s.link.forCommunicator(), communicatorConfig(b))
	if err != nil {
		return nil, connectError(ctx, b, err)
	}
	s.open = comm
	b.ui.Say("Connected as " + b.config.Comm.SSHUsername)
	if pause := b.config.Comm.PauseBeforeConnect; pause > 0 {
		b.ui.Say(fmt.Sprintf("Pausing %s (pause_before_connecting)...", pause))
		return comm, sleep(ctx, pause)
	}
	return comm, nil
}

// connectMinimum is what an agent that came online at the last moment leaves for the rest, unless ssm_timeout is shorter.
const connectMinimum = 2 * time.Minute

// errSSMTimeout names the limit to the communicator, whose own is ssh_timeout.
var errSSMTimeout = errors.New("ssm_timeout")

// connectLimit is what is left for connecting after the wait for the agent. An ssh_timeout that the template gives counts from
// then on: a login that user data makes possible may take longer than the agent.
func (c *Config) connectLimit(waited time.Duration) time.Duration {
	return max(c.SSMTimeout-waited, min(c.SSMTimeout, connectMinimum), c.sshTimeout+time.Second)
}

func communicatorConfig(b *build) communicator.Config {
	c := b.config
	sdk := c.Comm // a copy: the SDK's type for the same thing is "ssh"
	sdk.Type = communicatorSSH
	return communicator.Config{
		User:           c.Comm.SSHUsername,
		SSH:            &sdk,
		OwnCredentials: c.Comm.Type == communicatorSSH && c.ownCredentials(),
		TTL:            c.InstanceTTL,
		Sessions:       c.SSMTransferSessions,
		Say:            b.ui.Say,
		Logger:         slog.Default(),
	}
}

// awaitAgent waits until Systems Manager sees the agent. The instance is
// watched meanwhile, so that one that dies ends the wait at once. AWS has been at
// it since the given time, which may be zero: the agent starts with the instance.
func awaitAgent(ctx context.Context, b *build, limit time.Duration, since time.Time) error {
	watched := time.Now()
	err := awaitAt(ctx, "agent online", limit, due(usuallyOnline), func(ctx context.Context) (bool, string, error) {
		asked := time.Now()
		online, seen, err := agentOnline(ctx, b)
		if online || err != nil {
			return online, seen, err
		}
		if !since.IsZero() {
			phasesOf(ctx).waited("agent online, since the launch", since, asked)
		}
		if time.Since(watched) < watchEvery {
			return false, seen, nil
		}
		watched = time.Now()
		return false, seen, checkAlive(ctx, b)
	})
	var late *waitError
	if errors.As(err, &late) {
		tellConsole(ctx, b)
		return fmt.Errorf("%w; %s", err, agentRemedy(b))
	}
	return err
}

func agentOnline(ctx context.Context, b *build) (online bool, seen string, err error) {
	found, err := b.aws.ssm.DescribeInstanceInformation(ctx, &ssm.DescribeInstanceInformationInput{
		Filters: []ssmtypes.InstanceInformationStringFilter{{Key: aws.String("InstanceIds"), Values: []string{b.instance.id}}},
	})
	if err != nil {
		return false, "", awsclient.Err(err)
	}
	if len(found.InstanceInformationList) == 0 {
		return false, fmt.Sprintf("%s is running, and its agent has not registered with Systems Manager", b.instance.id), nil
	}
	info := found.InstanceInformationList[0]
	return info.PingStatus == ssmtypes.PingStatusOnline,
		fmt.Sprintf("%s is running, and its agent %s is %s", b.instance.id, aws.ToString(info.AgentVersion), info.PingStatus), nil
}

// checkAlive fails if the instance is on its way out, or gone.
func checkAlive(ctx context.Context, b *build) error {
	seen, err := describeInstance(ctx, b, b.instance.id)
	if err != nil {
		return err
	}
	if state := seen.State.Name; state != types.InstanceStateNamePending && state != types.InstanceStateNameRunning {
		return death(seen)
	}
	return nil
}

// agentRemedy names what keeps an agent from coming online, the likeliest first.
func agentRemedy(b *build) string {
	profile := b.plan.profile.remedy()
	return fmt.Sprintf("check: instance profile (%s); a way out from %s to ssm, ssmmessages and ec2messages on TCP port 443, "+
		"by internet gateway with a public address (associate_public_ip_address), NAT gateway or VPC endpoints; egress of %v; "+
		"that the source image has the agent; a slow start: raise ssm_timeout", profile, b.instance.subnet, b.groups)
}

// connectError adds what the user can do to what the communicator tells.
func connectError(ctx context.Context, b *build, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if dead := checkAlive(ctx, b); dead != nil && awsclient.Code(dead) == "" {
		return errors.Join(dead, err)
	}
	return err
}

package amazonlinux

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// An instance is the machine that the image is made of.
type instance struct {
	id        string
	privateIP string
	publicIP  string
	kind      string // its type
	subnet    string
	zone      string
	spot      bool              // it can't be stopped, and its own shutdown terminates it
	volumes   map[string]string // by device
	asked     time.Time         // when EC2 took the launch
}

const (
	runningLimit     = 10 * time.Minute
	profileLimit     = 2 * time.Minute // for EC2 to see a new instance profile
	profilePoll      = time.Second
	visibleLimit     = time.Minute // for a new id to be known everywhere
	lostPause        = 3 * time.Second
	instanceRemoval  = 2 * time.Minute
	instanceNotFound = "InvalidInstanceID.NotFound"
)

// stepInstance launches the instance and waits until it runs.
type stepInstance struct {
	id         string
	launched   int      // tries, each with a token of its own
	tokens     []string // of launches without an id so far, set before they are asked for
	unanswered bool     // the last of them ended without any answer of EC2's
	asked      time.Time
	fleets     []string // of spot instances, to be removed
}

func (s *stepInstance) Run(ctx context.Context, bag multistep.StateBag) multistep.StepAction {
	b := buildOf(bag)
	err := s.launch(ctx, b)
	if err == nil {
		bag.Put(stateInstanceID, s.id)
	}
	return conclude(bag, phase("launch", err))
}

// Cleanup terminates the instance. It does not wait for the end: nothing
// depends on it but a temporary group, whose own removal waits.
func (s *stepInstance) Cleanup(bag multistep.StateBag) {
	undo(bag, instanceRemoval, s.terminate)
}

// launch adopts the instance of an earlier try, if that still lives.
func (s *stepInstance) launch(ctx context.Context, b *build) error {
	launched := s.runInstance
	if s.id != "" {
		launched = s.awaitRunning
	}
	if err := launched(ctx, b); err != nil || b.config.SkipCreateAMI {
		return err
	}
	return tryImage(ctx, b)
}

// tryImage asks now whether the caller may make the image, and clean up after it: to
// learn that after the provisioners have run would cost all their work.
func tryImage(ctx context.Context, b *build) error {
	ids := []string{b.instance.id}
	return all(
		func() error {
			_, err := b.aws.ec2.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: ids, DryRun: aws.Bool(true)})
			return onlyDenied(err)
		},
		func() error {
			_, err := b.aws.ec2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: ids, DryRun: aws.Bool(true)})
			return onlyDenied(err)
		},
		func() error {
			in := imageInput(b)
			in.DryRun = aws.Bool(true)
			_, err := b.aws.ec2.CreateImage(ctx, in)
			return onlyDenied(err)
		},
	)
}

// onlyDenied drops what a dry run says about anything but permission.
func onlyDenied(err error) error {
	if awsclient.Denied(err) || errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (s *stepInstance) what() string { return "instance " + s.id }

// runInstance tries the places of the plan until one has an instance that runs: spot,
// all at once, then on-demand, one after the other.
func (s *stepInstance) runInstance(ctx context.Context, b *build) error {
	var tried []string
	attempt := func(what string, ask func(context.Context, *build) (string, error)) error {
		b.ui.Say("Launching " + what + "...")
		tried = append(tried, what)
		err := s.ask(ctx, b, ask)
		if err == nil {
			err = s.awaitRunning(ctx, b)
		}
		if code := awsclient.Code(err); full(err) && code != "" {
			b.ui.Say(fmt.Sprintf("%s: %s: %s", what, code, awsclient.Message(err)))
		} else if full(err) {
			b.ui.Say(fmt.Sprintf("%s: %v", what, err))
		}
		return err
	}
	var err error
	if len(b.plan.spot) > 0 {
		if err = attempt("a spot instance", s.askSpot); !full(err) {
			return err
		}
	}
	for _, at := range b.plan.places {
		if err = attempt(at.String(), s.askOnDemand(at)); !full(err) {
			return err
		}
	}
	return fmt.Errorf("%w; AWS has none of: %s; give more instance_types, or subnets of other zones", awsclient.Err(err), strings.Join(tried, ", "))
}

// full tells that AWS has no room for a launch, whether it says so at once or later.
func full(err error) bool {
	var died *deathError
	return awsclient.OutOfCapacity(err) || errors.As(err, &died) && died.outOfCapacity()
}

// newToken is the token of one launch, by which EC2 knows it when it is asked again.
func (s *stepInstance) newToken(b *build) string {
	s.launched++
	token := fmt.Sprintf("packer-%s-%d", b.id, s.launched)
	s.tokens = append(s.tokens, token)
	return token
}

// ask launches by one way of asking. A launch that was refused for want of
// capacity made nothing, so its token is forgotten.
func (s *stepInstance) ask(ctx context.Context, b *build, launch func(context.Context, *build) (string, error)) error {
	var id string
	err := retryProfile(ctx, func() (err error) {
		ctx, cancel := creating(ctx)
		defer cancel()
		id, err = launch(ctx, b)
		return err
	})
	if err != nil {
		s.unanswered = awsclient.Code(err) == ""
		if awsclient.OutOfCapacity(err) {
			s.tokens = nil
		}
		return err
	}
	s.id, s.tokens, s.asked = id, nil, time.Now()
	b.made.enter(s.what(), "aws ec2 terminate-instances --region %s --instance-ids %s", b.plan.region, s.id)
	b.ui.Say("Instance: " + s.id)
	return nil
}

func (s *stepInstance) askOnDemand(at place) func(context.Context, *build) (string, error) {
	token := ""
	return func(ctx context.Context, b *build) (string, error) {
		if token == "" { // the same while the profile is awaited
			token = s.newToken(b)
		}
		in := runInput(b, b.plan, at, b.profile, b.groups)
		in.ClientToken = aws.String(token)
		made, err := b.aws.ec2.RunInstances(ctx, in)
		if err != nil {
			return "", err
		}
		return aws.ToString(made.Instances[0].InstanceId), nil
	}
}

// retryProfile tries a launch again while EC2 does not see the new instance
// profile yet. IAM tells no moment from which on it does; only the launch itself does.
func retryProfile(ctx context.Context, launch func() error) error {
	for started := time.Now(); ; {
		asked := time.Now()
		err := launch()
		if !profileUnseen(err) || ctx.Err() != nil {
			return err
		}
		phasesOf(ctx).waited("instance profile seen", started, asked)
		if time.Since(started) > profileLimit {
			return fmt.Errorf("instance profile not visible to EC2 within %s: %w", profileLimit, awsclient.Err(err))
		}
		if err := sleep(ctx, profilePoll); err != nil {
			return err
		}
	}
}

// profileUnseen recognises the one refusal that passes. Its code is that of
// every bad parameter, so here the message must tell.
func profileUnseen(err error) bool {
	return awsclient.Code(err) == "InvalidParameterValue" &&
		strings.Contains(strings.ToLower(awsclient.Message(err)), "iaminstanceprofile")
}

// usuallyRunning is when an instance runs on AWS at the latest, mostly. What comes next is
// its agent, which is up some ten seconds later: nobody waits for a look that is late here.
const usuallyRunning = 15 * time.Second

// awaitRunning waits until the instance runs and keeps its addresses. After one that died another try launches another.
func (s *stepInstance) awaitRunning(ctx context.Context, b *build) error {
	unseenUntil := time.Now().Add(visibleLimit)
	err := awaitAt(ctx, s.what()+" running", b.config.waitLimit(runningLimit), due(usuallyRunning), func(ctx context.Context) (bool, string, error) {
		seen, err := describeInstance(ctx, b, s.id)
		if awsclient.Code(err) == instanceNotFound && time.Now().Before(unseenUntil) {
			return false, "not visible yet", nil
		}
		if err != nil {
			return false, "", err
		}
		switch seen.State.Name {
		case types.InstanceStateNameRunning:
			b.instance = known(seen)
			b.instance.asked = s.asked
			return true, "", nil
		case types.InstanceStateNamePending:
			return false, "pending", nil
		default:
			return false, "", death(seen)
		}
	})
	var died *deathError
	if errors.As(err, &died) {
		for _, device := range kept(b.plan.volumes) {
			b.enterVolume(s.id, device)
		}
		b.made.strike(s.what())
		s.id = ""
	}
	return err
}

// known is what the build needs to know of its instance.
func known(seen *types.Instance) *instance {
	i := &instance{
		id: aws.ToString(seen.InstanceId), kind: string(seen.InstanceType), subnet: aws.ToString(seen.SubnetId),
		privateIP: aws.ToString(seen.PrivateIpAddress), publicIP: aws.ToString(seen.PublicIpAddress),
		spot: seen.InstanceLifecycle == types.InstanceLifecycleTypeSpot,
	}
	i.volumes = map[string]string{}
	for _, d := range seen.BlockDeviceMappings {
		if d.Ebs != nil {
			i.volumes[aws.ToString(d.DeviceName)] = aws.ToString(d.Ebs.VolumeId)
		}
	}
	if seen.Placement != nil {
		i.zone = aws.ToString(seen.Placement.AvailabilityZone)
	}
	return i
}

// describeInstance returns the instance, or an error with instanceNotFound.
func describeInstance(ctx context.Context, b *build, id string) (*types.Instance, error) {
	found, err := b.aws.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		return nil, awsclient.Err(err)
	}
	for _, reservation := range found.Reservations {
		for _, i := range reservation.Instances {
			return &i, nil
		}
	}
	return nil, fmt.Errorf("DescribeInstances: no answer for %s", id)
}

// terminate ends the instance. Where an answer to a launch was lost, it looks
// for what that launch may have made.
func (s *stepInstance) terminate(ctx context.Context, b *build) error {
	ids, err := s.lost(ctx, b)
	if s.id != "" {
		ids = append(ids, s.id)
	}
	for _, id := range ids {
		what := "instance " + id
		err = errors.Join(err, takeVolumes(ctx, b, id))
		b.letGo(ctx, id)
		_, terminateErr := b.aws.ec2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
		if terminateErr != nil && awsclient.Code(terminateErr) != instanceNotFound {
			err = errors.Join(err, fmt.Errorf("%s: %w; run: %s", what, awsclient.Err(terminateErr), b.made.remedy(what)))
			continue
		}
		b.made.strike(what)
	}
	return errors.Join(err, s.removeFleets(ctx, b))
}

// takeVolumes sees to it that the volumes go with the instance which the
// template, for the sake of the image, has outlive theirs.
func takeVolumes(ctx context.Context, b *build, id string) error {
	devices := kept(b.plan.volumes)
	if len(devices) == 0 {
		return nil
	}
	in := &ec2.ModifyInstanceAttributeInput{InstanceId: aws.String(id)}
	for _, name := range devices {
		in.BlockDeviceMappings = append(in.BlockDeviceMappings, types.InstanceBlockDeviceMappingSpecification{
			DeviceName: aws.String(name), Ebs: &types.EbsInstanceBlockDeviceSpecification{DeleteOnTermination: aws.Bool(true)},
		})
	}
	_, err := b.aws.ec2.ModifyInstanceAttribute(ctx, in)
	if err == nil {
		return nil
	}
	for _, name := range devices {
		b.enterVolume(id, name)
	}
	if code := awsclient.Code(err); code == instanceNotFound || code == "IncorrectInstanceState" {
		return nil // it has ended by itself, and its volumes have outlived it
	}
	return fmt.Errorf("volumes of %s at %s: %w", id, strings.Join(devices, ", "), awsclient.Err(err))
}

// enterVolume records a volume that its instance will leave behind.
func (b *build) enterVolume(instance, device string) {
	if b.instance != nil && b.instance.id == instance && b.instance.volumes[device] != "" {
		volume := b.instance.volumes[device]
		b.made.enter("volume "+volume, "aws ec2 delete-volume --region %s --volume-id %s", b.plan.region, volume)
		return
	}
	b.made.enter(fmt.Sprintf("volume of %s at %s", instance, device),
		"aws ec2 describe-volumes --region %s --filters Name=tag:%s,Values=%s has its id; aws ec2 delete-volume --region %[1]s --volume-id", b.plan.region, tagBuild, b.id)
}

// lost finds the instances of launches that were not answered with an id. A launch that was under way when it was given up may show only a moment later.
func (s *stepInstance) lost(ctx context.Context, b *build) ([]string, error) {
	if len(s.tokens) == 0 {
		return nil, nil
	}
	ids, err := s.own(ctx, b)
	if err == nil && len(ids) == 0 && s.unanswered {
		_ = sleep(ctx, lostPause)
		ids, err = s.own(ctx, b)
	}
	if err != nil {
		return nil, fmt.Errorf("look for an instance whose launch was not answered: %w; find it by the tag %s=%s", awsclient.Err(err), tagBuild, b.id)
	}
	for _, id := range ids {
		b.made.enter("instance "+id, "aws ec2 terminate-instances --region %s --instance-ids %s", b.plan.region, id)
	}
	return ids, nil
}

// own are the instances of this build, found by its tag: those of a fleet have
// no token. What fleet they are of is learned with them.
func (s *stepInstance) own(ctx context.Context, b *build) ([]string, error) {
	found, err := b.aws.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{
		Filters: []types.Filter{filter("tag:"+tagBuild, b.id), filter("instance-state-name", "pending", "running", "stopping", "stopped")},
	})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, reservation := range found.Reservations {
		for _, i := range reservation.Instances {
			ids = append(ids, aws.ToString(i.InstanceId))
			for _, t := range i.Tags {
				if aws.ToString(t.Key) == "aws:ec2:fleet-id" {
					s.keepFleet(b, aws.ToString(t.Value))
				}
			}
		}
	}
	return ids, nil
}

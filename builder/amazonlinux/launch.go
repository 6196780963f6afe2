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

	"github.com/taccoform/packer-plugin-ssm/communicator"
	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// An instance is the machine that the image is made of.
type instance struct {
	id        string
	privateIP string
	publicIP  string
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
	if s.id == "" {
		if err := s.runInstance(ctx, b); err != nil {
			return err
		}
	}
	err := s.awaitRunning(ctx, b)
	var died *deathError
	if errors.As(err, &died) {
		// Another try is to launch another one.
		b.made.strike(s.what())
		s.id = ""
	}
	if err != nil || b.config.SkipCreateAMI {
		return err
	}
	return tryImage(ctx, b)
}

// tryImage asks now whether the caller may make the image: to learn that after
// the provisioners have run would cost all their work.
func tryImage(ctx context.Context, b *build) error {
	return all(
		func() error {
			_, err := b.aws.ec2.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{b.instance.id}, DryRun: aws.Bool(true)})
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

func (s *stepInstance) runInstance(ctx context.Context, b *build) error {
	s.launched++
	token := fmt.Sprintf("packer-%s-%d", b.id, s.launched)
	s.tokens = append(s.tokens, token)
	b.ui.Say(fmt.Sprintf("Launching %s in %s...", b.plan.source.instanceType, b.plan.network.subnet))

	var made *ec2.RunInstancesOutput
	err := retryProfile(ctx, func() (err error) {
		ctx, cancel := creating(ctx)
		defer cancel()
		made, err = b.aws.ec2.RunInstances(ctx, runInput(b, b.plan, b.profile, b.groups, token))
		return err
	})
	if err != nil {
		s.unanswered = awsclient.Code(err) == ""
		return err
	}
	s.id = aws.ToString(made.Instances[0].InstanceId)
	s.tokens = nil
	b.made.enter(s.what(), "aws ec2 terminate-instances --region %s --instance-ids %s", b.plan.region, s.id)
	b.ui.Say("Instance: " + s.id)
	return nil
}

// retryProfile tries a launch again while EC2 does not see the new instance
// profile yet. IAM tells no moment from which on it does; only the launch itself does.
func retryProfile(ctx context.Context, launch func() error) error {
	for started := time.Now(); ; {
		err := launch()
		if !profileUnseen(err) || ctx.Err() != nil {
			return err
		}
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

// runInput is the launch as EC2 takes it; the plan's dry run sends the same.
func runInput(b *build, p *plan, profile string, groups []string, token string) *ec2.RunInstancesInput {
	c := b.config
	in := &ec2.RunInstancesInput{
		ImageId:                           p.source.image.ImageId,
		InstanceType:                      types.InstanceType(p.source.instanceType),
		MinCount:                          aws.Int32(1),
		MaxCount:                          aws.Int32(1),
		BlockDeviceMappings:               p.volumes,
		InstanceInitiatedShutdownBehavior: types.ShutdownBehavior(c.ShutdownBehavior),
		MetadataOptions:                   c.MetadataOptions.request(),
		TagSpecifications: []types.TagSpecification{
			tagged(types.ResourceTypeInstance, p.texts.run),
			tagged(types.ResourceTypeVolume, p.texts.volumes),
			tagged(types.ResourceTypeNetworkInterface, p.texts.run),
		},
	}
	if token != "" {
		in.ClientToken = aws.String(token)
	}
	if c.userData != "" {
		in.UserData = aws.String(c.userData)
	}
	if strings.HasPrefix(profile, "arn:") {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Arn: aws.String(profile)}
	} else if profile != "" {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String(profile)}
	}
	placeIn(in, p.network.subnet, groups, c.AssociatePublicIPAddress.ToBoolPointer())
	return in
}

// placeIn sets subnet and groups. A public address that is asked for, or asked
// not to be, can only be said on the network interface.
func placeIn(in *ec2.RunInstancesInput, subnet string, groups []string, public *bool) {
	if public == nil {
		in.SubnetId, in.SecurityGroupIds = aws.String(subnet), groups
		return
	}
	in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{
		DeviceIndex:              aws.Int32(0),
		SubnetId:                 aws.String(subnet),
		Groups:                   groups,
		AssociatePublicIpAddress: public,
		DeleteOnTermination:      aws.Bool(true),
	}}
}

func (m MetadataOptions) request() *types.InstanceMetadataOptionsRequest {
	request := &types.InstanceMetadataOptionsRequest{
		HttpEndpoint:         types.InstanceMetadataEndpointState(m.HTTPEndpoint),
		HttpTokens:           types.HttpTokensState(m.HTTPTokens),
		InstanceMetadataTags: types.InstanceMetadataTagsState(m.InstanceMetadataTags),
	}
	if m.HTTPPutResponseHopLimit != 0 {
		request.HttpPutResponseHopLimit = aws.Int32(int32(m.HTTPPutResponseHopLimit))
	}
	return request
}

// awaitRunning waits until the instance runs and keeps its addresses.
func (s *stepInstance) awaitRunning(ctx context.Context, b *build) error {
	unseenUntil := time.Now().Add(visibleLimit)
	return await(ctx, s.what()+" running", runningLimit, func(ctx context.Context) (bool, string, error) {
		seen, err := describeInstance(ctx, b, s.id)
		if awsclient.Code(err) == instanceNotFound && time.Now().Before(unseenUntil) {
			return false, "not visible yet", nil
		}
		if err != nil {
			return false, "", err
		}
		switch seen.State.Name {
		case types.InstanceStateNameRunning:
			b.instance = &instance{id: s.id, privateIP: aws.ToString(seen.PrivateIpAddress), publicIP: aws.ToString(seen.PublicIpAddress)}
			return true, "", nil
		case types.InstanceStateNamePending:
			return false, "pending", nil
		default:
			return false, "", death(seen)
		}
	})
}

// A deathError is an instance that ended while the build needed it.
type deathError struct {
	id, state, reason string
}

func (e *deathError) Error() string {
	if e.reason == "" {
		return fmt.Sprintf("instance %s is %s, and EC2 gives no reason; did something in the guest shut it down, or somebody terminate it?", e.id, e.state)
	}
	return fmt.Sprintf("instance %s is %s: %s", e.id, e.state, e.reason)
}

// Unwrap says that waiting for the instance is pointless.
func (e *deathError) Unwrap() error { return communicator.ErrPermanent }

func death(seen *types.Instance) error {
	e := &deathError{id: aws.ToString(seen.InstanceId), state: string(seen.State.Name)}
	if r := seen.StateReason; r != nil {
		e.reason = strings.TrimSpace(aws.ToString(r.Code) + " " + aws.ToString(r.Message))
	}
	return e
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
		_, terminateErr := b.aws.ec2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
		if terminateErr != nil && awsclient.Code(terminateErr) != instanceNotFound {
			err = errors.Join(err, fmt.Errorf("%s: %w; run: %s", what, awsclient.Err(terminateErr), b.made.remedy(what)))
			continue
		}
		b.made.strike(what)
	}
	return err
}

// lost finds instances by the tokens of launches that were not answered with
// an id. A launch that was under way when it was given up may show only a moment later.
func (s *stepInstance) lost(ctx context.Context, b *build) ([]string, error) {
	if len(s.tokens) == 0 {
		return nil, nil
	}
	ids, err := byToken(ctx, b, s.tokens)
	if err == nil && len(ids) == 0 && s.unanswered {
		_ = sleep(ctx, lostPause)
		ids, err = byToken(ctx, b, s.tokens)
	}
	if err != nil {
		return nil, fmt.Errorf("look for an instance whose launch was not answered: %w; find it by the tag %s=%s", awsclient.Err(err), tagBuild, b.id)
	}
	for _, id := range ids {
		b.made.enter("instance "+id, "aws ec2 terminate-instances --region %s --instance-ids %s", b.plan.region, id)
	}
	return ids, nil
}

func byToken(ctx context.Context, b *build, tokens []string) ([]string, error) {
	found, err := b.aws.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{
		Filters: []types.Filter{filter("client-token", tokens...), filter("instance-state-name", "pending", "running", "stopping", "stopped")},
	})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, reservation := range found.Reservations {
		for _, i := range reservation.Instances {
			ids = append(ids, aws.ToString(i.InstanceId))
		}
	}
	return ids, nil
}

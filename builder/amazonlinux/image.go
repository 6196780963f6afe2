package amazonlinux

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

const (
	usuallyStopped = 15 * time.Second // at the earliest, mostly

	stoppedLimit = 15 * time.Minute
	imageLimit   = 2 * time.Hour
	imageRemoval = 5 * time.Minute

	snapshotRemoval = time.Minute
)

// stepImage stops the instance and makes the image. An image that did not
// become available is removed with its snapshots; one that did is never.
type stepImage struct {
	session *stepSession

	image *pending
}

func (s *stepImage) Run(ctx context.Context, bag multistep.StateBag) multistep.StepAction {
	return conclude(bag, phase("image", s.create(ctx, buildOf(bag))))
}

// Cleanup removes an image that did not become available.
func (s *stepImage) Cleanup(bag multistep.StateBag) {
	if s.image != nil && !s.image.available {
		undo(bag, imageRemoval, s.image.discard)
		buildOf(bag).keep(s.image)
	}
}

// create goes on with the image of an earlier try, unless that is dead.
func (s *stepImage) create(ctx context.Context, b *build) error {
	if s.image == nil {
		s.image = &pending{target: b.plan.images.build, api: &b.aws.ec2}
	}
	if s.image.dead {
		if err := s.image.discard(ctx, b); err != nil {
			return err
		}
	}
	if s.image.id == "" {
		s.session.part()
		if err := stop(ctx, b); err != nil {
			return err
		}
		if err := createImage(ctx, b, s.image); err != nil {
			return err
		}
	}
	if err := s.image.awaitAvailable(ctx, b); err != nil {
		return err
	}
	b.images = []*pending{s.image}
	return nil
}

// stop stops the instance, so that the file systems are whole in the image.
// EC2's own stop does not count as the guest's, so shutdown_behavior does not
// apply. A spot instance can't be stopped: CreateImage reboots it instead.
func stop(ctx context.Context, b *build) error {
	if b.instance.spot {
		return nil
	}
	if b.config.DisableStopInstance {
		b.ui.Say(fmt.Sprintf("Waiting for %s to stop by itself (disable_stop_instance)...", b.instance.id))
	} else {
		b.ui.Say(fmt.Sprintf("Stopping %s...", b.instance.id))
		_, err := b.aws.ec2.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{b.instance.id}})
		if err != nil {
			return whyNot(ctx, b, err)
		}
	}
	return awaitAt(ctx, "instance "+b.instance.id+" stopped", b.config.waitLimit(stoppedLimit), due(usuallyStopped), func(ctx context.Context) (bool, string, error) {
		seen, err := describeInstance(ctx, b, b.instance.id)
		if err != nil {
			return false, "", err
		}
		switch seen.State.Name {
		case types.InstanceStateNameStopped:
			return true, "", nil
		case types.InstanceStateNameShuttingDown, types.InstanceStateNameTerminated:
			return false, "", fmt.Errorf("%w; if a provisioner shuts the machine down, set shutdown_behavior = \"stop\"", death(seen))
		default:
			return false, string(seen.State.Name), nil
		}
	})
}

func createImage(ctx context.Context, b *build, p *pending) error {
	b.ui.Say(fmt.Sprintf("Creating image %q...", p.target.name))
	p.asked++
	ctx, cancel := creating(ctx)
	defer cancel()
	made, err := p.api.CreateImage(ctx, imageInput(b))
	if awsclient.Code(err) == "InvalidAMIName.Duplicate" {
		return p.adopt(ctx, b, err)
	}
	if err != nil {
		return whyNot(ctx, b, err)
	}
	p.known(b, aws.ToString(made.ImageId))
	return nil
}

// whyNot adds to a refusal that is about the instance's state what its end was: a spot instance
// that AWS took back, say, or the timer of instance_ttl.
func whyNot(ctx context.Context, b *build, refused error) error {
	if code := awsclient.Code(refused); code != "IncorrectInstanceState" && code != instanceNotFound {
		return refused
	}
	return errors.Join(checkAlive(ctx, b), awsclient.Err(refused))
}

// imageInput is the image as EC2 takes it: tagged and described at creation.
func imageInput(b *build) *ec2.CreateImageInput {
	in := &ec2.CreateImageInput{
		InstanceId:        aws.String(b.instance.id),
		Name:              aws.String(b.plan.images.build.name),
		TagSpecifications: imageTags(b.plan, b.plan.images.build),
		BootModeOverride:  types.BootModeOverrideValues(b.config.BootMode),
	}
	if b.plan.texts.description != "" {
		in.Description = aws.String(b.plan.texts.description)
	}
	for i := range b.config.AMIMappings {
		in.BlockDeviceMappings = append(in.BlockDeviceMappings, b.config.AMIMappings[i].mapping())
	}
	return in
}

func imageTags(p *plan, t target) []types.TagSpecification {
	return []types.TagSpecification{
		tagged(types.ResourceTypeImage, t.tags(p.texts.image)),
		tagged(types.ResourceTypeSnapshot, t.tags(p.texts.snapshots)),
	}
}

// tags are those of the image, or its snapshots, with the target's own laid over them.
func (t target) tags(all map[string]string) map[string]string {
	if t.account == nil {
		return all
	}
	return merge(all, t.account.tags)
}

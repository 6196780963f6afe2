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

const (
	stoppedLimit  = 15 * time.Minute
	imageLimit    = 2 * time.Hour
	imageRemoval  = 5 * time.Minute
	progressEvery = 15 * time.Second

	snapshotRemoval = time.Minute
)

// stepImage stops the instance and makes the image. An image that did not
// become available is removed with its snapshots; one that did is never.
type stepImage struct {
	session *stepSession

	asked bool   // CreateImage was sent, whether or not it was answered
	id    string // known once it was answered
}

func (s *stepImage) Run(ctx context.Context, bag multistep.StateBag) multistep.StepAction {
	return conclude(bag, phase("image", s.create(ctx, buildOf(bag))))
}

// Cleanup removes an image that did not become available.
func (s *stepImage) Cleanup(bag multistep.StateBag) {
	if buildOf(bag).image == "" {
		undo(bag, imageRemoval, s.discard)
	}
}

func (s *stepImage) create(ctx context.Context, b *build) error {
	if s.id == "" {
		s.session.close()
		if err := stop(ctx, b); err != nil {
			return err
		}
		if err := s.createImage(ctx, b); err != nil {
			return err
		}
	}
	if err := s.awaitAvailable(ctx, b); err != nil {
		return err
	}
	b.image = s.id
	b.made.strike(s.what())
	return nil
}

// stop stops the instance, so that the file systems are whole in the image.
// EC2's own stop does not count as the guest's, so shutdown_behavior does not apply.
func stop(ctx context.Context, b *build) error {
	b.ui.Say(fmt.Sprintf("Stopping %s...", b.instance.id))
	_, err := b.aws.ec2.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{b.instance.id}})
	if err != nil {
		return err
	}
	return await(ctx, "instance "+b.instance.id+" stopped", stoppedLimit, func(ctx context.Context) (bool, string, error) {
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

func (s *stepImage) what() string { return "image " + s.id }

func (s *stepImage) createImage(ctx context.Context, b *build) error {
	b.ui.Say(fmt.Sprintf("Creating image %q...", b.config.AMIName))
	s.asked = true
	ctx, cancel := creating(ctx)
	defer cancel()
	made, err := b.aws.ec2.CreateImage(ctx, imageInput(b))
	if awsclient.Code(err) == "InvalidAMIName.Duplicate" {
		return s.adopt(ctx, b, err)
	}
	if err != nil {
		return err
	}
	s.known(b, aws.ToString(made.ImageId))
	return nil
}

// imageInput is the image as EC2 takes it: tagged and described at creation.
func imageInput(b *build) *ec2.CreateImageInput {
	in := &ec2.CreateImageInput{
		InstanceId: aws.String(b.instance.id),
		Name:       aws.String(b.config.AMIName),
		TagSpecifications: []types.TagSpecification{
			tagged(types.ResourceTypeImage, b.plan.texts.image),
			tagged(types.ResourceTypeSnapshot, b.plan.texts.snapshots),
		},
	}
	if b.plan.texts.description != "" {
		in.Description = aws.String(b.plan.texts.description)
	}
	return in
}

func (s *stepImage) known(b *build, id string) {
	s.id = id
	b.made.enter(s.what(), "aws ec2 deregister-image --region %s --image-id %s --delete-associated-snapshots", b.plan.region, id)
	b.ui.Say("Image: " + id)
}

// adopt takes the image that has the name for ours if it carries this build's
// tag: then an answer was lost and the SDK asked again.
func (s *stepImage) adopt(ctx context.Context, b *build, taken error) error {
	id, err := findOwn(ctx, b)
	if err != nil || id == "" {
		return errors.Join(awsclient.Err(taken), awsclient.Err(err))
	}
	s.known(b, id)
	return nil
}

// findOwn finds this build's image by its tag; "" if there is none.
func findOwn(ctx context.Context, b *build) (string, error) {
	found, err := b.aws.ec2.DescribeImages(ctx, &ec2.DescribeImagesInput{
		Owners:  []string{"self"},
		Filters: []types.Filter{filter("tag:"+tagBuild, b.id)},
	})
	if err != nil || len(found.Images) == 0 {
		return "", err
	}
	return aws.ToString(found.Images[0].ImageId), nil
}

func (s *stepImage) awaitAvailable(ctx context.Context, b *build) error {
	unseenUntil := time.Now().Add(visibleLimit)
	progress := progress{b: b, next: time.Now().Add(progressEvery)}
	return await(ctx, s.what()+" available", imageLimit, func(ctx context.Context) (bool, string, error) {
		found, err := b.aws.ec2.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{s.id}})
		unseen := strings.HasPrefix(awsclient.Code(err), "InvalidAMIID") || err == nil && len(found.Images) == 0
		if unseen && time.Now().Before(unseenUntil) {
			return false, "not visible yet", nil
		}
		if unseen {
			return false, "", fmt.Errorf("%s is gone; did somebody deregister it?", s.what())
		}
		if err != nil {
			return false, "", awsclient.Err(err)
		}
		image := found.Images[0]
		switch image.State {
		case types.ImageStateAvailable:
			return true, "", nil
		case types.ImageStatePending:
			return false, progress.of(ctx), nil
		default:
			return false, "", fmt.Errorf("%s is %s: %s", s.what(), image.State, stateReason(image.StateReason))
		}
	})
}

func stateReason(r *types.StateReason) string {
	if r == nil {
		return "EC2 gives no reason"
	}
	return strings.TrimSpace(aws.ToString(r.Code) + " " + aws.ToString(r.Message))
}

// progress prints how far the snapshots are, now and then.
type progress struct {
	b    *build
	next time.Time
	last string
}

// of returns what was seen last. The look is a courtesy: its failure is not the build's.
func (p *progress) of(ctx context.Context) string {
	if time.Now().Before(p.next) {
		return "pending " + p.last
	}
	p.next = time.Now().Add(progressEvery)
	snapshots, err := ownSnapshots(ctx, p.b)
	if err != nil || len(snapshots) == 0 {
		return "pending " + p.last
	}
	parts := make([]string, len(snapshots))
	for i, s := range snapshots {
		parts[i] = fmt.Sprintf("%s %s", aws.ToString(s.SnapshotId), aws.ToString(s.Progress))
	}
	if seen := strings.Join(parts, ", "); seen != p.last {
		p.last = seen
		p.b.ui.Say("Snapshot: " + seen)
	}
	return "pending " + p.last
}

func ownSnapshots(ctx context.Context, b *build) ([]types.Snapshot, error) {
	found, err := b.aws.ec2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{
		OwnerIds: []string{"self"},
		Filters:  []types.Filter{filter("tag:"+tagBuild, b.id)},
	})
	if err != nil {
		return nil, err
	}
	return found.Snapshots, nil
}

// discard removes the image that did not become available, and its snapshots.
func (s *stepImage) discard(ctx context.Context, b *build) error {
	if !s.asked {
		return nil
	}
	if s.id == "" {
		id, err := findOwn(ctx, b)
		if err != nil {
			return fmt.Errorf("look for an image that may have been made: %w; find it by the tag %s=%s", awsclient.Err(err), tagBuild, b.id)
		}
		if id == "" {
			return nil
		}
		s.known(b, id)
	}
	b.ui.Say("Removing " + s.what() + ", which did not become available...")
	err := removeImage(ctx, &b.aws.ec2, s.id, func() ([]string, error) {
		snapshots, err := ownSnapshots(ctx, b)
		return snapshotIDs(snapshots), err
	})
	if err != nil {
		return fmt.Errorf("%s: %w; run: %s", s.what(), err, b.made.remedy(s.what()))
	}
	b.made.strike(s.what())
	return nil
}

func snapshotIDs(snapshots []types.Snapshot) []string {
	ids := make([]string, len(snapshots))
	for i, s := range snapshots {
		ids[i] = aws.ToString(s.SnapshotId)
	}
	return ids
}

// removeImage deregisters an image, then lists its snapshots and deletes them.
// It lists them only then: a pending image goes on making snapshots.
func removeImage(ctx context.Context, api *ec2Calls, id string, list func() ([]string, error)) error {
	_, err := api.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String(id)})
	if err != nil && !strings.HasPrefix(awsclient.Code(err), "InvalidAMIID") {
		return awsclient.Err(err)
	}
	snapshots, err := list()
	errs := []error{awsclient.Err(err)}
	for _, snapshot := range snapshots {
		errs = append(errs, removeSnapshot(ctx, api, snapshot))
	}
	return errors.Join(errs...)
}

// removeSnapshot waits for the moment that an image takes to let go of its snapshot.
func removeSnapshot(ctx context.Context, api *ec2Calls, id string) error {
	return await(ctx, "delete snapshot "+id, snapshotRemoval, func(ctx context.Context) (bool, string, error) {
		_, err := api.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(id)})
		switch code := awsclient.Code(err); {
		case err == nil || code == "InvalidSnapshot.NotFound":
			return true, "", nil
		case code == "InvalidSnapshot.InUse":
			return false, awsclient.Message(err), nil
		}
		return false, "", awsclient.Err(err)
	})
}

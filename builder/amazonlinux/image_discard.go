package amazonlinux

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// lateLimit is how long an image that was given up is waited for where it is
// about to be available, or where EC2 does not know it yet.
const lateLimit = time.Minute

// discard removes the image that did not become available, and its snapshots.
// One that becomes available after all is never lost: it stays where that is
// seen before its removal, and is registered again where that is seen after it.
func (p *pending) discard(ctx context.Context, b *build) error {
	if p.asked == 0 || p.available {
		return nil
	}
	if err := p.identify(ctx, b); err != nil || p.id == "" {
		return err
	}
	if err := p.lookAgain(ctx, b); err != nil || p.available {
		return err
	}
	b.ui.Say("Removing " + p.what() + ", which did not become available...")
	var again *ec2.RegisterImageInput
	var unread error
	if p.image.State == types.ImageStatePending {
		again, unread = registration(ctx, b, p, p.target.name)
	}
	if err := deregisterImage(ctx, p.api, p.id); err != nil {
		return fmt.Errorf("%s: %w; run: %s", p.what(), err, b.made.remedy(p.what()))
	}
	return p.discardSnapshots(ctx, b, again, unread)
}

// identify finds the image's id where no request that may have made it was answered; it stays "" if there is none.
func (p *pending) identify(ctx context.Context, b *build) error {
	if p.id != "" {
		return nil
	}
	id, err := findOwn(ctx, p.api, b, p.target.name)
	if err != nil {
		return fmt.Errorf("look in %s for an image that may have been made: %w; find it by the tag %s=%s",
			p.target.where(), awsclient.Err(err), tagBuild, b.id)
	}
	if id != "" {
		p.known(b, id)
	}
	return nil
}

// lookAgain looks whether the image that was given up is available after all: then it stays.
// Where that can't be seen it stays, too, and is told.
func (p *pending) lookAgain(ctx context.Context, b *build) error {
	err := await(ctx, p.what()+" given up", lateLimit, func(ctx context.Context) (bool, string, error) {
		found, err := p.api.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{p.id}})
		unseen := strings.HasPrefix(awsclient.Code(err), "InvalidAMIID") || err == nil && len(found.Images) == 0
		switch {
		case unseen:
			gone := p.image.ImageId != nil || awsclient.Code(err) == "InvalidAMIID.Unavailable"
			p.image.State = ""
			return gone, "not visible yet", nil
		case err != nil:
			return false, "", fmt.Errorf("%s stays, because it can't be seen whether it is available: %w; to remove it, run: %s",
				p.what(), awsclient.Err(err), b.made.remedy(p.what()))
		}
		p.image = found.Images[0]
		return !p.comes(ctx, b), "about to be available", nil
	})
	if late := (*waitError)(nil); errors.As(err, &late) {
		return nil
	}
	return err
}

// comes tells whether an image is about to be available: it is pending, and all of its snapshots are completed.
// One that is available is noted, and so is one that EC2 has given up on.
func (p *pending) comes(ctx context.Context, b *build) bool {
	switch p.image.State {
	case types.ImageStateAvailable:
		p.available = true
		b.made.strike(p.what())
		return false
	case types.ImageStatePending:
		snapshots, err := ownSnapshots(ctx, p.api, b) // a courtesy: it is listed again once the image is removed
		return err == nil && completed(snapshots)
	default:
		p.dead = true
		return false
	}
}

func completed(snapshots []types.Snapshot) bool {
	for _, s := range snapshots {
		if s.State != types.SnapshotStateCompleted {
			return false
		}
	}
	return len(snapshots) > 0
}

// discardSnapshots deletes the snapshots of the image that was deregistered, unless they are all completed: then it may
// have become available since it was looked at, and is registered again. They are listed only now: a pending image
// goes on making snapshots.
func (p *pending) discardSnapshots(ctx context.Context, b *build, again *ec2.RegisterImageInput, unread error) error {
	was := p.what()
	b.made.strike(was)
	snapshots, err := ownSnapshots(ctx, p.api, b)
	if err != nil {
		what := "snapshots of " + was
		b.made.enter(what, "aws ec2 describe-snapshots --region %s --owner-ids self --filters Name=tag:%s,Values=%s has their ids; "+
			"aws ec2 delete-snapshot --region %[1]s --snapshot-id%[4]s", p.target.region, tagBuild, b.id, p.target.as())
		return fmt.Errorf("%s: %w; run: %s", what, awsclient.Err(err), b.made.remedy(what))
	}
	for _, id := range snapshotIDs(snapshots) {
		b.made.enter("snapshot "+id, "aws ec2 delete-snapshot --region %s --snapshot-id %s%s", p.target.region, id, p.target.as())
	}
	if again != nil && completed(snapshots) {
		err = p.restore(ctx, b, again, unread, snapshots)
	} else {
		err = p.deleteSnapshots(ctx, b, snapshots)
	}
	if !p.available {
		p.asked, p.id, p.dead, p.image = 0, "", false, types.Image{}
	}
	return err
}

func (p *pending) deleteSnapshots(ctx context.Context, b *build, snapshots []types.Snapshot) error {
	var errs []error
	for _, id := range snapshotIDs(snapshots) {
		what := "snapshot " + id
		if err := removeSnapshot(ctx, p.api, id); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w; run: %s", what, err, b.made.remedy(what)))
			continue
		}
		b.made.strike(what)
	}
	return errors.Join(errs...)
}

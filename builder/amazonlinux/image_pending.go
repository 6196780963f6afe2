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

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// A pending is an image on its way, from the request that makes it until it is
// available. Nothing shares it: each region's is followed by one goroutine.
type pending struct {
	target target
	api    *ec2Calls

	asked int    // requests that may have made it, whether or not they were answered
	id    string // known once one was answered
	dead  bool   // EC2 has given up on it

	available bool
	image     types.Image // as last seen
}

func (p *pending) what() string { return "image " + p.id }

func (p *pending) known(b *build, id string) {
	p.id = id
	b.made.enter(p.what(), "%s", p.target.removal(id))
	b.ui.Say(fmt.Sprintf("Image in %s: %s", p.target.where(), id))
}

// adopt takes the image that has the name for ours if it carries this build's
// tag: then an answer was lost and the SDK asked again.
func (p *pending) adopt(ctx context.Context, b *build, taken error) error {
	id, err := findOwn(ctx, p.api, b, p.target.name)
	if err != nil {
		return errors.Join(awsclient.Err(taken), awsclient.Err(err))
	}
	if id == "" {
		return fmt.Errorf("%w; the name was free when this build began: give builds that run side by side an ami_name each, "+
			"such as \"web-{{build_name}}-{{timestamp}}\"", awsclient.Err(taken))
	}
	p.known(b, id)
	return nil
}

// findOwn finds this build's image of a name by its tag; "" if there is none.
func findOwn(ctx context.Context, api *ec2Calls, b *build, name string) (string, error) {
	found, err := api.DescribeImages(ctx, &ec2.DescribeImagesInput{
		Owners:  []string{"self"},
		Filters: []types.Filter{filter("tag:"+tagBuild, b.id), filter("name", name)},
	})
	if err != nil || len(found.Images) == 0 {
		return "", err
	}
	return aws.ToString(found.Images[0].ImageId), nil
}

// awaitAvailable waits until the image can be used, and tells how far its snapshots are.
func (p *pending) awaitAvailable(ctx context.Context, b *build) error {
	unseenUntil := time.Now().Add(visibleLimit)
	progress := newProgress(b, p)
	err := awaitAt(ctx, p.what()+" available", b.config.waitLimit(imageLimit), progress.pace, func(ctx context.Context) (bool, string, error) {
		found, err := p.api.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{p.id}})
		unseen := strings.HasPrefix(awsclient.Code(err), "InvalidAMIID") || err == nil && len(found.Images) == 0
		if unseen && time.Now().Before(unseenUntil) {
			return false, "not visible yet", nil
		}
		if unseen {
			return false, "", fmt.Errorf("%s is gone; did somebody deregister it?", p.what())
		}
		if err != nil {
			return false, "", awsclient.Err(err)
		}
		p.image = found.Images[0]
		switch p.image.State {
		case types.ImageStateAvailable:
			return true, "", nil
		case types.ImageStatePending:
			return false, progress.see(ctx), nil
		default:
			p.dead = true
			return false, "", fmt.Errorf("%s is %s: %s", p.what(), p.image.State, stateReason(p.image.StateReason))
		}
	})
	if err != nil {
		return err
	}
	p.available = true
	b.made.strike(p.what())
	return nil
}

func stateReason(r *types.StateReason) string {
	if r == nil {
		return "EC2 gives no reason"
	}
	return strings.TrimSpace(aws.ToString(r.Code) + " " + aws.ToString(r.Message))
}

func ownSnapshots(ctx context.Context, api *ec2Calls, b *build) ([]types.Snapshot, error) {
	found, err := api.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{
		OwnerIds: []string{"self"},
		Filters:  []types.Filter{filter("tag:"+tagBuild, b.id)},
	})
	if err != nil {
		return nil, err
	}
	return found.Snapshots, nil
}

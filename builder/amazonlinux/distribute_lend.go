package amazonlinux

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// A loan is one permission that another account has only while it copies the
// image: to see the image, or to read one of its snapshots.
type loan struct {
	account, region string
	id              string // the image or the snapshot
}

func (l loan) what() string { return fmt.Sprintf("permission of account %s on %s", l.account, l.id) }

func (l loan) ofImage() bool { return strings.HasPrefix(l.id, "ami-") }

func (l loan) remedy() string {
	if l.ofImage() {
		return fmt.Sprintf("aws ec2 modify-image-attribute --region %s --image-id %s --launch-permission 'Remove=[{UserId=%s}]'", l.region, l.id, l.account)
	}
	return fmt.Sprintf("aws ec2 modify-snapshot-attribute --region %s --snapshot-id %s --attribute createVolumePermission --operation-type remove --user-ids %s",
		l.region, l.id, l.account)
}

// lend lets the accounts of ami_copy read the image and its snapshots. What the
// template gives them for good is not a loan. Doing it again changes nothing.
func (s *stepDistribute) lend(ctx context.Context, b *build) error {
	home := b.images[0]
	var lends []func() error
	for _, id := range b.plan.images.borrowers() {
		lends = append(lends, func() error { return s.lendTo(ctx, b, home, id) })
	}
	return all(lends...)
}

func (s *stepDistribute) lendTo(ctx context.Context, b *build, home *pending, account string) error {
	b.ui.Say(fmt.Sprintf("Letting account %s copy %s...", account, home.id))
	for _, id := range slices.Concat([]string{home.id}, snapshotsOf(home.image)) {
		l := loan{account: account, region: home.target.region, id: id}
		users := b.config.SnapshotUsers
		if l.ofImage() {
			users = b.config.AMIUsers
		}
		if !slices.Contains(users, account) {
			s.owe(b, l)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.give(ctx, home.api); err != nil {
			return fmt.Errorf("let account %s read %s: %w", account, id, err)
		}
	}
	return nil
}

// give makes the loan. Its answer is waited for: a request that AWS still works on
// when it is taken back would win over that.
func (l loan) give(ctx context.Context, api *ec2Calls) error {
	ctx, cancel := creating(ctx)
	defer cancel()
	return l.change(ctx, api, true)
}

// owe notes a loan before it is made.
func (s *stepDistribute) owe(b *build, l loan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.loans, l) {
		s.loans = append(s.loans, l)
	}
	b.made.enter(l.what(), "%s", l.remedy())
}

// takeBack ends the loans. Those that could not be ended are still owed.
func (s *stepDistribute) takeBack(ctx context.Context, b *build) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var owed []loan
	var errs []error
	for _, l := range s.loans {
		err := l.change(ctx, b.aws.in(l.region), false)
		if code := awsclient.Code(err); err != nil && !strings.HasPrefix(code, "InvalidAMIID") && code != "InvalidSnapshot.NotFound" {
			owed = append(owed, l)
			errs = append(errs, fmt.Errorf("take back the %s: %w; run: %s", l.what(), err, l.remedy()))
			continue
		}
		b.made.strike(l.what())
	}
	s.loans = owed
	return errors.Join(errs...)
}

// change gives the permission or takes it away.
func (l loan) change(ctx context.Context, api *ec2Calls, give bool) error {
	if l.ofImage() {
		return l.changeImage(ctx, api, give)
	}
	who := []types.CreateVolumePermission{{UserId: aws.String(l.account)}}
	change := &types.CreateVolumePermissionModifications{Remove: who}
	if give {
		change = &types.CreateVolumePermissionModifications{Add: who}
	}
	_, err := api.ModifySnapshotAttribute(ctx, &ec2.ModifySnapshotAttributeInput{
		SnapshotId: aws.String(l.id), Attribute: types.SnapshotAttributeNameCreateVolumePermission, CreateVolumePermission: change,
	})
	return awsclient.Err(err)
}

func (l loan) changeImage(ctx context.Context, api *ec2Calls, give bool) error {
	who := []types.LaunchPermission{{UserId: aws.String(l.account)}}
	change := &types.LaunchPermissionModifications{Remove: who}
	if give {
		change = &types.LaunchPermissionModifications{Add: who}
	}
	_, err := api.ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{ImageId: aws.String(l.id), LaunchPermission: change})
	return awsclient.Err(err)
}

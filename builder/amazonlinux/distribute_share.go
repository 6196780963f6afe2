package amazonlinux

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// setAttributes sets what an image can be given only once it is there. All of
// it may be done again.
func setAttributes(ctx context.Context, b *build, p *pending) error {
	for _, set := range []func(context.Context, *build, *pending) error{
		requireIMDSv2, deprecate, shareSnapshots, shareImage, protect,
	} {
		if err := set(ctx, b, p); err != nil {
			return fmt.Errorf("%s: %w", p.what(), awsclient.Err(err))
		}
	}
	return nil
}

func requireIMDSv2(ctx context.Context, b *build, p *pending) error {
	if b.config.IMDSSupport != imdsV2 || p.image.ImdsSupport == types.ImdsSupportValuesV20 {
		return nil
	}
	_, err := p.api.ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{
		ImageId:     aws.String(p.id),
		ImdsSupport: &types.AttributeValue{Value: aws.String(imdsV2)},
	})
	return err
}

func deprecate(ctx context.Context, b *build, p *pending) error {
	at := b.config.deprecation(b.started)
	if at.IsZero() {
		return nil
	}
	_, err := p.api.EnableImageDeprecation(ctx, &ec2.EnableImageDeprecationInput{ImageId: aws.String(p.id), DeprecateAt: aws.Time(at)})
	return err
}

func protect(ctx context.Context, b *build, p *pending) error {
	protection := b.config.DeregistrationProtection
	if !protection.Enabled {
		return nil
	}
	_, err := p.api.EnableImageDeregistrationProtection(ctx, &ec2.EnableImageDeregistrationProtectionInput{
		ImageId: aws.String(p.id), WithCooldown: aws.Bool(protection.WithCooldown),
	})
	return err
}

func shareImage(ctx context.Context, b *build, p *pending) error {
	c := b.config
	if !c.sharesLaunch() {
		return nil
	}
	var add []types.LaunchPermission
	for _, user := range p.target.others(c.AMIUsers) {
		add = append(add, types.LaunchPermission{UserId: aws.String(user)})
	}
	for _, group := range c.AMIGroups {
		add = append(add, types.LaunchPermission{Group: types.PermissionGroup(group)})
	}
	for _, org := range c.AMIOrgARNs {
		add = append(add, types.LaunchPermission{OrganizationArn: aws.String(org)})
	}
	for _, unit := range c.AMIOUARNs {
		add = append(add, types.LaunchPermission{OrganizationalUnitArn: aws.String(unit)})
	}
	if len(add) == 0 {
		return nil
	}
	b.ui.Say(fmt.Sprintf("Sharing %s in %s...", p.id, p.target.where()))
	_, err := p.api.ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{
		ImageId:          aws.String(p.id),
		LaunchPermission: &types.LaunchPermissionModifications{Add: add},
	})
	return err
}

// others are the users without the account that owns the target's image.
func (t target) others(users []string) []string {
	if t.account == nil {
		return users
	}
	return slices.DeleteFunc(slices.Clone(users), func(id string) bool { return id == t.account.id })
}

func shareSnapshots(ctx context.Context, b *build, p *pending) error {
	users := p.target.others(b.config.SnapshotUsers)
	if len(users) == 0 {
		return nil
	}
	var add []types.CreateVolumePermission
	for _, user := range users {
		add = append(add, types.CreateVolumePermission{UserId: aws.String(user)})
	}
	for _, id := range snapshotsOf(p.image) {
		_, err := p.api.ModifySnapshotAttribute(ctx, &ec2.ModifySnapshotAttributeInput{
			SnapshotId:             aws.String(id),
			Attribute:              types.SnapshotAttributeNameCreateVolumePermission,
			CreateVolumePermission: &types.CreateVolumePermissionModifications{Add: add},
		})
		if err != nil {
			return fmt.Errorf("snapshot %s: %w", id, awsclient.Err(err))
		}
	}
	return nil
}

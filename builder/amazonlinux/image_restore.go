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

// restore registers the image again from its snapshots. Where that fails they stay, and are told.
func (p *pending) restore(ctx context.Context, b *build, in *ec2.RegisterImageInput, unread error, snapshots []types.Snapshot) error {
	was := p.what()
	err := errors.New("it can't be seen which snapshot is of which device")
	if devices, whole := placed(p.devices(b), aws.ToString(in.RootDeviceName), snapshots, b.without); whole {
		in.BlockDeviceMappings = devices
		err = p.register(ctx, b, in)
	}
	ids := snapshotIDs(snapshots)
	if err != nil {
		return fmt.Errorf("%s may have become available while it was removed, and is not registered again: %w; its snapshots stay: %s; "+
			"to remove them, run: %s", was, err, strings.Join(ids, ", "), b.remedies("snapshot ", ids))
	}
	for _, id := range ids {
		b.made.strike("snapshot " + id)
	}
	lacks := ""
	if unread != nil {
		lacks = fmt.Sprintf(" (without its variables of UEFI, which could not be read: %v)", awsclient.Err(unread))
	}
	b.ui.Say(fmt.Sprintf("%s may have become available while it was removed, so it is registered again from its snapshots, as %s%s", was, p.what(), lacks))
	return nil
}

// remedies are the commands that remove several resources by hand.
func (b *build) remedies(kind string, ids []string) string {
	commands := make([]string, len(ids))
	for i, id := range ids {
		commands[i] = b.made.remedy(kind + id)
	}
	return strings.Join(commands, "; ")
}

// devices are those that the image is registered with again. A copy may not have any
// while it is pending: then they are those of the image it is made of.
func (p *pending) devices(b *build) []types.BlockDeviceMapping {
	if len(p.image.BlockDeviceMappings) > 0 || len(b.images) == 0 {
		return p.image.BlockDeviceMappings
	}
	return b.images[0].image.BlockDeviceMappings
}

// without tells whether a device has no snapshot of this build's: the image of the build
// region has such from ami_block_device_mappings, and a copy what that has.
func (b *build) without(device string) bool {
	if len(b.images) == 0 {
		return slices.ContainsFunc(b.config.AMIMappings, func(m BlockDevice) bool { return m.DeviceName == device })
	}
	return slices.ContainsFunc(b.images[0].image.BlockDeviceMappings, func(d types.BlockDeviceMapping) bool {
		return aws.ToString(d.DeviceName) == device && d.Ebs != nil && d.Ebs.SnapshotId == nil
	})
}

// placed are devices with the snapshots that are theirs, and whether nothing is missing. While an image is pending EC2 may
// not say whose they are; but that of a copy's device names the one that it was copied from, and a single one is the root's.
func placed(devices []types.BlockDeviceMapping, root string, snapshots []types.Snapshot, without func(device string) bool) (list []types.BlockDeviceMapping, whole bool) {
	left := map[string]types.Snapshot{}
	for _, s := range snapshots {
		left[aws.ToString(s.SnapshotId)] = s
	}
	single := len(snapshots) == 1
	whole = len(devices) > 0
	for _, device := range devices {
		if device.Ebs != nil {
			ebs := *device.Ebs
			device.Ebs = &ebs
			name := aws.ToString(device.DeviceName)
			whole = (claim(&ebs, left, single && name == root) || without(name)) && whole
		}
		list = append(list, registeredDevice(device))
	}
	return list, whole && len(left) == 0
}

// claim takes a device's snapshot from those that are left: by its id, by that of the one that it was copied from, or any.
func claim(ebs *types.EbsBlockDevice, left map[string]types.Snapshot, anyOf bool) bool {
	named := aws.ToString(ebs.SnapshotId)
	for id, s := range left {
		if id == named || anyOf || named != "" && strings.Contains(aws.ToString(s.Description), named) {
			ebs.SnapshotId = aws.String(id)
			delete(left, id)
			return true
		}
	}
	return false
}

package amazonlinux

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

func snapshotIDs(snapshots []types.Snapshot) []string {
	ids := make([]string, len(snapshots))
	for i, s := range snapshots {
		ids[i] = aws.ToString(s.SnapshotId)
	}
	return ids
}

// snapshotsOf are those that an image's block devices name.
func snapshotsOf(image types.Image) []string {
	var ids []string
	for _, device := range image.BlockDeviceMappings {
		if device.Ebs != nil && device.Ebs.SnapshotId != nil {
			ids = append(ids, aws.ToString(device.Ebs.SnapshotId))
		}
	}
	return ids
}

// deregisterImage does nothing where the image is gone.
func deregisterImage(ctx context.Context, api *ec2Calls, id string) error {
	_, err := api.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String(id)})
	if strings.HasPrefix(awsclient.Code(err), "InvalidAMIID") {
		return nil
	}
	return awsclient.Err(err)
}

// removeImage deregisters an image, then lists its snapshots and deletes them.
// It lists them only then: a pending image goes on making snapshots.
func removeImage(ctx context.Context, api *ec2Calls, id string, list func() ([]string, error)) error {
	if err := deregisterImage(ctx, api, id); err != nil {
		return err
	}
	snapshots, err := list()
	return errors.Join(awsclient.Err(err), removeSnapshots(ctx, api, snapshots))
}

func removeSnapshots(ctx context.Context, api *ec2Calls, ids []string) error {
	var errs []error
	for _, id := range ids {
		errs = append(errs, removeSnapshot(ctx, api, id))
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

package localaws

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// imageOf makes an image of a new instance and waits for it.
func imageOf(t *testing.T, c *ec2.Client, name string) types.Image {
	t.Helper()
	i, err := runOne(t, c, func(*ec2.RunInstancesInput) {})
	ok(t, err)
	untilState(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	made, err := c.CreateImage(t.Context(), &ec2.CreateImageInput{InstanceId: i.InstanceId, Name: &name})
	ok(t, err)
	return untilImage(t, c, *made.ImageId)
}

func untilImage(t *testing.T, c *ec2.Client, id string) types.Image {
	t.Helper()
	var img types.Image
	until(t, id+" available", func() bool {
		out, err := c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{id}})
		ok(t, err)
		img = out.Images[0]
		return img.State == types.ImageStateAvailable
	})
	return img
}

func TestImageLife(t *testing.T) {
	t.Parallel()
	c := ec2Client(t, startServer(t, Options{}), DefaultAccount)
	img := imageOf(t, c, "web (1)")
	snap := img.BlockDeviceMappings[0].Ebs.SnapshotId
	_, err := c.DeleteSnapshot(t.Context(), &ec2.DeleteSnapshotInput{SnapshotId: snap})
	wantAPIError(t, err, "InvalidSnapshot.InUse", *snap, *img.ImageId)
	_, err = c.CreateImage(t.Context(), &ec2.CreateImageInput{InstanceId: img.SourceInstanceId, Name: aws.String("web (1)")})
	wantAPIError(t, err, "InvalidAMIName.Duplicate", *img.ImageId)
	_, err = c.CreateImage(t.Context(), &ec2.CreateImageInput{InstanceId: img.SourceInstanceId, Name: aws.String("web $1")})
	wantAPIError(t, err, "InvalidAMIName.Malformed")
	launched, err := runOne(t, c, func(in *ec2.RunInstancesInput) { in.ImageId = img.ImageId })
	ok(t, err)
	_, err = c.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: img.ImageId})
	ok(t, err)
	_, err = runOne(t, c, func(in *ec2.RunInstancesInput) { in.ImageId = img.ImageId })
	wantAPIError(t, err, "InvalidAMIID.Unavailable", *img.ImageId)
	described, err := c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{*img.ImageId}})
	if err != nil || len(described.Images) != 0 {
		t.Errorf("an instance refers to the image: %+v, %v", described, err)
	}
	_, err = c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{*launched.InstanceId}})
	ok(t, err)
	untilState(t, c, *launched.InstanceId, types.InstanceStateNameTerminated)
	_, err = c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{*img.ImageId}})
	wantAPIError(t, err, "InvalidAMIID.NotFound", *img.ImageId)
	_, err = c.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: img.ImageId})
	wantAPIError(t, err, "InvalidAMIID.Unavailable")
	_, err = c.DeleteSnapshot(t.Context(), &ec2.DeleteSnapshotInput{SnapshotId: snap})
	ok(t, err)
	_, err = c.DeleteSnapshot(t.Context(), &ec2.DeleteSnapshotInput{SnapshotId: snap})
	wantAPIError(t, err, "InvalidSnapshot.NotFound")
}

// An image can be named by a parameter of one's own, too, of the version that is asked for.
func TestImageOfAParameter(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	c := ec2Client(t, s, DefaultAccount)
	want := amazonImage(t, c, "al2023-ami-2023.*-x86_64")
	for _, value := range []string{want, "ami-00000000000000000"} {
		_, err := putString(t, ssmClient(t, s), "/images/base", value)
		ok(t, err)
	}
	run := func(reference string) (types.Instance, error) {
		return runOne(t, c, func(in *ec2.RunInstancesInput) { in.ImageId = aws.String("resolve:ssm:" + reference) })
	}
	i, err := run("/images/base:1")
	ok(t, err)
	if *i.ImageId != want {
		t.Errorf("launched %s, want %s", *i.ImageId, want)
	}
	_, err = run("/images/base")
	wantAPIError(t, err, "InvalidAMIID.NotFound", "ami-00000000000000000")
	_, err = run("/images/none")
	wantAPIError(t, err, "InvalidParameterValue", "/images/none")
}

func TestSharingAndCopying(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	mine, theirs := ec2Client(t, s, DefaultAccount), ec2Client(t, s, OtherAccount)
	img := imageOf(t, mine, "shared")
	_, err := theirs.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{*img.ImageId}})
	wantAPIError(t, err, "InvalidAMIID.NotFound")
	share := func(with types.LaunchPermission) error {
		_, err := mine.ModifyImageAttribute(t.Context(), &ec2.ModifyImageAttributeInput{
			ImageId: img.ImageId, LaunchPermission: &types.LaunchPermissionModifications{Add: []types.LaunchPermission{with}},
		})
		return err
	}
	ok(t, share(types.LaunchPermission{UserId: aws.String(OtherAccount)}))
	wantAPIError(t, share(types.LaunchPermission{UserId: aws.String("12")}), "InvalidAMIAttributeItemValue", "userId")
	wantAPIError(t, share(types.LaunchPermission{Group: "some"}), "InvalidAMIAttributeItemValue", "group")
	seen, err := theirs.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ExecutableUsers: []string{"self"}})
	ok(t, err)
	if len(seen.Images) != 1 || *seen.Images[0].ImageId != *img.ImageId {
		t.Errorf("the other account sees %+v", seen.Images)
	}
	_, err = theirs.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: img.ImageId})
	wantAPIError(t, err, "AuthFailure")
	west := ec2.NewFromConfig(sdkConfig(t, s, DefaultAccount), func(o *ec2.Options) { o.Region = "us-west-2" })
	copied, err := west.CopyImage(t.Context(), &ec2.CopyImageInput{Name: aws.String("copy"), SourceImageId: img.ImageId, SourceRegion: aws.String("us-east-1"), Encrypted: aws.Bool(true)})
	ok(t, err)
	there := untilImage(t, west, *copied.ImageId)
	if !*there.BlockDeviceMappings[0].Ebs.Encrypted || *there.SourceImageId != *img.ImageId {
		t.Errorf("copy %+v", there)
	}
	_, err = west.ModifyImageAttribute(t.Context(), &ec2.ModifyImageAttributeInput{
		ImageId: there.ImageId, LaunchPermission: &types.LaunchPermissionModifications{Add: []types.LaunchPermission{{UserId: aws.String(OtherAccount)}}},
	})
	wantAPIError(t, err, "InvalidParameter", "AWS Managed CMK")
}

// Deprecated images are hidden from all but their owner, unless asked for by id or by flag.
func TestDeprecatedImagesAreHidden(t *testing.T) {
	t.Parallel()
	c := ec2Client(t, startServer(t, Options{}), DefaultAccount)
	al2 := []types.Filter{{Name: aws.String("name"), Values: []string{"amzn2-ami-*"}}}
	out, err := c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{Owners: []string{"amazon"}, Filters: al2})
	ok(t, err)
	if len(out.Images) > 0 {
		t.Errorf("%d images of Amazon Linux 2 show after its end of support", len(out.Images))
	}
	out, err = c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{Owners: []string{"amazon"}, Filters: al2, IncludeDeprecated: aws.Bool(true)})
	ok(t, err)
	if len(out.Images) == 0 {
		t.Fatal("no image of Amazon Linux 2")
	}
	_, err = c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{*out.Images[0].ImageId}})
	ok(t, err)
	img := imageOf(t, c, "mine")
	_, err = c.EnableImageDeprecation(t.Context(), &ec2.EnableImageDeprecationInput{ImageId: img.ImageId, DeprecateAt: aws.Time(time.Now().Add(-time.Hour))})
	wantAPIError(t, err, "InvalidParameterValue", "DeprecateAt")
	_, err = c.EnableImageDeprecation(t.Context(), &ec2.EnableImageDeprecationInput{ImageId: img.ImageId, DeprecateAt: aws.Time(time.Now().Add(time.Hour))})
	ok(t, err)
	_, err = c.EnableImageDeregistrationProtection(t.Context(), &ec2.EnableImageDeregistrationProtectionInput{ImageId: img.ImageId})
	ok(t, err)
	_, err = c.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: img.ImageId})
	wantAPIError(t, err, "OperationNotPermitted")
}

func TestPendingImage(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{Delays: &Delays{ImagePending: time.Hour}})
	c := ec2Client(t, s, DefaultAccount)
	i, err := runOne(t, c, func(*ec2.RunInstancesInput) {})
	ok(t, err)
	untilState(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	made, err := c.CreateImage(t.Context(), &ec2.CreateImageInput{InstanceId: i.InstanceId, Name: aws.String("slow"), NoReboot: aws.Bool(true)})
	ok(t, err)
	_, err = runOne(t, c, func(in *ec2.RunInstancesInput) { in.ImageId = made.ImageId })
	wantAPIError(t, err, "InvalidAMIID.Unavailable")
	snaps, err := c.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}})
	ok(t, err)
	if snaps.Snapshots[0].State != types.SnapshotStatePending || *snaps.Snapshots[0].Progress != "0%" {
		t.Errorf("snapshot %s %s", snaps.Snapshots[0].State, *snaps.Snapshots[0].Progress)
	}
	if !s.FailImage(*made.ImageId, "Server.InternalError", "told to") {
		t.Fatal("no image to fail")
	}
	out, err := c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{*made.ImageId}})
	ok(t, err)
	if out.Images[0].State != types.ImageStateFailed || *out.Images[0].StateReason.Message != "told to" {
		t.Errorf("image %+v", out.Images[0])
	}
}

func TestUnknownFilters(t *testing.T) {
	t.Parallel()
	c := ec2Client(t, startServer(t, Options{}), DefaultAccount)
	_, err := c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{Filters: []types.Filter{{Name: aws.String("no-such"), Values: []string{"x"}}}})
	wantAPIError(t, err, "InvalidParameterValue", "The filter 'no-such' is invalid")
}

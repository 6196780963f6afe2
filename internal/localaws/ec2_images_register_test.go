package localaws

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Two images can be of one snapshot, which stays as long as either does.
func TestRegisterImage(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	c := ec2Client(t, s, DefaultAccount)
	img := imageOf(t, c, "first")
	snap := img.BlockDeviceMappings[0].Ebs.SnapshotId
	in := &ec2.RegisterImageInput{
		Name: aws.String("first"), Architecture: img.Architecture, RootDeviceName: img.RootDeviceName, BootMode: types.BootModeValuesUefi,
		TpmSupport: types.TpmSupportValuesV20, ImdsSupport: types.ImdsSupportValuesV20, UefiData: aws.String("AAAA"),
		BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: img.RootDeviceName, Ebs: &types.EbsBlockDevice{SnapshotId: snap}}},
	}
	_, err := c.RegisterImage(t.Context(), in)
	wantAPIError(t, err, "InvalidAMIName.Duplicate", *img.ImageId)
	in.Name = aws.String("second")
	made, err := c.RegisterImage(t.Context(), in)
	ok(t, err)
	second := untilImage(t, c, *made.ImageId)
	if second.BootMode != "uefi" || second.TpmSupport != "v2.0" || second.ImdsSupport != "v2.0" || aws.ToInt32(second.BlockDeviceMappings[0].Ebs.VolumeSize) == 0 {
		t.Errorf("%+v", second)
	}
	variables, err := c.DescribeImageAttribute(t.Context(), &ec2.DescribeImageAttributeInput{ImageId: made.ImageId, Attribute: types.ImageAttributeNameUefiData})
	ok(t, err)
	if aws.ToString(variables.UefiData.Value) != "AAAA" {
		t.Errorf("UEFI data %v", variables.UefiData)
	}
	_, err = c.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: img.ImageId})
	ok(t, err)
	_, err = c.DeleteSnapshot(t.Context(), &ec2.DeleteSnapshotInput{SnapshotId: snap})
	wantAPIError(t, err, "InvalidSnapshot.InUse", *made.ImageId)

	in.Name, in.BlockDeviceMappings = aws.String("third"), nil
	_, err = c.RegisterImage(t.Context(), in)
	wantAPIError(t, err, "InvalidParameterCombination")
	_, err = ec2Client(t, s, OtherAccount).RegisterImage(t.Context(), &ec2.RegisterImageInput{
		Name: aws.String("theirs"), RootDeviceName: img.RootDeviceName,
		BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: img.RootDeviceName, Ebs: &types.EbsBlockDevice{SnapshotId: snap}}},
	})
	wantAPIError(t, err, "InvalidSnapshot.NotFound")
}

// An image boots only on machines that have what it was registered for.
func TestImagesThatDoNotBoot(t *testing.T) {
	t.Parallel()
	c := ec2Client(t, startServer(t, Options{}), DefaultAccount)
	img := imageOf(t, c, "source")
	register := func(name string, change func(*ec2.RegisterImageInput)) *string {
		in := &ec2.RegisterImageInput{
			Name: &name, Architecture: types.ArchitectureValuesX8664, RootDeviceName: img.RootDeviceName, VirtualizationType: aws.String("hvm"), EnaSupport: aws.Bool(true),
			BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: img.RootDeviceName, Ebs: &types.EbsBlockDevice{SnapshotId: img.BlockDeviceMappings[0].Ebs.SnapshotId}}},
		}
		change(in)
		made, err := c.RegisterImage(t.Context(), in)
		ok(t, err)
		return made.ImageId
	}
	for name, test := range map[string]struct {
		change func(*ec2.RegisterImageInput)
		kind   types.InstanceType
		code   string
	}{
		"all there":              {func(*ec2.RegisterImageInput) {}, types.InstanceTypeT3Micro, ""},
		"without ENA":            {func(in *ec2.RegisterImageInput) { in.EnaSupport = nil }, types.InstanceTypeT3Micro, "InvalidParameterCombination"},
		"without ENA where none": {func(in *ec2.RegisterImageInput) { in.EnaSupport = nil }, types.InstanceTypeT2Micro, ""},
		"paravirtual":            {func(in *ec2.RegisterImageInput) { in.VirtualizationType = nil }, types.InstanceTypeT3Micro, "InvalidParameterCombination"},
		"UEFI on an old type":    {func(in *ec2.RegisterImageInput) { in.BootMode = types.BootModeValuesUefi }, types.InstanceTypeT2Micro, "Unsupported"},
	} {
		t.Run(name, func(t *testing.T) {
			id := register(name, test.change)
			_, err := runOne(t, c, func(in *ec2.RunInstancesInput) { in.ImageId, in.InstanceType = id, test.kind })
			if test.code == "" {
				ok(t, err)
			} else {
				wantAPIError(t, err, test.code)
			}
		})
	}
}

package localaws

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func ec2Client(t *testing.T, s *Server, account string) *ec2.Client {
	t.Helper()
	return ec2.NewFromConfig(sdkConfig(t, s, account))
}

// amazonImage is the newest image of Amazon's with a name like the pattern.
func amazonImage(t *testing.T, c *ec2.Client, pattern string) string {
	t.Helper()
	out, err := c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{
		Owners: []string{"amazon"}, IncludeDeprecated: aws.Bool(true),
		Filters: []types.Filter{{Name: aws.String("name"), Values: []string{pattern}}},
	})
	ok(t, err)
	var newest types.Image
	for _, img := range out.Images {
		if aws.ToString(img.CreationDate) > aws.ToString(newest.CreationDate) {
			newest = img
		}
	}
	if newest.ImageId == nil {
		t.Fatalf("no image like %s", pattern)
	}
	return *newest.ImageId
}

// runOne starts one t3.micro; change alters the request.
func runOne(t *testing.T, c *ec2.Client, change func(*ec2.RunInstancesInput)) (types.Instance, error) {
	t.Helper()
	in := &ec2.RunInstancesInput{
		ImageId: aws.String(amazonImage(t, c, "amzn2-ami-hvm-*-x86_64-gp2")), InstanceType: types.InstanceTypeT3Micro,
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
	}
	change(in)
	out, err := c.RunInstances(t.Context(), in)
	if err != nil {
		return types.Instance{}, err
	}
	return out.Instances[0], nil
}

func describeOne(t *testing.T, c *ec2.Client, id string) types.Instance {
	t.Helper()
	out, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	ok(t, err)
	return out.Reservations[0].Instances[0]
}

func untilState(t *testing.T, c *ec2.Client, id string, want types.InstanceStateName) types.Instance {
	t.Helper()
	var i types.Instance
	until(t, id+" "+string(want), func() bool {
		i = describeOne(t, c, id)
		return i.State.Name == want
	})
	return i
}

func TestInstanceLife(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	c := ec2Client(t, s, DefaultAccount)
	i, err := runOne(t, c, func(in *ec2.RunInstancesInput) {
		in.InstanceInitiatedShutdownBehavior = types.ShutdownBehaviorTerminate
		in.TagSpecifications = []types.TagSpecification{
			{ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("x")}}},
			{ResourceType: types.ResourceTypeVolume, Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("v")}}},
		}
	})
	ok(t, err)
	if i.State.Name != types.InstanceStateNamePending {
		t.Errorf("new instance is %s", i.State.Name)
	}
	id := *i.InstanceId
	i = untilState(t, c, id, types.InstanceStateNameRunning)
	if aws.ToString(i.PublicIpAddress) == "" || aws.ToString(i.PrivateIpAddress) == "" || aws.ToString(i.Tags[0].Value) != "x" {
		t.Errorf("running instance: %+v", i)
	}
	_, err = c.StopInstances(t.Context(), &ec2.StopInstancesInput{InstanceIds: []string{id}})
	ok(t, err)
	i = untilState(t, c, id, types.InstanceStateNameStopped)
	if aws.ToString(i.PublicIpAddress) != "" || aws.ToString(i.StateReason.Code) != "Client.UserInitiatedShutdown" || !strings.HasPrefix(*i.StateTransitionReason, "User initiated (") {
		t.Errorf("stopped instance: %v %v %v", i.PublicIpAddress, *i.StateReason.Code, *i.StateTransitionReason)
	}
	_, err = c.StartInstances(t.Context(), &ec2.StartInstancesInput{InstanceIds: []string{id}})
	ok(t, err)
	untilState(t, c, id, types.InstanceStateNameRunning)
	_, err = c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	ok(t, err)
	i = untilState(t, c, id, types.InstanceStateNameTerminated)
	if len(i.NetworkInterfaces) > 0 || len(i.BlockDeviceMappings) > 0 || i.SubnetId != nil {
		t.Errorf("terminated instance still has %+v", i)
	}
	if left := s.Leftovers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestRunInstancesRefuses(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	c := ec2Client(t, s, DefaultAccount)
	sub, err := c.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{Filters: []types.Filter{{Name: aws.String("availability-zone"), Values: []string{"us-east-1e"}}}})
	ok(t, err)
	old := sub.Subnets[0].SubnetId
	network, err := c.CreateVpc(t.Context(), &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")})
	ok(t, err)
	foreign, err := c.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{GroupName: aws.String("g"), Description: aws.String("d"), VpcId: network.Vpc.VpcId})
	ok(t, err)
	nowhere := aws.String("subnet-00000000000000000")
	public := []types.InstanceNetworkInterfaceSpecification{{DeviceIndex: aws.Int32(0), AssociatePublicIpAddress: aws.Bool(true)}}
	tags := func(kind types.ResourceType, key string) []types.TagSpecification {
		return []types.TagSpecification{{ResourceType: kind, Tags: []types.Tag{{Key: &key, Value: aws.String("v")}}}}
	}
	for _, test := range []struct {
		change func(*ec2.RunInstancesInput)
		code   string
		words  string
	}{
		{func(in *ec2.RunInstancesInput) { in.ImageId = aws.String("ami-00000000000000000") }, "InvalidAMIID.NotFound", "The image id '[ami-00000000000000000]' does not exist"},
		{func(in *ec2.RunInstancesInput) { in.ImageId = aws.String("ami-x") }, "InvalidAMIID.Malformed", ""},
		{func(in *ec2.RunInstancesInput) { in.InstanceType = "t3.tiny" }, "InvalidParameterValue", "Invalid value 't3.tiny' for InstanceType."},
		{func(in *ec2.RunInstancesInput) { in.InstanceType = "t4g.micro" }, "InvalidParameterValue",
			"The architecture 'arm64' of the specified instance type does not match the architecture 'x86_64' of the specified AMI. Specify an instance type"},
		{func(in *ec2.RunInstancesInput) { in.SubnetId = nowhere }, "InvalidSubnetID.NotFound", ""},
		{func(in *ec2.RunInstancesInput) { in.SubnetId = old }, "Unsupported", "is not supported in your requested Availability Zone (us-east-1e)"},
		{func(in *ec2.RunInstancesInput) { in.SecurityGroupIds = []string{"sg-00000000000000000"} }, "InvalidGroup.NotFound", ""},
		{func(in *ec2.RunInstancesInput) { in.SecurityGroupIds = []string{*foreign.GroupId} }, "InvalidParameter", "belong to different networks"},
		{func(in *ec2.RunInstancesInput) { in.NetworkInterfaces, in.SubnetId = public, old }, "InvalidParameterCombination",
			"Network interfaces and an instance-level subnet ID may not be specified on the same request"},
		{func(in *ec2.RunInstancesInput) { in.NetworkInterfaces, in.SecurityGroupIds = public, []string{"sg-1"} }, "InvalidParameterCombination",
			"Network interfaces and an instance-level security groups may not be specified on the same request"},
		{func(in *ec2.RunInstancesInput) { in.KeyName = aws.String("k") }, "InvalidKeyPair.NotFound", "The key pair 'k' does not exist"},
		{func(in *ec2.RunInstancesInput) {
			in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String("p")}
		}, "InvalidParameterValue", "Value (p) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"},
		{func(in *ec2.RunInstancesInput) {
			in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Arn: aws.String("arn:aws:iam::123456789012:instance-profile/p")}
		}, "InvalidParameterValue", "Invalid IAM Instance Profile ARN"},
		{func(in *ec2.RunInstancesInput) { in.UserData = aws.String("!") }, "InvalidParameterValue", "Invalid BASE64 encoding of user data."},
		{func(in *ec2.RunInstancesInput) {
			in.UserData = aws.String(base64.StdEncoding.EncodeToString(make([]byte, 16385)))
		}, "InvalidParameterValue", "User data is limited to 16384 bytes"},
		{func(in *ec2.RunInstancesInput) { in.TagSpecifications = tags(types.ResourceTypeImage, "k") }, "InvalidParameterValue", "taggable"},
		{func(in *ec2.RunInstancesInput) { in.TagSpecifications = tags(types.ResourceTypeInstance, "aws:k") }, "InvalidParameterValue", "reserved for internal use"},
		{func(in *ec2.RunInstancesInput) { in.MaxCount = aws.Int32(0) }, "InvalidParameterValue", ""},
		{func(in *ec2.RunInstancesInput) { in.MinCount, in.MaxCount = aws.Int32(400), aws.Int32(400) }, "VcpuLimitExceeded", "vCPU"},
		{func(in *ec2.RunInstancesInput) {
			in.CreditSpecification = &types.CreditSpecificationRequest{CpuCredits: aws.String("lots")}
		}, "InvalidParameterValue", ""},
		{func(in *ec2.RunInstancesInput) {
			in.BlockDeviceMappings = []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/sdf"), VirtualName: aws.String("eph")}}
		}, "InvalidBlockDeviceMapping", "eph"},
		{func(in *ec2.RunInstancesInput) { in.DryRun = aws.Bool(true) }, "DryRunOperation", "Request would have succeeded, but DryRun flag is set."},
	} {
		_, err := runOne(t, c, test.change)
		wantAPIError(t, err, test.code, test.words)
	}
}

func TestClientTokens(t *testing.T) {
	t.Parallel()
	c := ec2Client(t, startServer(t, Options{}), DefaultAccount)
	token := func(in *ec2.RunInstancesInput) { in.ClientToken = aws.String("one") }
	first, err := runOne(t, c, token)
	ok(t, err)
	second, err := runOne(t, c, token)
	ok(t, err)
	if *first.InstanceId != *second.InstanceId {
		t.Errorf("one token, two instances: %s, %s", *first.InstanceId, *second.InstanceId)
	}
	_, err = runOne(t, c, func(in *ec2.RunInstancesInput) {
		token(in)
		in.InstanceType = types.InstanceTypeT3Small
	})
	wantAPIError(t, err, "IdempotentParameterMismatch")
}

func TestNewInstanceIsUnknownAtFirst(t *testing.T) {
	t.Parallel()
	c := ec2Client(t, startServer(t, Options{Delays: &Delays{EC2Consistency: time.Hour}}), DefaultAccount)
	i, err := runOne(t, c, func(*ec2.RunInstancesInput) {})
	ok(t, err)
	_, err = c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{*i.InstanceId}})
	wantAPIError(t, err, "InvalidInstanceID.NotFound", *i.InstanceId)
	_, err = c.CreateTags(t.Context(), &ec2.CreateTagsInput{Resources: []string{*i.InstanceId}, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}})
	wantAPIError(t, err, "InvalidInstanceID.NotFound")
}

func TestProtectedInstances(t *testing.T) {
	t.Parallel()
	c := ec2Client(t, startServer(t, Options{}), DefaultAccount)
	i, err := runOne(t, c, func(in *ec2.RunInstancesInput) { in.DisableApiTermination = aws.Bool(true) })
	ok(t, err)
	untilState(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	_, err = c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}})
	wantAPIError(t, err, "OperationNotPermitted", "disableApiTermination")
	_, err = c.ModifyInstanceAttribute(t.Context(), &ec2.ModifyInstanceAttributeInput{InstanceId: i.InstanceId, DisableApiTermination: &types.AttributeBooleanValue{Value: aws.Bool(false)}})
	ok(t, err)
	_, err = c.ModifyInstanceAttribute(t.Context(), &ec2.ModifyInstanceAttributeInput{InstanceId: i.InstanceId, InstanceType: &types.AttributeValue{Value: aws.String("t3.small")}})
	wantAPIError(t, err, "IncorrectInstanceState")
	_, err = c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}})
	ok(t, err)
}

func TestUnusableKeyEndsTheInstance(t *testing.T) {
	t.Parallel()
	c := ec2Client(t, startServer(t, Options{}), DefaultAccount)
	i, err := runOne(t, c, func(in *ec2.RunInstancesInput) {
		in.BlockDeviceMappings = []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/xvda"), Ebs: &types.EbsBlockDevice{
			Encrypted: aws.Bool(true), KmsKeyId: aws.String("alias/none"), DeleteOnTermination: aws.Bool(true),
		}}}
	})
	ok(t, err)
	ended := untilState(t, c, *i.InstanceId, types.InstanceStateNameTerminated)
	if got := aws.ToString(ended.StateReason.Code); got != "Client.InvalidKMSKey.InvalidState" {
		t.Errorf("state reason %s", got)
	}
}

// A launch that names a host or a reservation gets it, if that fits, and what AWS has run out of is refused.
func TestLaunchOnHostsReservationsAndShortages(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	c := ec2Client(t, s, DefaultAccount)
	zone := aws.String("us-east-1a")
	reserved, err := c.CreateCapacityReservation(t.Context(), &ec2.CreateCapacityReservationInput{
		AvailabilityZone: zone, InstanceType: aws.String("t3.micro"), InstanceCount: aws.Int32(1), InstancePlatform: types.CapacityReservationInstancePlatformLinuxUnix,
	})
	ok(t, err)
	in := func(id *string) func(*ec2.RunInstancesInput) {
		return func(in *ec2.RunInstancesInput) {
			in.Placement = &types.Placement{AvailabilityZone: zone}
			in.CapacityReservationSpecification = &types.CapacityReservationSpecification{CapacityReservationTarget: &types.CapacityReservationTarget{CapacityReservationId: id}}
		}
	}
	i, err := runOne(t, c, in(reserved.CapacityReservation.CapacityReservationId))
	ok(t, err)
	if i.CapacityReservationSpecification.CapacityReservationTarget == nil {
		t.Errorf("instance %+v", i.CapacityReservationSpecification)
	}
	_, err = runOne(t, c, in(reserved.CapacityReservation.CapacityReservationId))
	wantAPIError(t, err, "ReservationCapacityExceeded", "sufficient")
	_, err = runOne(t, c, in(aws.String("cr-0123456789abcdef0")))
	wantAPIError(t, err, "InvalidCapacityReservationId.NotFound", "does not exist")
	hosts, err := c.AllocateHosts(t.Context(), &ec2.AllocateHostsInput{AvailabilityZone: zone, InstanceType: aws.String("m5.large"), Quantity: aws.Int32(1)})
	ok(t, err)
	_, err = runOne(t, c, func(in *ec2.RunInstancesInput) { in.Placement = &types.Placement{HostId: aws.String(hosts.HostIds[0])} })
	wantAPIError(t, err, "InvalidHostConfiguration", "t3.micro")
	_, err = c.ReleaseHosts(t.Context(), &ec2.ReleaseHostsInput{HostIds: hosts.HostIds})
	ok(t, err)
	restock := s.RunOut(Shortage{Type: "t3.*", Zone: "us-east-1a", Code: "Unsupported"})
	launch := func(in *ec2.RunInstancesInput) { in.Placement = &types.Placement{AvailabilityZone: zone} }
	_, err = runOne(t, c, launch)
	wantAPIError(t, err, "Unsupported", "us-east-1a")
	restock()
	_, err = runOne(t, c, launch)
	ok(t, err)
}

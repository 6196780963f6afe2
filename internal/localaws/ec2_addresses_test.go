package localaws

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// An elastic address takes the place of the instance's own, outlives a stop, and is free again when the instance is gone.
func TestElasticAddresses(t *testing.T) {
	t.Parallel()
	c := ec2Client(t, startServer(t, Options{}), DefaultAccount)
	i, err := runOne(t, c, func(*ec2.RunInstancesInput) {})
	ok(t, err)
	untilState(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	a, err := c.AllocateAddress(t.Context(), &ec2.AllocateAddressInput{})
	ok(t, err)
	associate := &ec2.AssociateAddressInput{AllocationId: a.AllocationId, InstanceId: i.InstanceId}
	_, err = c.AssociateAddress(t.Context(), associate)
	ok(t, err)
	if got := describeOne(t, c, *i.InstanceId); aws.ToString(got.PublicIpAddress) != *a.PublicIp {
		t.Errorf("public address %s, want %s", aws.ToString(got.PublicIpAddress), *a.PublicIp)
	}
	_, err = c.StopInstances(t.Context(), &ec2.StopInstancesInput{InstanceIds: []string{*i.InstanceId}})
	ok(t, err)
	if got := untilState(t, c, *i.InstanceId, types.InstanceStateNameStopped); aws.ToString(got.PublicIpAddress) != *a.PublicIp {
		t.Errorf("stopped: public address %s", aws.ToString(got.PublicIpAddress))
	}
	other, err := runOne(t, c, func(*ec2.RunInstancesInput) {})
	ok(t, err)
	untilState(t, c, *other.InstanceId, types.InstanceStateNameRunning)
	associate.InstanceId, associate.AllowReassociation = other.InstanceId, aws.Bool(false)
	_, err = c.AssociateAddress(t.Context(), associate)
	wantAPIError(t, err, "Resource.AlreadyAssociated")
	_, err = c.ReleaseAddress(t.Context(), &ec2.ReleaseAddressInput{AllocationId: a.AllocationId})
	wantAPIError(t, err, "InvalidIPAddress.InUse")
	_, err = c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}})
	ok(t, err)
	untilState(t, c, *i.InstanceId, types.InstanceStateNameTerminated)
	left, err := c.DescribeAddresses(t.Context(), &ec2.DescribeAddressesInput{PublicIps: []string{*a.PublicIp}})
	ok(t, err)
	if left.Addresses[0].AssociationId != nil || left.Addresses[0].InstanceId != nil {
		t.Errorf("%+v", left.Addresses[0])
	}
	_, err = c.ReleaseAddress(t.Context(), &ec2.ReleaseAddressInput{AllocationId: a.AllocationId})
	ok(t, err)
	_, err = c.AssociateAddress(t.Context(), associate)
	wantAPIError(t, err, "InvalidAllocationID.NotFound")
}

// What a launch said of public addresses holds for every start of the instance, whatever the subnet says.
func TestPublicAddressesOfLaterStarts(t *testing.T) {
	t.Parallel()
	c := ec2Client(t, startServer(t, Options{}), DefaultAccount)
	for _, public := range []bool{true, false} {
		i, err := runOne(t, c, func(in *ec2.RunInstancesInput) {
			in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{DeviceIndex: aws.Int32(0), AssociatePublicIpAddress: &public}}
		})
		ok(t, err)
		untilState(t, c, *i.InstanceId, types.InstanceStateNameRunning)
		_, err = c.StopInstances(t.Context(), &ec2.StopInstancesInput{InstanceIds: []string{*i.InstanceId}})
		ok(t, err)
		if got := untilState(t, c, *i.InstanceId, types.InstanceStateNameStopped); got.PublicIpAddress != nil {
			t.Errorf("public %v: stopped with %s", public, *got.PublicIpAddress)
		}
		_, err = c.StartInstances(t.Context(), &ec2.StartInstancesInput{InstanceIds: []string{*i.InstanceId}})
		ok(t, err)
		if got := untilState(t, c, *i.InstanceId, types.InstanceStateNameRunning); (got.PublicIpAddress != nil) != public {
			t.Errorf("public %v: started with %v", public, aws.ToString(got.PublicIpAddress))
		}
	}
}

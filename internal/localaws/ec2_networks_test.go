package localaws

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// reaches says whether the agent of the instance could reach the service.
func reaches(s *Server, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.instance(DefaultAccount, "us-east-1", id).reachesService()
}

func TestReachesServiceFromPublicSubnet(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	c := ec2Client(t, s, DefaultAccount)
	for _, public := range []bool{true, false} {
		i, err := runOne(t, c, func(in *ec2.RunInstancesInput) {
			in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{DeviceIndex: aws.Int32(0), AssociatePublicIpAddress: &public}}
		})
		ok(t, err)
		if got := reaches(s, *i.InstanceId); got != public {
			t.Errorf("public address %v: reaches the service %v", public, got)
		}
	}
}

func TestReachesServiceByGroups(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	c := ec2Client(t, s, DefaultAccount)
	g, err := c.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{GroupName: aws.String("g"), Description: aws.String("d")})
	ok(t, err)
	i, err := runOne(t, c, func(in *ec2.RunInstancesInput) { in.SecurityGroupIds = []string{*g.GroupId} })
	ok(t, err)
	everything := []types.IpPermission{{IpProtocol: aws.String("-1"), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}}
	https := []types.IpPermission{{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(443), ToPort: aws.Int32(443), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}}
	if !reaches(s, *i.InstanceId) {
		t.Error("a new group lets nothing out")
	}
	_, err = c.RevokeSecurityGroupEgress(t.Context(), &ec2.RevokeSecurityGroupEgressInput{GroupId: g.GroupId, IpPermissions: everything})
	ok(t, err)
	if reaches(s, *i.InstanceId) {
		t.Error("a group without rules lets packets out")
	}
	_, err = c.AuthorizeSecurityGroupEgress(t.Context(), &ec2.AuthorizeSecurityGroupEgressInput{GroupId: g.GroupId, IpPermissions: https})
	ok(t, err)
	if !reaches(s, *i.InstanceId) {
		t.Error("port 443 is open and nothing gets out")
	}
	_, err = c.AuthorizeSecurityGroupEgress(t.Context(), &ec2.AuthorizeSecurityGroupEgressInput{GroupId: g.GroupId, IpPermissions: https})
	wantAPIError(t, err, "InvalidPermission.Duplicate", "already exists")
	_, err = c.DeleteSecurityGroup(t.Context(), &ec2.DeleteSecurityGroupInput{GroupId: g.GroupId})
	wantAPIError(t, err, "DependencyViolation", *g.GroupId)
}

// privateSubnet makes a VPC with one subnet and no way out.
func privateSubnet(t *testing.T, c *ec2.Client) (vpcID, subnetID *string) {
	t.Helper()
	v, err := c.CreateVpc(t.Context(), &ec2.CreateVpcInput{CidrBlock: aws.String("10.1.0.0/16")})
	ok(t, err)
	_, err = c.ModifyVpcAttribute(t.Context(), &ec2.ModifyVpcAttributeInput{VpcId: v.Vpc.VpcId, EnableDnsHostnames: &types.AttributeBooleanValue{Value: aws.Bool(true)}})
	ok(t, err)
	sub, err := c.CreateSubnet(t.Context(), &ec2.CreateSubnetInput{VpcId: v.Vpc.VpcId, CidrBlock: aws.String("10.1.1.0/24")})
	ok(t, err)
	return v.Vpc.VpcId, sub.Subnet.SubnetId
}

func TestReachesServiceThroughEndpoints(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	c := ec2Client(t, s, DefaultAccount)
	vpcID, subnetID := privateSubnet(t, c)
	i, err := runOne(t, c, func(in *ec2.RunInstancesInput) { in.SubnetId = subnetID })
	ok(t, err)
	for _, service := range []string{"ssm", "ssmmessages"} {
		if reaches(s, *i.InstanceId) {
			t.Errorf("reaches the service before the endpoint for %s", service)
		}
		_, err := c.CreateVpcEndpoint(t.Context(), &ec2.CreateVpcEndpointInput{
			VpcId: vpcID, ServiceName: aws.String("com.amazonaws.us-east-1." + service),
			VpcEndpointType: types.VpcEndpointTypeInterface, SubnetIds: []string{*subnetID},
		})
		ok(t, err)
	}
	until(t, "the endpoints serve", func() bool { return reaches(s, *i.InstanceId) })
	_, err = c.DeleteSubnet(t.Context(), &ec2.DeleteSubnetInput{SubnetId: subnetID})
	wantAPIError(t, err, "DependencyViolation")
	_, err = c.DeleteVpc(t.Context(), &ec2.DeleteVpcInput{VpcId: vpcID})
	wantAPIError(t, err, "DependencyViolation")
}

func TestReachesServiceThroughNAT(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	c := ec2Client(t, s, DefaultAccount)
	vpcID, subnetID := privateSubnet(t, c)
	i, err := runOne(t, c, func(in *ec2.RunInstancesInput) { in.SubnetId = subnetID })
	ok(t, err)
	front, err := c.CreateSubnet(t.Context(), &ec2.CreateSubnetInput{VpcId: vpcID, CidrBlock: aws.String("10.1.2.0/24")})
	ok(t, err)
	gateway, err := c.CreateInternetGateway(t.Context(), &ec2.CreateInternetGatewayInput{})
	ok(t, err)
	_, err = c.AttachInternetGateway(t.Context(), &ec2.AttachInternetGatewayInput{VpcId: vpcID, InternetGatewayId: gateway.InternetGateway.InternetGatewayId})
	ok(t, err)
	address, err := c.AllocateAddress(t.Context(), &ec2.AllocateAddressInput{})
	ok(t, err)
	nat, err := c.CreateNatGateway(t.Context(), &ec2.CreateNatGatewayInput{SubnetId: front.Subnet.SubnetId, AllocationId: address.AllocationId})
	ok(t, err)
	routed := func(subnet, gateway, nat *string) {
		t.Helper()
		table, err := c.CreateRouteTable(t.Context(), &ec2.CreateRouteTableInput{VpcId: vpcID})
		ok(t, err)
		_, err = c.CreateRoute(t.Context(), &ec2.CreateRouteInput{RouteTableId: table.RouteTable.RouteTableId, DestinationCidrBlock: aws.String("0.0.0.0/0"), GatewayId: gateway, NatGatewayId: nat})
		ok(t, err)
		_, err = c.AssociateRouteTable(t.Context(), &ec2.AssociateRouteTableInput{RouteTableId: table.RouteTable.RouteTableId, SubnetId: subnet})
		ok(t, err)
	}
	routed(subnetID, nil, nat.NatGateway.NatGatewayId)
	if reaches(s, *i.InstanceId) {
		t.Error("a NAT gateway without a way out lets packets out")
	}
	routed(front.Subnet.SubnetId, gateway.InternetGateway.InternetGatewayId, nil)
	until(t, "the NAT gateway serves", func() bool { return reaches(s, *i.InstanceId) })
}

// A VPC is pending in the answer that makes it and for as long as Describe calls may not know what is new.
func TestVPCIsPending(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{Profile: Demo})
	c := ec2Client(t, s, DefaultAccount)
	made, err := c.CreateVpc(t.Context(), &ec2.CreateVpcInput{CidrBlock: aws.String("10.1.0.0/16")})
	ok(t, err)
	if made.Vpc.State != types.VpcStatePending {
		t.Errorf("a new VPC is %s", made.Vpc.State)
	}
	until(t, "the VPC is available", func() bool {
		seen, err := c.DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{Filters: []types.Filter{
			{Name: aws.String("vpc-id"), Values: []string{*made.Vpc.VpcId}}, {Name: aws.String("state"), Values: []string{"available"}},
		}})
		ok(t, err)
		return len(seen.Vpcs) == 1
	})
}

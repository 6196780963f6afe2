package localaws

import (
	"crypto/ed25519"
	"crypto/rand"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"golang.org/x/crypto/ssh"
)

// A network is built, its packets are led through a gateway, a NAT gateway and an endpoint, and it is taken down again.
func TestCLIReadsNetworks(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	story := &cliStory{startServer(t, Options{NoMachines: true}), map[string]string{}}
	story.tell(t, []cliStep{
		{"vpc", "ec2 create-vpc --cidr-block 10.0.0.0/16 --tag-specifications ResourceType=vpc,Tags=[{Key=k,Value=v}] --query Vpc.[VpcId,CidrBlock,State,InstanceTenancy,Tags[0].Value,CidrBlockAssociationSet[0].CidrBlockState.State]",
			"{vpc} 10.0.0.0/16 pending default v associated"},
		{"", "ec2 modify-vpc-attribute --vpc-id {vpc} --enable-dns-hostnames", ""},
		{"", "ec2 describe-vpc-attribute --vpc-id {vpc} --attribute enableDnsHostnames --query [VpcId,EnableDnsHostnames.Value]", "{vpc} True"},
		{"subnet", "ec2 create-subnet --vpc-id {vpc} --cidr-block 10.0.1.0/24 --availability-zone us-east-1b --query Subnet.[SubnetId,State,AvailabilityZone,AvailableIpAddressCount,MapPublicIpOnLaunch]",
			"{subnet} available us-east-1b 251 False"},
		{"", "ec2 modify-subnet-attribute --subnet-id {subnet} --map-public-ip-on-launch", ""},
		{"", "ec2 describe-subnets --subnet-ids {subnet} --query Subnets[].MapPublicIpOnLaunch", "True"},
		{"gateway", "ec2 create-internet-gateway --query InternetGateway.[InternetGatewayId,length(Attachments)]", "{gateway} 0"},
		{"", "ec2 attach-internet-gateway --internet-gateway-id {gateway} --vpc-id {vpc}", ""},
		{"", "ec2 describe-internet-gateways --internet-gateway-ids {gateway} --query InternetGateways[].Attachments[].[VpcId,State]", "{vpc} available"},
		{"table", "ec2 create-route-table --vpc-id {vpc} --client-token once --query [RouteTable.RouteTableId,RouteTable.VpcId,RouteTable.Routes[0].GatewayId,RouteTable.Routes[0].Origin,ClientToken]", "{table} {vpc} local CreateRouteTable once"},
		{"", "ec2 create-route --route-table-id {table} --destination-cidr-block 0.0.0.0/0 --gateway-id {gateway} --query Return", "True"},
		{"association", "ec2 associate-route-table --route-table-id {table} --subnet-id {subnet} --query [AssociationId,AssociationState.State]", "{association} associated"},
		{"address", "ec2 allocate-address --domain vpc --query [AllocationId,PublicIp,Domain,NetworkBorderGroup]", "{address} 203.0.113.2 vpc us-east-1"},
		{"nat", "ec2 create-nat-gateway --subnet-id {subnet} --allocation-id {address} --client-token once --query [NatGateway.NatGatewayId,NatGateway.SubnetId,NatGateway.ConnectivityType,NatGateway.NatGatewayAddresses[0].AllocationId,ClientToken]",
			"{nat} {subnet} public {address} once"},
		{"", "ec2 describe-nat-gateways --nat-gateway-ids {nat} --query NatGateways[].[State,NatGatewayAddresses[0].[PublicIp,starts_with(AssociationId,'eipassoc-')][]][]", "available 203.0.113.2 True"},
		{"", "ec2 describe-network-interfaces --filters Name=subnet-id,Values={subnet} --query NetworkInterfaces[].[InterfaceType,Status,Association.PublicIp,PrivateIpAddresses[0].Primary]", "nat_gateway in-use 203.0.113.2 True"},
		{"", "ec2 replace-route --route-table-id {table} --destination-cidr-block 0.0.0.0/0 --nat-gateway-id {nat}", ""},
		{"", "ec2 describe-route-tables --route-table-ids {table} --query RouteTables[].[Associations[0].SubnetId,Associations[0].Main,Routes[1].NatGatewayId,Routes[1].State]", "{subnet} False {nat} active"},
		{"", "ec2 delete-route --route-table-id {table} --destination-cidr-block 0.0.0.0/0", ""},
		{"", "ec2 delete-nat-gateway --nat-gateway-id {nat} --query NatGatewayId", "{nat}"},
		{"endpoint", "ec2 create-vpc-endpoint --vpc-id {vpc} --vpc-endpoint-type Interface --service-name com.amazonaws.us-east-1.ssm --subnet-ids {subnet} --query VpcEndpoint.[VpcEndpointId,VpcEndpointType,PrivateDnsEnabled,Groups[0].GroupName,length(NetworkInterfaceIds)]",
			"{endpoint} Interface True default 1"},
		{"", "ec2 describe-vpc-endpoints --vpc-endpoint-ids {endpoint} --query VpcEndpoints[].[State,SubnetIds[0],DnsEntries[1].DnsName,RequesterManaged]", "available {subnet} ssm.us-east-1.amazonaws.com False"},
		{"", "ec2 delete-vpc-endpoints --vpc-endpoint-ids {endpoint} vpce-none --query Unsuccessful[].[ResourceId,Error.Code,ends_with(Error.Message,'exist')]", "vpce-none InvalidVpcEndpoint.NotFound True"},
		{"", "ec2 disassociate-route-table --association-id {association}", ""},
		{"", "ec2 delete-route-table --route-table-id {table}", ""},
		{"", "ec2 release-address --allocation-id {address}", ""},
		{"", "ec2 detach-internet-gateway --internet-gateway-id {gateway} --vpc-id {vpc}", ""},
		{"", "ec2 delete-internet-gateway --internet-gateway-id {gateway}", ""},
		{"", "ec2 delete-subnet --subnet-id {subnet}", ""},
		{"", "ec2 delete-vpc --vpc-id {vpc}", ""},
	}...)
}

func TestCLIReadsSecurityGroupRules(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	story := &cliStory{startServer(t, Options{NoMachines: true}), map[string]string{}}
	story.tell(t, []cliStep{
		{"group", "ec2 create-security-group --group-name web --description d --query [GroupId]", "{group}"},
		{"in", "ec2 authorize-security-group-ingress --group-id {group} --protocol tcp --port 443 --cidr 10.0.0.0/8 --query [SecurityGroupRules[0].SecurityGroupRuleId,Return,SecurityGroupRules[0].IsEgress,SecurityGroupRules[0].CidrIpv4]",
			"{in} True False 10.0.0.0/8"},
		{"names", "ec2 authorize-security-group-egress --group-id {group} --ip-permissions IpProtocol=udp,FromPort=53,ToPort=53,UserIdGroupPairs=[{GroupId={group},Description=names}] --query SecurityGroupRules[].[SecurityGroupRuleId,IsEgress,ReferencedGroupInfo.GroupId,Description]",
			"{names} True {group} names"},
		{"", "ec2 update-security-group-rule-descriptions-ingress --group-id {group} --security-group-rule-descriptions SecurityGroupRuleId={in},Description=inside --query Return", "True"},
		{"", "ec2 update-security-group-rule-descriptions-egress --group-id {group} --ip-permissions IpProtocol=udp,FromPort=53,ToPort=53,UserIdGroupPairs=[{GroupId={group},Description=DNS}] --query Return", "True"},
		{"", "ec2 describe-security-group-rules --filters Name=group-id,Values={group} --query SecurityGroupRules[1:].[SecurityGroupRuleId,IpProtocol,FromPort,Description]",
			"{in} tcp 443 inside {names} udp 53 DNS"},
		{"", "ec2 modify-security-group-rules --group-id {group} --security-group-rules SecurityGroupRuleId={in},SecurityGroupRule={IpProtocol=tcp,FromPort=8443,ToPort=8444,CidrIpv4=10.0.0.0/8,Description=moved} --query Return", "True"},
		{"", "ec2 revoke-security-group-ingress --group-id {group} --security-group-rule-ids {in} --query RevokedSecurityGroupRules[].[SecurityGroupRuleId,GroupId,FromPort,ToPort,CidrIpv4,Description]", "{in} {group} 8443 8444 10.0.0.0/8 moved"},
		{"", "ec2 revoke-security-group-egress --group-id {group} --ip-permissions IpProtocol=udp,FromPort=53,ToPort=53,UserIdGroupPairs=[{GroupId={group}}] --query [Return,length(UnknownIpPermissions),RevokedSecurityGroupRules[0].ReferencedGroupId]", "True 0 {group}"},
		{"", "ec2 delete-security-group --group-id {group} --query [Return,GroupId]", "True {group}"},
	}...)
}

// An instance gets a profile, another one and none, and an address that is not its own.
func TestCLIReadsAssociations(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	story := &cliStory{startServer(t, Options{NoMachines: true}), map[string]string{}}
	c, roles := ec2Client(t, story.s, DefaultAccount), iam.NewFromConfig(sdkConfig(t, story.s, DefaultAccount))
	for _, name := range []string{"one", "two"} {
		_, err := roles.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(trustEC2)})
		ok(t, err)
		_, err = roles.CreateInstanceProfile(t.Context(), &iam.CreateInstanceProfileInput{InstanceProfileName: &name})
		ok(t, err)
		_, err = roles.AddRoleToInstanceProfile(t.Context(), &iam.AddRoleToInstanceProfileInput{InstanceProfileName: &name, RoleName: &name})
		ok(t, err)
	}
	i, err := runOne(t, c, func(*ec2.RunInstancesInput) {})
	ok(t, err)
	untilState(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	story.known["instance"] = *i.InstanceId
	story.tell(t, []cliStep{
		{"one", "ec2 associate-iam-instance-profile --instance-id {instance} --iam-instance-profile Name=one --query IamInstanceProfileAssociation.[AssociationId,InstanceId,State]", "{one} {instance} associating"},
		{"", "ec2 describe-iam-instance-profile-associations --filters Name=instance-id,Values={instance} --query IamInstanceProfileAssociations[].[AssociationId,State,IamInstanceProfile.Arn]",
			"{one} associated arn:aws:iam::123456789012:instance-profile/one"},
		{"two", "ec2 replace-iam-instance-profile-association --association-id {one} --iam-instance-profile Name=two --query IamInstanceProfileAssociation.[AssociationId,State,IamInstanceProfile.Arn]",
			"{two} associating arn:aws:iam::123456789012:instance-profile/two"},
		{"", "ec2 disassociate-iam-instance-profile --association-id {two} --query IamInstanceProfileAssociation.[InstanceId,State]", "{instance} disassociating"},
		{"address", "ec2 allocate-address --query [AllocationId,PublicIpv4Pool]", "{address} amazon"},
		{"association", "ec2 associate-address --allocation-id {address} --instance-id {instance} --query AssociationId", "{association}"},
		{"", "ec2 describe-addresses --allocation-ids {address} --query Addresses[].[AllocationId,AssociationId,InstanceId,NetworkInterfaceOwnerId,PrivateIpAddress]",
			"{address} {association} {instance} 123456789012 " + *i.PrivateIpAddress},
		{"", "ec2 disassociate-address --association-id {association}", ""},
	}...)
}

func TestCLIReadsReservedCapacityAndKeys(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	ok(t, err)
	key, err := ssh.NewPublicKey(public)
	ok(t, err)
	path := t.TempDir() + "/key.pub"
	ok(t, os.WriteFile(path, ssh.MarshalAuthorizedKey(key), 0o600))
	story := &cliStory{startServer(t, Options{NoMachines: true}), map[string]string{}}
	story.tell(t, []cliStep{
		{"pair", "ec2 import-key-pair --key-name mine --public-key-material fileb://" + path + " --query [KeyPairId,KeyName,KeyFingerprint]", "{pair} mine " + ssh.FingerprintSHA256(key)[len("SHA256:"):] + "="},
		{"host", "ec2 allocate-hosts --instance-type m5.large --availability-zone us-east-1a --quantity 1 --query HostIds", "{host}"},
		{"", "ec2 describe-hosts --host-ids {host} --query Hosts[].[State,HostProperties.InstanceType,AvailabilityZoneId]", "available m5.large use1-az1"},
		{"", "ec2 release-hosts --host-ids {host} --query [Successful[0],length(Unsuccessful)]", "{host} 0"},
		{"room", "ec2 create-capacity-reservation --instance-type t3.small --instance-platform Linux/UNIX --availability-zone us-east-1a --instance-count 2 --instance-match-criteria targeted --query CapacityReservation.[CapacityReservationId,State,TotalInstanceCount,InstanceMatchCriteria,AvailabilityZoneId,EndDateType]",
			"{room} active 2 targeted use1-az1 unlimited"},
		{"", "ec2 describe-capacity-reservations --capacity-reservation-ids {room} --query CapacityReservations[].[AvailableInstanceCount,InstancePlatform,Tenancy,EbsOptimized,EphemeralStorage]", "2 Linux/UNIX default False False"},
		{"", "ec2 cancel-capacity-reservation --capacity-reservation-id {room} --query Return", "True"},
		{"group", "ec2 create-placement-group --group-name apart --strategy partition --partition-count 3 --query PlacementGroup.GroupId", "{group}"},
		{"", "ec2 describe-placement-groups --group-names apart --query PlacementGroups[].[GroupId,State,Strategy,PartitionCount,GroupArn]",
			"{group} available partition 3 arn:aws:ec2:us-east-1:123456789012:placement-group/apart"},
		{"", "ec2 delete-placement-group --group-name apart", ""},
		{"", "ec2 delete-fleets --fleet-ids fleet-none --terminate-instances --query UnsuccessfulFleetDeletions[].[FleetId,Error.Code,ends_with(Error.Message,'exist')]", "fleet-none fleetIdDoesNotExist True"},
		{"", "ec2 describe-account-attributes --attribute-names supported-platforms --query AccountAttributes[].[AttributeName,AttributeValues[0].AttributeValue]", "supported-platforms VPC"},
	}...)
}

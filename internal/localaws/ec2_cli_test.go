package localaws

import "testing"

// The AWS CLI reads back what EC2 answers; botocore knows each answer's shape.
func TestCLIReadsEC2(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	s := startServer(t, Options{})
	for _, test := range []struct{ words, want string }{
		{"ec2 describe-regions --query Regions[].RegionName", "us-east-1 us-west-2 eu-west-1"},
		{"ec2 describe-availability-zones --zone-names us-east-1a --query AvailabilityZones[].[State,ZoneId]", "available use1-az1"},
		{"ec2 describe-vpcs --filters Name=is-default,Values=true --query Vpcs[].[CidrBlock,State,IsDefault]", "172.31.0.0/16 available True"},
		{"ec2 describe-subnets --filters Name=availability-zone,Values=us-east-1a --query Subnets[].[CidrBlock,AvailableIpAddressCount,MapPublicIpOnLaunch]", "172.31.0.0/20 4091 True"},
		{"ec2 describe-security-groups --query SecurityGroups[].[GroupName,IpPermissionsEgress[0].IpRanges[0].CidrIp]", "default 0.0.0.0/0"},
		{"ec2 describe-instance-types --instance-types t3.small --query InstanceTypes[].[MemoryInfo.SizeInMiB,VCpuInfo.DefaultVCpus,Hypervisor]", "2048 2 nitro"},
		{"ec2 describe-instance-type-offerings --location-type availability-zone --filters Name=instance-type,Values=t3.small Name=location,Values=us-east-1e --query length(InstanceTypeOfferings)", "0"},
		{"ec2 describe-images --owners amazon --include-deprecated --filters Name=name,Values=amzn2-ami-hvm-2.0.20260427.1-x86_64-ebs --query Images[].[ImageOwnerAlias,BlockDeviceMappings[0].Ebs.VolumeType,DeprecationTime]",
			"amazon standard 2026-07-01T00:00:00.000Z"},
		{"ec2 describe-instances --query Reservations", ""},
		{"ec2 describe-instance-status --query InstanceStatuses", ""},
		{"ec2 describe-volumes --query Volumes", ""},
		{"ec2 describe-snapshots --owner-ids self --query Snapshots", ""},
		{"ec2 create-security-group --group-name g --description d --query length(GroupId)", "20"},
		{"ec2 describe-security-groups --group-names g --query SecurityGroups[].Description", "d"},
		{"ec2 create-key-pair --key-name k --key-type ed25519 --query KeyName", "k"},
		{"ec2 describe-key-pairs --query KeyPairs[].[KeyName,KeyType]", "k ed25519"},
		{"ec2 delete-key-pair --key-name k --query Return", "True"},
		{"ec2 describe-network-acls --query NetworkAcls[].[IsDefault,length(Associations)]", "True 6"},
		{"ec2 describe-dhcp-options --query DhcpOptions[].DhcpConfigurations[].Values[].Value", "ec2.internal AmazonProvidedDNS"},
		{"ec2 describe-prefix-lists --query PrefixLists[].PrefixListName", "com.amazonaws.us-east-1.s3 com.amazonaws.us-east-1.dynamodb"},
		{"ec2 create-placement-group --group-name near --strategy cluster --query PlacementGroup.[GroupName,Strategy]", "near cluster"},
		{"ec2 describe-hosts --query Hosts", ""},
		{"ec2 get-ebs-encryption-by-default --query EbsEncryptionByDefault", "False"},
		{"ec2 get-ebs-default-kms-key-id --query KmsKeyId", "alias/aws/ebs"},
		{"ec2 get-image-block-public-access-state --query ImageBlockPublicAccessState", "unblocked"},
		{"ec2 enable-image-block-public-access --image-block-public-access-state block-new-sharing --query ImageBlockPublicAccessState", "block-new-sharing"},
		{"ec2 disable-image-block-public-access --query ImageBlockPublicAccessState", "unblocked"},
	} {
		wantCLI(t, s, test.words, test.want)
	}
}

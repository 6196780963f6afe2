package localaws

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

func TestProfilesOfRunningInstances(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	c, roles := ec2Client(t, s, DefaultAccount), iam.NewFromConfig(sdkConfig(t, s, DefaultAccount))
	_, err := roles.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String(trustEC2)})
	ok(t, err)
	_, err = roles.CreateInstanceProfile(t.Context(), &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String("p")})
	ok(t, err)
	_, err = roles.AddRoleToInstanceProfile(t.Context(), &iam.AddRoleToInstanceProfileInput{InstanceProfileName: aws.String("p"), RoleName: aws.String("r")})
	ok(t, err)
	i, err := runOne(t, c, func(*ec2.RunInstancesInput) {})
	ok(t, err)
	associate := func(name string) (string, error) {
		out, err := c.AssociateIamInstanceProfile(t.Context(), &ec2.AssociateIamInstanceProfileInput{InstanceId: i.InstanceId, IamInstanceProfile: &types.IamInstanceProfileSpecification{Name: &name}})
		if err != nil {
			return "", err
		}
		return *out.IamInstanceProfileAssociation.AssociationId, nil
	}
	_, err = associate("none")
	wantAPIError(t, err, "InvalidParameterValue", "Invalid IAM Instance Profile name")
	id, err := associate("p")
	ok(t, err)
	_, err = associate("p")
	wantAPIError(t, err, "IncorrectState", "existing association")
	if got := describeOne(t, c, *i.InstanceId).IamInstanceProfile; got == nil || *got.Arn != "arn:aws:iam::123456789012:instance-profile/p" {
		t.Errorf("%+v", got)
	}
	_, err = c.StopInstances(t.Context(), &ec2.StopInstancesInput{InstanceIds: []string{*i.InstanceId}})
	ok(t, err)
	_, err = c.ReplaceIamInstanceProfileAssociation(t.Context(), &ec2.ReplaceIamInstanceProfileAssociationInput{AssociationId: &id, IamInstanceProfile: &types.IamInstanceProfileSpecification{Name: aws.String("p")}})
	wantAPIError(t, err, "IncorrectState", id+" is not the active association")
	_, err = c.DisassociateIamInstanceProfile(t.Context(), &ec2.DisassociateIamInstanceProfileInput{AssociationId: i.InstanceId})
	wantAPIError(t, err, "InvalidParameterValue", "Invalid value for associationId.")
	_, err = c.DisassociateIamInstanceProfile(t.Context(), &ec2.DisassociateIamInstanceProfileInput{AssociationId: &id})
	ok(t, err)
	left, err := c.DescribeIamInstanceProfileAssociations(t.Context(), &ec2.DescribeIamInstanceProfileAssociationsInput{})
	ok(t, err)
	if len(left.IamInstanceProfileAssociations) != 0 {
		t.Errorf("%+v", left.IamInstanceProfileAssociations)
	}
	_, err = c.ReplaceIamInstanceProfileAssociation(t.Context(), &ec2.ReplaceIamInstanceProfileAssociationInput{AssociationId: &id, IamInstanceProfile: &types.IamInstanceProfileSpecification{Name: aws.String("p")}})
	wantAPIError(t, err, "NoSuchAssociation", id)
}

func TestRulesAreChangedInPlace(t *testing.T) {
	t.Parallel()
	c := ec2Client(t, startServer(t, Options{}), DefaultAccount)
	g, err := c.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{GroupName: aws.String("g"), Description: aws.String("d")})
	ok(t, err)
	authorize := func(protocol string, ranges ...types.IpRange) (*ec2.AuthorizeSecurityGroupIngressOutput, error) {
		return c.AuthorizeSecurityGroupIngress(t.Context(), &ec2.AuthorizeSecurityGroupIngressInput{GroupId: g.GroupId, IpPermissions: []types.IpPermission{
			{IpProtocol: &protocol, FromPort: aws.Int32(22), ToPort: aws.Int32(22), IpRanges: ranges},
		}})
	}
	anyone := types.IpRange{CidrIp: aws.String("0.0.0.0/0")}
	_, err = authorize("tcp", anyone, anyone)
	wantAPIError(t, err, "InvalidParameterValue", "must not appear multiple times")
	_, err = authorize("tcp", types.IpRange{CidrIp: anyone.CidrIp, Description: aws.String("für")})
	wantAPIError(t, err, "InvalidParameterValue", "Invalid rule description")
	_, err = authorize("256", anyone)
	wantAPIError(t, err, "InvalidParameterValue", "Unknown protocol")
	_, err = authorize("50", anyone)
	ok(t, err)
	made, err := authorize("tcp", anyone)
	ok(t, err)
	rule := made.SecurityGroupRules[0].SecurityGroupRuleId
	_, err = c.ModifySecurityGroupRules(t.Context(), &ec2.ModifySecurityGroupRulesInput{GroupId: g.GroupId, SecurityGroupRules: []types.SecurityGroupRuleUpdate{
		{SecurityGroupRuleId: rule, SecurityGroupRule: &types.SecurityGroupRuleRequest{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(443), ToPort: aws.Int32(443), CidrIpv4: aws.String("10.0.0.0/8")}},
	}})
	ok(t, err)
	_, err = c.UpdateSecurityGroupRuleDescriptionsIngress(t.Context(), &ec2.UpdateSecurityGroupRuleDescriptionsIngressInput{GroupId: g.GroupId, SecurityGroupRuleDescriptions: []types.SecurityGroupRuleDescription{
		{SecurityGroupRuleId: rule, Description: aws.String("mine")},
	}})
	ok(t, err)
	got, err := c.DescribeSecurityGroupRules(t.Context(), &ec2.DescribeSecurityGroupRulesInput{SecurityGroupRuleIds: []string{*rule}})
	ok(t, err)
	if r := got.SecurityGroupRules[0]; *r.FromPort != 443 || *r.CidrIpv4 != "10.0.0.0/8" || *r.Description != "mine" {
		t.Errorf("%+v", r)
	}
}

func TestRefusalsOfImagesAndVolumes(t *testing.T) {
	t.Parallel()
	c := ec2Client(t, startServer(t, Options{}), DefaultAccount)
	_, err := c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{"ami-12345678", "ami-12345679"}})
	wantAPIError(t, err, "InvalidAMIID.NotFound", "The image ids '[ami-12345678, ami-12345679]' do not exist")
	_, err = c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ExecutableUsers: []string{"me"}})
	wantAPIError(t, err, "InvalidUserID.Malformed", "me")
	_, err = c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{Owners: []string{"099720109477"}})
	wantAPIError(t, err, "NotInLocalaws", "Canonical")
	_, err = c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{NextToken: aws.String("NQ==")})
	wantAPIError(t, err, "InvalidParameterValue", "pagination token")
	_, err = c.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: aws.String("ami-12345678")})
	wantAPIError(t, err, "InvalidAMIID.NotFound")
	for name, code := range map[string]string{"odd": "InvalidParameterValue", "tpm-support": "NotInLocalaws", "ebs-optimized": ""} {
		_, err = c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{Filters: []types.Filter{{Name: &name, Values: []string{"x"}}}})
		if code == "" {
			ok(t, err)
		} else {
			wantAPIError(t, err, code, name)
		}
	}
	i, err := runOne(t, c, func(*ec2.RunInstancesInput) {})
	ok(t, err)
	other, err := runOne(t, c, func(*ec2.RunInstancesInput) {})
	ok(t, err)
	volume := describeOne(t, c, *i.InstanceId).BlockDeviceMappings[0].Ebs.VolumeId
	_, err = c.DetachVolume(t.Context(), &ec2.DetachVolumeInput{VolumeId: volume, InstanceId: other.InstanceId})
	wantAPIError(t, err, "InvalidAttachment.NotFound", *volume, *other.InstanceId)
}

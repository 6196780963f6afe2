package localaws

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSessionsOfOnesOwn(t *testing.T) {
	const session = "arn:aws:ssm:us-east-1:123456789012:session/builder-0123456789abcdef0"
	for resource, want := range map[string]bool{
		"arn:aws:ssm:*:*:session/${aws:username}-*": true,
		"arn:aws:ssm:*:*:session/${aws:userid}-*":   true,
		"arn:aws:ssm:*:*:session/other-*":           false,
		"*":                                         true,
	} {
		s := quietServer(t, Options{CallerPolicy: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["ssmmessages:OpenDataChannel"],"Resource":"` + resource + `"}}`})
		who := s.iam.keyOf(DefaultAccount).who
		if got := s.mayDo(who, "us-east-1", "ssmmessages:OpenDataChannel", session); got != want {
			t.Errorf("%s: %v", resource, got)
		}
		if s.mayDo(who, "us-east-1", "ssm:TerminateSession", session) {
			t.Errorf("%s allows another action", resource)
		}
		others := "arn:aws:ssm:us-east-1:123456789012:session/mallory-0123456789abcdef0"
		if got := s.mayDo(who, "us-east-1", "ssmmessages:OpenDataChannel", others); got != (resource == "*") {
			t.Errorf("%s: another's session %v", resource, got)
		}
	}
}

func TestPermissionsOfCalls(t *testing.T) {
	s := quietServer(t, Options{})
	role := newRole(DefaultAccount, "r", "/p/", s.clock.Now())
	s.iam.accounts[DefaultAccount].roles["r"] = role
	s.iam.accounts[DefaultAccount].profiles["ip"] = &instanceProfile{server: s, account: DefaultAccount, name: "ip", arn: "arn:aws:iam::123456789012:instance-profile/ip", role: role}
	const ec2, iam, here = "arn:aws:ec2:us-east-1:123456789012:", "arn:aws:iam::123456789012:", "arn:aws:ssm:us-east-1:123456789012:"
	for _, test := range []struct {
		service, action, parameters string
		want                        []Permission
	}{
		{"ec2", "DescribeInstances", "InstanceId.1=i-0123456789abcdef0", []Permission{{"ec2:DescribeInstances", "*"}}},
		{"ec2", "TerminateInstances", "InstanceId.1=i-1&InstanceId.2=i-2", []Permission{
			{"ec2:TerminateInstances", ec2 + "instance/i-1"}, {"ec2:TerminateInstances", ec2 + "instance/i-2"}}},
		{"ec2", "RunInstances", "ImageId=ami-1&SubnetId=subnet-1&IamInstanceProfile.Name=ip&TagSpecification.1.ResourceType=volume&TagSpecification.1.Tag.1.Value=i-9", []Permission{
			{"ec2:CreateTags", ec2 + "volume/*"},
			{"ec2:RunInstances", ec2 + "instance/*"}, {"ec2:RunInstances", ec2 + "network-interface/*"},
			{"ec2:RunInstances", ec2 + "subnet/subnet-1"}, {"ec2:RunInstances", ec2 + "volume/*"},
			{"ec2:RunInstances", "arn:aws:ec2:us-east-1::image/ami-1"},
			{"iam:PassRole", "arn:aws:iam::123456789012:role/p/r"}}},
		{"ec2", "CreateImage", "InstanceId=i-1&Name=x", []Permission{
			{"ec2:CreateImage", ec2 + "instance/i-1"}, {"ec2:CreateImage", "arn:aws:ec2:us-east-1::image/*"}, {"ec2:CreateImage", "arn:aws:ec2:us-east-1::snapshot/*"}}},
		{"iam", "CreateRole", "RoleName=new&Path=/x/", []Permission{{"iam:CreateRole", iam + "role/x/new"}}},
		{"iam", "CreateRole", "RoleName=new&Tags.member.1.Key=k", []Permission{{"iam:CreateRole", iam + "role/new"}, {"iam:TagRole", iam + "role/new"}}},
		{"iam", "DeleteRole", "RoleName=r", []Permission{{"iam:DeleteRole", iam + "role/p/r"}}},
		{"iam", "AddRoleToInstanceProfile", "RoleName=r&InstanceProfileName=ip", []Permission{
			{"iam:AddRoleToInstanceProfile", iam + "instance-profile/ip"}, {"iam:PassRole", iam + "role/p/r"}}},
		{"iam", "ListRoles", "", []Permission{{"iam:ListRoles", "*"}}},
		{"sts", "GetCallerIdentity", "", nil},
		{"ssm", "StartSession", `{"Target":"i-1","DocumentName":"AWS-StartSSHSession"}`, []Permission{
			{"ssm:StartSession", "arn:aws:ssm:us-east-1::document/AWS-StartSSHSession"}, {"ssm:StartSession", ec2 + "instance/i-1"}}},
		{"ssm", "SendCommand", `{"InstanceIds":["i-1"],"DocumentName":"mine"}`, []Permission{
			{"ssm:SendCommand", here + "document/mine"}, {"ssm:SendCommand", ec2 + "instance/i-1"}}},
		{"ssm", "GetParameter", `{"Name":"/aws/service/ami-amazon-linux-latest/x"}`, []Permission{
			{"ssm:GetParameter", "arn:aws:ssm:us-east-1::parameter/aws/service/ami-amazon-linux-latest/x"}}},
		{"ssm", "GetParameters", `{"Names":["/a/b:3","c"]}`, []Permission{
			{"ssm:GetParameters", here + "parameter/a/b"}, {"ssm:GetParameters", here + "parameter/c"}}},
		{"ssm", "TerminateSession", `{"SessionId":"builder-1"}`, []Permission{{"ssm:TerminateSession", here + "session/builder-1"}}},
		{"kms", "DescribeKey", `{"KeyId":"alias/none"}`, []Permission{{"kms:DescribeKey", "*"}}},
	} {
		c := &call{server: s, service: test.service, action: test.action, region: "us-east-1", caller: s.iam.keyOf(DefaultAccount).who}
		if jsonTargets[test.service] != "" {
			c.body = []byte(test.parameters)
		} else {
			c.form, _ = url.ParseQuery(test.parameters)
		}
		if diff := cmp.Diff(test.want, s.permissionsOf(c)); diff != "" {
			t.Errorf("%s %s:\n%s", test.action, test.parameters, diff)
		}
	}
}

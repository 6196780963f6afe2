package localaws

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

func TestParseFault(t *testing.T) {
	for text, want := range map[string]Fault{
		"ec2:RunInstances,code=InsufficientInstanceCapacity,times=2,InstanceType=t3.*": {
			Service: "ec2", Action: "RunInstances", Code: "InsufficientInstanceCapacity", Times: 2, Where: map[string]string{"InstanceType": "t3.*"}},
		"*:Describe*,delay=1.5s,region=us-west-2": {Action: "Describe*", Delay: 1500 * time.Millisecond, Region: "us-west-2"},
		"ssm:StartSession,deny":                   {Service: "ssm", Action: "StartSession", Deny: true},
		"iam:*,nth=3,after,drop,times=-1":         {Service: "iam", Action: "*", Nth: 3, Times: -1, After: true, Drop: true},
		"sts:GetCallerIdentity,hang":              {Service: "sts", Action: "GetCallerIdentity", Hang: true},
		"ec2:X,code=Y,status=503,message=slow":    {Service: "ec2", Action: "X", Code: "Y", Status: 503, Message: "slow"},
	} {
		got, err := ParseFault(text)
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", text, diff)
		}
	}
}

func TestFaultsByParameter(t *testing.T) {
	s := startServer(t, Options{})
	s.Inject(Fault{Action: "GetRole", Where: map[string]string{"RoleName": "packer-*"}, Code: "AccessDenied", Times: -1})
	client := iam.NewFromConfig(sdkConfig(t, s, DefaultAccount))
	for name, code := range map[string]string{"packer-1": "AccessDenied", "other": "NoSuchEntity"} {
		_, err := client.GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String(name)})
		wantAPIError(t, err, code)
	}
}

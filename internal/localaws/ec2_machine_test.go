//go:build linux

package localaws

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// An image holds what the instance's disk held, and an instance of the image starts from it.
func TestImageHoldsTheDisk(t *testing.T) {
	s, id := online(t, startMachines(t, Options{}))
	c := ec2Client(t, s, DefaultAccount)
	out := run(t, s, id, script("echo made > /etc/made", "touch /run/gone"))
	if out.ResponseCode != 0 {
		t.Fatalf("%+v", out)
	}
	made, err := c.CreateImage(t.Context(), &ec2.CreateImageInput{InstanceId: &id, Name: aws.String("captured")})
	ok(t, err)
	untilImage(t, c, *made.ImageId)
	child, err := runOne(t, c, func(in *ec2.RunInstancesInput) {
		in.ImageId, in.InstanceInitiatedShutdownBehavior = made.ImageId, types.ShutdownBehaviorTerminate
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String("agents")}
	})
	ok(t, err)
	untilOnline(t, s, *child.InstanceId)
	out = run(t, s, *child.InstanceId, script("cat /etc/made; ls /run/gone; hostname"))
	if got := aws.ToString(out.StandardOutputContent); !strings.HasPrefix(got, "made\n") || strings.Contains(got, "/run/gone") {
		t.Errorf("the image's instance has %q", got)
	}
	_, err = c.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: made.ImageId, DeleteAssociatedSnapshots: aws.Bool(true)})
	ok(t, err)
	out = run(t, s, *child.InstanceId, script("cat /etc/made"))
	if got := aws.ToString(out.StandardOutputContent); got != "made\n" {
		t.Errorf("without its image the instance has %q", got)
	}
	run(t, s, *child.InstanceId, script("nohup systemctl poweroff >/dev/null 2>&1 &"))
	ended := untilState(t, c, *child.InstanceId, types.InstanceStateNameTerminated)
	if got := aws.ToString(ended.StateReason.Code); got != "Client.InstanceInitiatedShutdown" {
		t.Errorf("state reason %s", got)
	}
}

func TestMetadataService(t *testing.T) {
	s, id := online(t, startMachines(t, Options{}))
	c := ec2Client(t, s, DefaultAccount)
	_, err := c.ModifyInstanceMetadataOptions(t.Context(), &ec2.ModifyInstanceMetadataOptionsInput{InstanceId: &id, HttpTokens: types.HttpTokensStateRequired})
	ok(t, err)
	out := run(t, s, id, script(
		"base=http://169.254.169.254/latest",
		"curl -s -o /dev/null -w '%{http_code} ' $base/meta-data/instance-id",
		"curl -s -o /dev/null -w '%{http_code} ' -X PUT $base/api/token",
		"T=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $base/api/token)",
		"get() { curl -s -H \"X-aws-ec2-metadata-token: $T\" $base/$1; echo; }",
		"get meta-data/instance-id; get meta-data/iam/security-credentials/; get meta-data/no/such/thing",
		"get meta-data/iam/security-credentials/agents | grep -c AccessKeyId; get dynamic/instance-identity/document | grep -c "+id,
	))
	want := "401 400 " + id + "\nagents\n404 - Not Found\n\n1\n1\n"
	if got := aws.ToString(out.StandardOutputContent); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

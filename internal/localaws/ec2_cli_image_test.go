package localaws

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func TestCLIReadsImages(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	s := startServer(t, Options{})
	c := ec2Client(t, s, DefaultAccount)
	i, err := runOne(t, c, func(*ec2.RunInstancesInput) {})
	ok(t, err)
	untilState(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	story := &cliStory{s, map[string]string{
		"instance": *i.InstanceId, "later": ec2Time(time.Now().AddDate(1, 0, 0).Truncate(time.Minute)),
	}}
	story.tell(t, cliStep{"image", "ec2 create-image --instance-id {instance} --name first --description before --no-reboot --query [ImageId]", "{image}"})
	img := untilImage(t, c, story.known["image"])
	story.known["snapshot"] = *img.BlockDeviceMappings[0].Ebs.SnapshotId
	story.tell(t,
		cliStep{"", "ec2 modify-image-attribute --image-id {image} --description Value=after", ""},
		cliStep{"", "ec2 describe-image-attribute --image-id {image} --attribute description --query [ImageId,Description.Value]", "{image} after"},
		cliStep{"", "ec2 modify-image-attribute --image-id {image} --launch-permission Add=[{UserId=210987654321},{Group=all}]", ""},
		cliStep{"", "ec2 describe-image-attribute --image-id {image} --attribute launchPermission --query LaunchPermissions[].[UserId,Group]", "210987654321 None None all"},
		cliStep{"", "ec2 reset-image-attribute --image-id {image} --attribute launchPermission", ""},
		cliStep{"", "ec2 enable-image-deprecation --image-id {image} --deprecate-at {later} --query Return", "True"},
		cliStep{"", "ec2 enable-image-deregistration-protection --image-id {image} --query Return", "enabled-without-cooldown"},
		cliStep{"", "ec2 describe-images --image-ids {image} --query Images[].[Public,DeprecationTime,DeregistrationProtection,SourceInstanceId]", "False {later} enabled-without-cooldown {instance}"},
		cliStep{"", "ec2 disable-image-deregistration-protection --image-id {image} --query Return", "disabled"},
		cliStep{"", "ec2 disable-image-deprecation --image-id {image} --query Return", "True"},
		cliStep{"", "ec2 disable-image --image-id {image} --query Return", "True"},
		cliStep{"", "ec2 enable-image --image-id {image} --query Return", "True"},
		cliStep{"copy", "ec2 copy-image --source-image-id {image} --source-region us-east-1 --name copy --encrypted --query [ImageId]", "{copy}"},
		cliStep{"second", "ec2 register-image --name second --architecture x86_64 --root-device-name /dev/xvda --virtualization-type hvm --ena-support" +
			` --block-device-mappings [{"DeviceName":"/dev/xvda","Ebs":{"SnapshotId":"{snapshot}"}}] --query [ImageId]`, "{second}"},
	)
	untilImage(t, c, story.known["copy"])
	story.tell(t,
		cliStep{"", "ec2 describe-images --image-ids {copy} --query Images[].[SourceImageId,SourceImageRegion,State,BlockDeviceMappings[0].Ebs.Encrypted]", "{image} us-east-1 available True"},
		cliStep{"", "ec2 deregister-image --image-id {copy} --delete-associated-snapshots --query [Return,DeleteSnapshotResults[].ReturnCode]", "True success"},
	)
}

func TestCLIReadsTags(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	s := startServer(t, Options{})
	c := ec2Client(t, s, DefaultAccount)
	groups, err := c.DescribeSecurityGroups(t.Context(), nil)
	ok(t, err)
	story := &cliStory{s, map[string]string{"group": *groups.SecurityGroups[0].GroupId}}
	story.tell(t,
		cliStep{"", "ec2 create-tags --resources {group} --tags Key=a,Value=b Key=c,Value=", ""},
		cliStep{"", "ec2 describe-tags --filters Name=resource-id,Values={group} --query Tags[].[ResourceId,ResourceType,Key,Value]", "{group} security-group a b {group} security-group c"},
		cliStep{"", "ec2 delete-tags --resources {group} --tags Key=a,Value=b", ""},
		cliStep{"", "ec2 describe-tags --filters Name=resource-type,Values=security-group --query Tags[].Key", "c"},
	)
}

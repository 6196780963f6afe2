package localaws

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func TestCLIReadsVolumes(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	s := startServer(t, Options{})
	c := ec2Client(t, s, DefaultAccount)
	i, err := runOne(t, c, func(in *ec2.RunInstancesInput) {
		in.Placement = &types.Placement{AvailabilityZone: aws.String("us-east-1a")}
	})
	ok(t, err)
	untilState(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	story := &cliStory{s, map[string]string{"instance": *i.InstanceId}}
	story.tell(t, cliStep{"volume", "ec2 create-volume --availability-zone us-east-1a --size 8 --volume-type gp3 --tag-specifications ResourceType=volume,Tags=[{Key=a,Value=b}]" +
		" --query [VolumeId,State,Size,VolumeType,Iops,Throughput,Encrypted,MultiAttachEnabled,AvailabilityZone,Tags[0].Value]", "{volume} creating 8 gp3 3000 125 False False us-east-1a b"})
	untilVolume(t, c, story.known["volume"], types.VolumeStateAvailable)
	story.tell(t,
		cliStep{"", "ec2 attach-volume --volume-id {volume} --instance-id {instance} --device /dev/sdf --query [VolumeId,InstanceId,Device,State,DeleteOnTermination,starts_with(AttachTime,'2')]", "{volume} {instance} /dev/sdf attaching False True"},
		cliStep{"", "ec2 modify-volume-attribute --volume-id {volume} --auto-enable-io", ""},
		cliStep{"", "ec2 describe-volume-attribute --volume-id {volume} --attribute autoEnableIO --query [VolumeId,AutoEnableIO.Value]", "{volume} True"},
		cliStep{"", "ec2 describe-volume-status --volume-ids {volume} --query VolumeStatuses[].[VolumeId,AvailabilityZone,VolumeStatus.Status,VolumeStatus.Details[0].Name,VolumeStatus.Details[0].Status,AttachmentStatuses[0].InstanceId]", "{volume} us-east-1a ok io-enabled passed {instance}"},
		cliStep{"", "ec2 modify-volume --volume-id {volume} --size 10 --iops 4000 --query VolumeModification.[VolumeId,ModificationState,OriginalSize,TargetSize,OriginalIops,TargetIops,TargetVolumeType,Progress]", "{volume} modifying 8 10 3000 4000 gp3 0"},
		cliStep{"", "ec2 describe-volumes-modifications --volume-ids {volume} --query VolumesModifications[].[VolumeId,TargetSize,TargetThroughput,starts_with(StartTime,'2')]", "{volume} 10 125 True"},
		cliStep{"", "ec2 detach-volume --volume-id {volume} --query [VolumeId,InstanceId,Device,State]", "{volume} {instance} /dev/sdf detaching"},
	)
	untilVolume(t, c, story.known["volume"], types.VolumeStateAvailable)
	story.tell(t, cliStep{"", "ec2 delete-volume --volume-id {volume}", ""})
}

func untilVolume(t *testing.T, c *ec2.Client, id string, want types.VolumeState) {
	t.Helper()
	until(t, id+" "+string(want), func() bool {
		out, err := c.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{VolumeIds: []string{id}})
		ok(t, err)
		return out.Volumes[0].State == want
	})
}

func TestCLIReadsSnapshots(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	s := startServer(t, Options{})
	c := ec2Client(t, s, DefaultAccount)
	made, err := c.CreateVolume(t.Context(), &ec2.CreateVolumeInput{AvailabilityZone: aws.String("us-east-1a"), Size: aws.Int32(8)})
	ok(t, err)
	untilVolume(t, c, *made.VolumeId, types.VolumeStateAvailable)
	_, err = c.ModifyVolume(t.Context(), &ec2.ModifyVolumeInput{VolumeId: made.VolumeId})
	wantAPIError(t, err, "InvalidParameterValue", "at least one of")
	story := &cliStory{s, map[string]string{"volume": *made.VolumeId}}
	story.tell(t, cliStep{"snapshot", "ec2 create-snapshot --volume-id {volume} --description d --tag-specifications ResourceType=snapshot,Tags=[{Key=a,Value=b}]" +
		" --query [SnapshotId,VolumeId,State,VolumeSize,Encrypted,OwnerId,Description,Tags[0].Value]", "{snapshot} {volume} pending 8 False 123456789012 d b"})
	untilSnapshot(t, c, story.known["snapshot"])
	story.tell(t,
		cliStep{"", "ec2 modify-snapshot-attribute --snapshot-id {snapshot} --attribute createVolumePermission --operation-type add --user-ids 210987654321", ""},
		cliStep{"", "ec2 describe-snapshot-attribute --snapshot-id {snapshot} --attribute createVolumePermission --query [SnapshotId,CreateVolumePermissions[].UserId]", "{snapshot} 210987654321"},
		cliStep{"copy", "ec2 copy-snapshot --source-region us-east-1 --source-snapshot-id {snapshot} --description copied --tag-specifications ResourceType=snapshot,Tags=[{Key=c,Value=d}] --query [SnapshotId,Tags[0].Key]", "{copy} c"},
	)
	untilSnapshot(t, c, story.known["copy"])
	story.tell(t,
		cliStep{"", "ec2 describe-snapshots --snapshot-ids {copy} --query Snapshots[].[State,Progress,Description,VolumeSize,StorageTier]", "completed 100% copied 8 standard"},
		cliStep{"", "ec2 delete-snapshot --snapshot-id {copy}", ""},
	)
}

func untilSnapshot(t *testing.T, c *ec2.Client, id string) {
	t.Helper()
	until(t, id+" completed", func() bool {
		out, err := c.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}})
		ok(t, err)
		return out.Snapshots[0].State == types.SnapshotStateCompleted
	})
}

func TestCLIReadsEncryptionByDefault(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	s := startServer(t, Options{})
	story := &cliStory{s, map[string]string{}}
	story.tell(t,
		cliStep{"", "ec2 enable-ebs-encryption-by-default --query EbsEncryptionByDefault", "True"},
		cliStep{"", "ec2 disable-ebs-encryption-by-default --query EbsEncryptionByDefault", "False"},
		cliStep{"key", "kms create-key --query KeyMetadata.[Arn]", "{key}"},
		cliStep{"", "ec2 modify-ebs-default-kms-key-id --kms-key-id {key} --query KmsKeyId", "{key}"},
		cliStep{"", "ec2 reset-ebs-default-kms-key-id --query KmsKeyId", "alias/aws/ebs"},
	)
}

package localaws

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// A cliStory is a run of AWS CLI commands on one server, where ids that one
// command prints go into the words of the next.
type cliStory struct {
	s     *Server
	known map[string]string // what stands in the words as {name}
}

// A cliStep is a command whose --query must print want. With a name, the first
// word that it prints is known by that name from there on, in want too; None,
// which the CLI prints for a member that is not in the answer, is no such word.
type cliStep struct{ name, words, want string }

func (c *cliStory) tell(t *testing.T, steps ...cliStep) {
	t.Helper()
	for _, step := range steps {
		words := c.fill(step.words) + " --output text"
		out, errs := cli(t, c.s, words)
		printed := strings.Fields(out)
		if step.name != "" {
			if len(printed) == 0 || printed[0] == "None" {
				t.Fatalf("aws %s\nprinted no %s: %q %s", words, step.name, out, errs)
			}
			c.known[step.name] = printed[0]
		}
		if want := c.fill(step.want); strings.Join(printed, " ") != want || errs != "" {
			t.Errorf("aws %s\nprinted %q %s\nwant    %q", words, out, errs, want)
		}
	}
}

func (c *cliStory) fill(words string) string {
	for name, value := range c.known {
		words = strings.ReplaceAll(words, "{"+name+"}", value)
	}
	return words
}

func TestCLIReadsInstances(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	s := startServer(t, Options{})
	c := ec2Client(t, s, DefaultAccount)
	story := &cliStory{s, map[string]string{"image": amazonImage(t, c, "al2023-ami-2023.*-x86_64")}}
	story.tell(t, cliStep{"instance", "ec2 run-instances --image-id {image} --instance-type t3.micro --placement AvailabilityZone=us-east-1a" +
		" --tag-specifications ResourceType=instance,Tags=[{Key=Name,Value=x}]" +
		" --query Instances[0].[InstanceId,State.Name,State.Code,StateReason.Code,InstanceType,Placement.AvailabilityZone,Tags[0].Value,AmiLaunchIndex,CpuOptions.CoreCount,MetadataOptions.HttpTokens]",
		"{instance} pending 0 pending t3.micro us-east-1a x 0 1 required"})
	untilState(t, c, story.known["instance"], types.InstanceStateNameRunning)
	story.tell(t,
		cliStep{"", "ec2 monitor-instances --instance-ids {instance} --query InstanceMonitorings[].[InstanceId,Monitoring.State]", "{instance} pending"},
		cliStep{"", "ec2 unmonitor-instances --instance-ids {instance} --query InstanceMonitorings[].Monitoring.State", "disabling"},
		cliStep{"", "ec2 modify-instance-attribute --instance-id {instance} --instance-initiated-shutdown-behavior terminate", ""},
		cliStep{"", "ec2 describe-instance-attribute --instance-id {instance} --attribute instanceInitiatedShutdownBehavior --query [InstanceId,InstanceInitiatedShutdownBehavior.Value]", "{instance} terminate"},
		cliStep{"", "ec2 describe-instance-attribute --instance-id {instance} --attribute blockDeviceMapping --query BlockDeviceMappings[].[DeviceName,Ebs.Status,Ebs.DeleteOnTermination]", "/dev/xvda attached True"},
		cliStep{"", "ec2 modify-instance-metadata-options --instance-id {instance} --http-put-response-hop-limit 3 --query [InstanceId,InstanceMetadataOptions.[State,HttpTokens,HttpPutResponseHopLimit,HttpEndpoint]][]",
			"{instance} pending required 3 enabled"},
		cliStep{"", "ec2 describe-instance-credit-specifications --instance-ids {instance} --query InstanceCreditSpecifications[].[InstanceId,CpuCredits]", "{instance} unlimited"},
		cliStep{"", "ec2 get-console-output --instance-id {instance} --query [InstanceId,starts_with(Timestamp,'2'),Output]", "{instance} True"},
		cliStep{"", "ec2 reboot-instances --instance-ids {instance}", ""},
		cliStep{"", "ec2 stop-instances --instance-ids {instance} --query StoppingInstances[].[InstanceId,CurrentState.Name,CurrentState.Code,PreviousState.Name]", "{instance} stopping 64 running"},
	)
	untilState(t, c, story.known["instance"], types.InstanceStateNameStopped)
	story.tell(t, cliStep{"", "ec2 start-instances --instance-ids {instance} --query StartingInstances[].[CurrentState.Name,PreviousState.Name,PreviousState.Code]", "pending stopped 80"})
	untilState(t, c, story.known["instance"], types.InstanceStateNameRunning)
	story.tell(t, cliStep{"", "ec2 terminate-instances --instance-ids {instance} --query TerminatingInstances[].[InstanceId,CurrentState.Name,CurrentState.Code,PreviousState.Name]", "{instance} shutting-down 32 running"})
	untilState(t, c, story.known["instance"], types.InstanceStateNameTerminated)
}

func TestCLIReadsSpot(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	s := startServer(t, Options{})
	c := ec2Client(t, s, DefaultAccount)
	story := &cliStory{s, map[string]string{"image": amazonImage(t, c, "al2023-ami-2023.*-x86_64")}}
	story.tell(t,
		cliStep{"", "ec2 describe-spot-price-history --instance-types t3.micro --product-descriptions Linux/UNIX --availability-zone us-east-1a --query SpotPriceHistory[0].[InstanceType,ProductDescription,AvailabilityZone,SpotPrice,starts_with(Timestamp,'2')]",
			"t3.micro Linux/UNIX us-east-1a 0.012500 True"},
		cliStep{"request", "ec2 run-instances --image-id {image} --instance-type t3.micro --placement AvailabilityZone=us-east-1b --instance-market-options MarketType=spot,SpotOptions={MaxPrice=0.02}" +
			" --tag-specifications ResourceType=spot-instances-request,Tags=[{Key=a,Value=b}] --query Instances[0].[SpotInstanceRequestId,InstanceLifecycle]", "{request} spot"},
		cliStep{"instance", "ec2 describe-spot-instance-requests --spot-instance-request-ids {request} --query SpotInstanceRequests[].[InstanceId,SpotInstanceRequestId,State,Status.Code,Type,SpotPrice,LaunchSpecification.ImageId,LaunchSpecification.InstanceType,LaunchSpecification.Placement.AvailabilityZone,LaunchSpecification.SecurityGroups[0].GroupName,LaunchSpecification.Monitoring.Enabled,LaunchedAvailabilityZone,InstanceInterruptionBehavior,Tags[0].Value]",
			"{instance} {request} active fulfilled one-time 0.020000 {image} t3.micro us-east-1b default False us-east-1b terminate b"},
		cliStep{"", "ec2 cancel-spot-instance-requests --spot-instance-request-ids {request} --query CancelledSpotInstanceRequests[].[SpotInstanceRequestId,State]", "{request} cancelled"},
	)
}

func TestCLIReadsTemplatesAndFleets(t *testing.T) {
	awsCLI(t)
	t.Parallel()
	s := startServer(t, Options{})
	c := ec2Client(t, s, DefaultAccount)
	story := &cliStory{s, map[string]string{"image": amazonImage(t, c, "al2023-ami-2023.*-x86_64")}}
	story.tell(t,
		cliStep{"template", "ec2 create-launch-template --launch-template-name own --version-description first --tag-specifications ResourceType=launch-template,Tags=[{Key=a,Value=b}]" +
			` --launch-template-data {"ImageId":"{image}","InstanceType":"t3.small","BlockDeviceMappings":[{"DeviceName":"/dev/xvda","Ebs":{"VolumeSize":9}}],"TagSpecifications":[{"ResourceType":"instance","Tags":[{"Key":"Name","Value":"x"}]}]}` +
			" --query LaunchTemplate.[LaunchTemplateId,LaunchTemplateName,DefaultVersionNumber,LatestVersionNumber,CreatedBy,Tags[0].Value]", "{template} own 1 1 arn:aws:iam::123456789012:user/builder b"},
		cliStep{"", `ec2 create-launch-template-version --launch-template-id {template} --source-version 1 --version-description second --launch-template-data {"InstanceType":"t3.micro"}` +
			" --query LaunchTemplateVersion.[VersionNumber,VersionDescription,DefaultVersion,LaunchTemplateData.[ImageId,InstanceType]][]", "2 second False {image} t3.micro"},
		cliStep{"", "ec2 modify-launch-template --launch-template-id {template} --default-version 2 --query LaunchTemplate.[DefaultVersionNumber,LatestVersionNumber]", "2 2"},
		cliStep{"", "ec2 describe-launch-templates --launch-template-names own --query LaunchTemplates[].[LaunchTemplateId,DefaultVersionNumber,starts_with(CreateTime,'2')]", "{template} 2 True"},
		cliStep{"", "ec2 describe-launch-template-versions --launch-template-name own --versions 1 --query LaunchTemplateVersions[].[VersionNumber,DefaultVersion,LaunchTemplateData.[InstanceType,BlockDeviceMappings[0].Ebs.VolumeSize,TagSpecifications[0].Tags[0].Value][]][]",
			"1 False t3.small 9 x"},
		cliStep{"fleet", `ec2 create-fleet --type instant --launch-template-configs [{"LaunchTemplateSpecification":{"LaunchTemplateId":"{template}","Version":"$Default"},"Overrides":[{"InstanceType":"t9.none","Priority":1},{"InstanceType":"t3.micro","Priority":2}]}]` +
			" --on-demand-options AllocationStrategy=prioritized --target-capacity-specification TotalTargetCapacity=1,DefaultTargetCapacityType=on-demand" +
			" --query [FleetId,Instances[0].[InstanceType,Lifecycle,LaunchTemplateAndOverrides.LaunchTemplateSpecification.LaunchTemplateId],Errors[0].[LaunchTemplateAndOverrides.Overrides.InstanceType,ErrorCode]][]", "{fleet} t3.micro on-demand {template} t9.none InvalidParameterValue"},
		cliStep{"instance", "ec2 describe-fleets --fleet-ids {fleet} --query Fleets[].[Instances[0].InstanceIds[0],FleetId,FleetState,Type,ActivityStatus,FulfilledCapacity,TargetCapacitySpecification.OnDemandTargetCapacity,LaunchTemplateConfigs[0].Overrides[1].Priority]",
			"{instance} {fleet} active instant fulfilled 1.0 1 2.0"},
		cliStep{"", "ec2 delete-fleets --fleet-ids {fleet} --terminate-instances --query SuccessfulFleetDeletions[].[FleetId,CurrentFleetState,PreviousFleetState]", "{fleet} deleted_terminating active"},
		cliStep{"", "ec2 delete-launch-template-versions --launch-template-id {template} --versions 1 2 7 --query [SuccessfullyDeletedLaunchTemplateVersions[].VersionNumber,UnsuccessfullyDeletedLaunchTemplateVersions[].[VersionNumber,ResponseError.Code,starts_with(ResponseError.Message,'Co')]][]",
			"1 2 unexpectedError False 7 launchTemplateVersionDoesNotExist True"},
		cliStep{"", "ec2 delete-launch-template --launch-template-id {template} --query LaunchTemplate.[LaunchTemplateId,LaunchTemplateName]", "{template} own"},
	)
	untilState(t, c, story.known["instance"], types.InstanceStateNameTerminated)
}

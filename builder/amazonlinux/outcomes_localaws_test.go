//go:build linux

package amazonlinux_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// A failure ends in an error that names the phase, what was seen and what to
// do, and leaves nothing behind.
func TestFailures(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		more  block
		fault localaws.Fault
		world localaws.Options
		want  []string // in the error
	}{
		"denied launch": {
			fault: localaws.Fault{Action: "RunInstances", Deny: true, Times: -1},
			want:  []string{"plan: RunInstances: UnauthorizedOperation", "must allow ec2:RunInstances"},
		},
		"denied role": {
			fault: localaws.Fault{Action: "CreateRole", Deny: true, Times: -1},
			want:  []string{"launch: CreateRole: AccessDenied", "must allow iam:CreateRole"},
		},
		"denied image, told before provisioning": {
			fault: localaws.Fault{Action: "CreateImage", Deny: true, Times: -1},
			want:  []string{"launch: CreateImage: UnauthorizedOperation", "must allow ec2:CreateImage"},
		},
		"denied look at the agent": {
			fault: localaws.Fault{Action: "DescribeInstanceInformation", Deny: true, Times: -1},
			want:  []string{"connect: ", "must allow ssm:DescribeInstanceInformation"},
		},
		"denied command": {
			fault: localaws.Fault{Action: "SendCommand", Deny: true, Times: -1},
			want:  []string{"connect: ", "AccessDeniedException", "must allow ssm:SendCommand", "document/AWS-RunShellScript"},
		},
		"denied session": {
			fault: localaws.Fault{Action: "StartSession", Deny: true, Times: -1},
			want:  []string{"connect: ", "AccessDeniedException", "must allow ssm:StartSession", "document/AWS-StartPortForwardingSession"},
		},
		"no capacity": {
			fault: localaws.Fault{Action: "RunInstances", Nth: 2, Times: -1, Code: "InsufficientInstanceCapacity", Status: 400},
			want:  []string{"launch: RunInstances: InsufficientInstanceCapacity"},
		},
		"expired credentials": {
			fault: localaws.Fault{Action: "DescribeVpcs", Times: -1, Code: "RequestExpired"},
			want:  []string{"plan: DescribeVpcs: RequestExpired", "the credentials have expired"},
		},
		"unknown subnet": {
			more: block{"subnet_id": "subnet-0123456789abcdef0"},
			want: []string{"plan: subnet_id: subnet-0123456789abcdef0 does not exist in us-east-1"},
		},
		"unknown group": {
			more: block{"security_group_id": "sg-0123456789abcdef0"},
			want: []string{"plan: security_group_ids: ", "sg-0123456789abcdef0"},
		},
		"unknown VPC": {
			more: block{"vpc_id": "vpc-0123456789abcdef0"},
			want: []string{"plan: vpc_id: vpc-0123456789abcdef0 does not exist"},
		},
		"unknown profile": {
			more: block{"iam_instance_profile": "nobody"},
			want: []string{`plan: iam_instance_profile: "nobody" does not exist`},
		},
		"unknown type": {
			more: block{"instance_type": "t3.gigantic"},
			want: []string{`plan: instance_type: "t3.gigantic" does not exist in us-east-1`},
		},
		"unknown source": {
			more: block{"source_ami": "ami-0123456789abcdef0"},
			want: []string{"plan: source image: ami-0123456789abcdef0 (from source_ami) does not exist"},
		},
		"unknown parameter": {
			more: block{"source_ami_parameter": "/nothing/here"},
			want: []string{"plan: source image: SSM parameter /nothing/here does not exist"},
		},
		"two faults at once": {
			more: block{"subnet_id": "subnet-0123456789abcdef0", "iam_instance_profile": "nobody"},
			want: []string{"plan: ", "subnet-0123456789abcdef0", "nobody"},
		},
		"nothing matches": {
			more: block{"source_ami_filter": block{"filters": block{"name": "no-such-*"}, "owners": []string{"amazon"}}},
			want: []string{"plan: source_ami_filter: no image in us-east-1 matches"},
		},
		"deprecated ones forbidden": {
			more: block{"source_ami_filter": block{"filters": block{"name": "amzn2-ami-*"}, "owners": []string{"amazon"}, "include_deprecated": false}},
			want: []string{"plan: source_ami_filter: no image in us-east-1 matches", "deprecated ones do"},
		},
		"many match": {
			more: block{"source_ami_filter": block{"filters": block{"name": "amzn2-ami-*"}, "owners": []string{"amazon"}}},
			want: []string{"plan: source_ami_filter: ", "set most_recent = true"},
		},
		"minimal image": {
			more: block{"source_ami_filter": block{"filters": block{"name": "*-minimal-*", "architecture": "x86_64"}, "owners": []string{"amazon"}, "most_recent": true}},
			want: []string{"plan: source image", "lack the SSM agent"},
		},
		"source for another architecture": {
			more: block{"source_ami_filter": block{"filters": block{"name": "amzn2-ami-*-arm64-gp2"}, "owners": []string{"amazon"}, "most_recent": true}},
			want: []string{"plan: source image", "it is for arm64, and instance_type t3.small is x86_64"},
		},
		"small root volume": {
			more: block{"root_volume": block{"size": 1}},
			want: []string{"plan: root_volume.size: 1 GiB is less than"},
		},
		"agent never online": {
			more:  block{"ssm_timeout": "2s"},
			world: localaws.Options{Delays: &localaws.Delays{AgentOnline: time.Hour}},
			want:  []string{"connect: agent online: not within 2s", "has not registered with Systems Manager", "TCP port 443", "raise ssm_timeout"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.world.NoMachines = !strings.HasPrefix(test.want[0], "connect") // nothing gets as far as the inside of the instance
			w := newWorld(t, test.world)
			if test.fault.Action != "" {
				defer w.aws.Inject(test.fault)()
			}
			r := w.build(t.Context(), w.template(test.more), touch)
			if r.err == nil || r.artifact != nil {
				t.Fatalf("artifact %v, error %v", r.artifact, r.err)
			}
			for _, want := range test.want {
				if !strings.Contains(r.err.Error(), want) {
					t.Errorf("the error lacks %q:\n%v", want, r.err)
				}
			}
			w.nothingLeft(r)
		})
	}
}

func TestNameIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	first := w.build(t.Context(), w.template(nil), nil)
	if first.err != nil {
		t.Fatal(first.err)
	}
	before := len(w.actions())
	second := w.build(t.Context(), w.template(nil), nil)
	if second.err == nil {
		t.Fatal("two images of one name")
	}
	for _, want := range []string{`plan: ami_name: "web-1" is taken by ami-`, "set force_deregister = true", "deregister-image"} {
		if !strings.Contains(second.err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, second.err)
		}
	}
	for _, action := range w.actions()[before:] {
		if !strings.Contains(action, ":Describe") && !strings.Contains(action, ":Get") {
			t.Errorf("made something before the plan was whole: %s", action)
		}
	}
	w.nothingLeft(first)
}

// The filter of a template that was written when Amazon Linux 2 was young goes
// on working, now that its images are deprecated and hidden.
func TestDeprecatedSourceIsFoundAndTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	r := w.build(t.Context(), w.template(block{
		"communicator": "none",
		"source_ami_filter": block{
			"filters": block{"name": "amzn2-ami-hvm-*-x86_64-ebs", "root-device-type": "ebs", "virtualization-type": "hvm"},
			"owners":  []string{"amazon"}, "most_recent": true,
		},
	}), nil)
	if r.err != nil || !strings.Contains(r.ui.String(), "only deprecated images match") {
		t.Errorf("%v\n%s", r.err, r.ui)
	}
	w.nothingLeft(r)
}

// What the plan decided is what the instance and the image are.
func TestOptionsReachTheWorld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	var seen types.Instance
	r := w.build(t.Context(), w.template(block{
		"release": "2023", "instance_type": "t4g.small", "ami_description": "from {{ .SourceAMIName }}",
		"root_volume":                 block{"size": 20, "type": "gp3", "iops": 4000, "throughput": 200, "encrypted": true},
		"tags":                        block{"Base": "{{ .SourceAMI }}"},
		"snapshot_tags":               block{"Kind": "snapshot"},
		"run_tags":                    block{"Team": "tests", "Name": "builder"},
		"run_volume_tags":             block{"Disk": "root"},
		"associate_public_ip_address": true,
		"metadata_options":            block{"http_put_response_hop_limit": 2},
	}), func(ctx context.Context, _ packersdk.Communicator, data map[string]any) error {
		id, _ := data["ID"].(string)
		found, err := w.ec2().DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
		if err == nil {
			seen = found.Reservations[0].Instances[0]
		}
		return err
	})
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, r.ui)
	}
	if seen.Architecture != types.ArchitectureValuesArm64 || seen.InstanceType != "t4g.small" {
		t.Errorf("instance is %s %s", seen.InstanceType, seen.Architecture)
	}
	if o := seen.MetadataOptions; o == nil || o.HttpTokens != types.HttpTokensStateRequired || aws.ToInt32(o.HttpPutResponseHopLimit) != 2 {
		t.Errorf("metadata options %+v", o)
	}
	if seen.KeyName != nil {
		t.Errorf("key pair %s", *seen.KeyName)
	}
	for key, want := range map[string]string{"Team": "tests", "Name": "builder"} {
		if got := tag(seen.Tags, key); got != want {
			t.Errorf("instance tag %s = %q", key, got)
		}
	}
	if tag(seen.Tags, "packer-plugin-ssm:build") == "" || tag(seen.Tags, "packer-plugin-ssm:expires") == "" {
		t.Errorf("instance tags lack build and expiry: %v", seen.Tags)
	}
	w.checkImage(r)
	w.nothingLeft(r)
}

func (w *world) checkImage(r result) {
	w.Helper()
	id := strings.TrimPrefix(r.artifact.Id(), region+":")
	found, err := w.ec2().DescribeImages(w.Context(), &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if err != nil {
		w.Fatal(err)
	}
	image := found.Images[0]
	if !strings.HasPrefix(aws.ToString(image.Description), "from al2023-ami-2023") {
		w.Errorf("description %q", aws.ToString(image.Description))
	}
	if base := tag(image.Tags, "Base"); !strings.HasPrefix(base, "ami-") {
		w.Errorf("tag Base = %q", base)
	}
	disk := image.BlockDeviceMappings[0].Ebs
	if aws.ToInt32(disk.VolumeSize) != 20 || disk.VolumeType != types.VolumeTypeGp3 || !aws.ToBool(disk.Encrypted) {
		w.Errorf("root volume %+v", disk)
	}
	snapshots, err := w.ec2().DescribeSnapshots(w.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{aws.ToString(disk.SnapshotId)}})
	if err != nil {
		w.Fatal(err)
	}
	if tags := snapshots.Snapshots[0].Tags; tag(tags, "Kind") != "snapshot" || tag(tags, "Base") == "" {
		w.Errorf("snapshot tags %v", tags)
	}
}

func tag(tags []types.Tag, key string) string {
	for _, t := range tags {
		if aws.ToString(t.Key) == key {
			return aws.ToString(t.Value)
		}
	}
	return ""
}

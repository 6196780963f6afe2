//go:build linux

package amazonlinux_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// What each option changes in the world, where no other test is about it.

// during runs a build that connects to nothing, and look while its instance runs.
func (w *world) during(more block, look func(id string)) result {
	w.Helper()
	r := w.build(w.Context(), w.unconnected(more), func(_ context.Context, _ packersdk.Communicator, data map[string]any) error {
		id, _ := data["ID"].(string)
		look(id)
		return nil
	})
	if r.err != nil {
		w.Fatalf("%v\n%s", r.err, r.ui)
	}
	return r
}

// source is the name of the image that an instance was launched from.
func (w *world) source(i types.Instance) string {
	w.Helper()
	return aws.ToString(w.imageIn(region, aws.ToString(i.ImageId)).Name)
}

// amazons are the names of Amazon's images that match, the oldest first.
func (w *world) amazons(name string) []types.Image {
	w.Helper()
	found, err := w.ec2().DescribeImages(w.Context(), &ec2.DescribeImagesInput{
		Owners: []string{"amazon"}, IncludeDeprecated: aws.Bool(true), Filters: []types.Filter{{Name: aws.String("name"), Values: []string{name}}},
	})
	if err != nil || len(found.Images) == 0 {
		w.Fatalf("no image %s: %v", name, err)
	}
	slices.SortFunc(found.Images, func(a, b types.Image) int {
		return strings.Compare(aws.ToString(a.CreationDate), aws.ToString(b.CreationDate))
	})
	return found.Images
}

func TestSources(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	all := w.amazons("al2023-ami-2023.*-x86_64")
	newest, _, _ := strings.Cut(aws.ToString(all[len(all)-1].Name), "-kernel-") // those of two kernels are of one day
	_, err := w.ssm().PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String("/mine"), Value: all[0].ImageId, Type: ssmtypes.ParameterTypeString})
	if err != nil {
		t.Fatal(err)
	}
	any2023 := block{"name": "al2023-ami-2023.*-x86_64", "root-device-type": "ebs"}
	for name, test := range map[string]struct {
		more block
		want string // the image's name, or its beginning
		has  string
	}{
		"default":              {nil, "amzn2-ami-kernel-5.10-hvm-", "x86_64"},
		"release":              {block{"release": "2023"}, "al2023-ami-2023.", "x86_64"},
		"kernel":               {block{"release": "2023", "kernel": "6.12"}, "al2023-ami-2023.", "kernel-6.12"},
		"kernel of 2":          {block{"kernel": "4.14"}, "amzn2-ami-hvm-", "x86_64"},
		"architecture":         {block{"instance_type": "", "architecture": "arm64"}, "amzn2-ami-kernel-5.10-hvm-", "arm64"},
		"type":                 {block{"instance_type": "m7g.large"}, "amzn2-ami-kernel-5.10-hvm-", "arm64"},
		"source_ami":           {block{"source_ami": aws.ToString(all[0].ImageId)}, aws.ToString(all[0].Name), ""},
		"source_ami_parameter": {block{"source_ami_parameter": "/mine"}, aws.ToString(all[0].Name), ""},
		"most_recent":          {block{"source_ami_filter": block{"filters": any2023, "owners": []string{"amazon"}, "most_recent": true}}, newest, ""},
		"filter blocks": {block{"source_ami_filter": block{
			"filter": []block{{"key": "name", "value": aws.ToString(all[0].Name)}}, "owners": []string{"137112412989"},
		}}, aws.ToString(all[0].Name), ""},
		"deprecated": {block{"source_ami_filter": block{
			"filters": block{"name": "amzn2-ami-kernel-5.10-hvm-*-x86_64-gp2"}, "owners": []string{"amazon"}, "most_recent": true, "include_deprecated": true,
		}}, "amzn2-ami-kernel-5.10-hvm-", "x86_64"},
	} {
		i, r := w.launched(test.more)
		if r.err != nil {
			t.Errorf("%s: %v", name, r.err)
			continue
		}
		if got := w.source(i); !strings.HasPrefix(got, test.want) || !strings.Contains(got, test.has) {
			t.Errorf("%s: launched from %s, want %s...%s", name, got, test.want, test.has)
		}
	}
	look := block{"source_ami_filter": block{"filters": any2023, "owners": []string{"self"}, "most_recent": true}}
	if _, r := w.launched(look); r.err == nil || !strings.Contains(r.err.Error(), "no image in us-east-1 matches") {
		t.Errorf("owners: images of others are taken: %v", r.err)
	}
}

func TestPublicAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	for name, test := range map[string]struct {
		more block
		want bool
	}{
		"as the subnet says": {nil, true},
		"false":              {block{"associate_public_ip_address": false}, false},
		"true":               {block{"associate_public_ip_address": true}, true},
	} {
		if got := w.must(test.more).PublicIpAddress != nil; got != test.want {
			t.Errorf("%s: a public address: %v, want %v", name, got, test.want)
		}
	}
}

func TestSecurityGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	var ids []string
	for _, name := range []string{"one", "two"} {
		g, err := w.ec2().CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{GroupName: aws.String(name), Description: aws.String("d")})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, aws.ToString(g.GroupId))
	}
	for name, test := range map[string]struct {
		more block
		want []string
	}{
		"security_group_id":  {block{"security_group_id": ids[0]}, ids[:1]},
		"security_group_ids": {block{"security_group_ids": ids}, ids},
	} {
		i, r := w.launched(test.more)
		var got []string
		for _, g := range i.SecurityGroups {
			got = append(got, aws.ToString(g.GroupId))
		}
		slices.Sort(got)
		if want := slices.Sorted(slices.Values(test.want)); r.err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: groups %v, want %v; %v", name, got, want, r.err)
		}
	}
}

// Tags by blocks are those of the maps, on the resource that each is for.
func TestTagBlocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	var instance types.Instance
	var volume types.Volume
	r := w.during(block{
		"tag": []block{{"key": "Of", "value": "{{ .SourceAMIName }}"}}, "snapshot_tag": []block{{"key": "Kind", "value": "snapshot"}},
		"run_tag": []block{{"key": "Team", "value": "tests"}}, "run_tags": block{"Cost": "low"},
		"run_volume_tag":  []block{{"name": "Disk", "value": "{{ .BuildRegion }}"}, {"key": "Class", "value": "fast"}},
		"run_volume_tags": block{"Level": "1"},
	}, func(id string) { instance, volume = w.instance(id), w.volumesOf(id)["/dev/xvda"] })
	image := w.imageIn(region, r.regional(t)[region])
	snapshot := w.snapshot(localaws.DefaultAccount, region, image)
	for name, got := range map[string]string{
		"image, tag": tag(image.Tags, "Of"), "snapshot, tag": tag(snapshot.Tags, "Of"),
	} {
		if !strings.HasPrefix(got, "amzn2-ami-") {
			t.Errorf("%s: %q", name, got)
		}
	}
	for name, check := range map[string][2]string{
		"snapshot_tag":             {tag(snapshot.Tags, "Kind"), "snapshot"},
		"snapshot_tag on image":    {tag(image.Tags, "Kind"), ""},
		"run_tag":                  {tag(instance.Tags, "Team"), "tests"},
		"run_tags":                 {tag(instance.Tags, "Cost"), "low"},
		"run_tag on image":         {tag(image.Tags, "Team"), ""},
		"run_volume_tag":           {tag(volume.Tags, "Disk"), region},
		"run_volume_tag by key":    {tag(volume.Tags, "Class"), "fast"},
		"run_volume_tags":          {tag(volume.Tags, "Level"), "1"},
		"run_volume_tag on others": {tag(instance.Tags, "Disk") + tag(snapshot.Tags, "Disk"), ""},
	} {
		if check[0] != check[1] {
			t.Errorf("%s: %q, want %q", name, check[0], check[1])
		}
	}
}

func (w *world) instance(id string) types.Instance {
	w.Helper()
	found, err := w.ec2().DescribeInstances(w.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		w.Fatal(err)
	}
	return found.Reservations[0].Instances[0]
}

// volumesOf are an instance's volumes by device.
func (w *world) volumesOf(id string) map[string]types.Volume {
	w.Helper()
	found, err := w.ec2().DescribeVolumes(w.Context(), &ec2.DescribeVolumesInput{Filters: []types.Filter{{Name: aws.String("attachment.instance-id"), Values: []string{id}}}})
	if err != nil {
		w.Fatal(err)
	}
	all := map[string]types.Volume{}
	for _, v := range found.Volumes {
		all[aws.ToString(v.Attachments[0].Device)] = v
	}
	return all
}

// snapshot is that of an image's root device.
func (w *world) snapshot(account, region string, image types.Image) types.Snapshot {
	w.Helper()
	id := aws.ToString(image.BlockDeviceMappings[0].Ebs.SnapshotId)
	found, err := w.ec2In(account, region).DescribeSnapshots(w.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}})
	if err != nil {
		w.Fatal(err)
	}
	return found.Snapshots[0]
}

func TestSpotTagBlocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	w.during(block{
		"spot_price": "auto", "skip_create_ami": true,
		"spot_tag": []block{{"key": "Cost", "value": "low"}}, "fleet_tag": []block{{"key": "Owner", "value": "{{ .BuildRegion }}"}},
	}, func(id string) {
		asked, err := w.ec2().DescribeSpotInstanceRequests(t.Context(), &ec2.DescribeSpotInstanceRequestsInput{})
		if err != nil || len(asked.SpotInstanceRequests) != 1 || tag(asked.SpotInstanceRequests[0].Tags, "Cost") != "low" {
			t.Errorf("spot requests %+v, %v", asked, err)
		}
		fleets, err := w.ec2().DescribeFleets(t.Context(), &ec2.DescribeFleetsInput{FleetIds: []string{tag(w.instance(id).Tags, "aws:ec2:fleet-id")}})
		if err != nil || len(fleets.Fleets) != 1 || tag(fleets.Fleets[0].Tags, "Owner") != region {
			t.Errorf("fleets %+v, %v", fleets, err)
		}
	})
}

// Which of the types AWS takes is for the strategy to say: the first of the list, or the cheapest.
func TestSpotAllocationStrategy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	for strategy, want := range map[string]types.InstanceType{"capacity-optimized-prioritized": "m5.large", "lowest-price": "t3.small"} {
		i, r := w.launched(block{"instance_type": "", "spot_instance_types": []string{"m5.large", "t3.small"}, "spot_allocation_strategy": strategy})
		if r.err != nil || i.InstanceType != want {
			t.Errorf("%s: launched %s, want %s; %v", strategy, i.InstanceType, want, r.err)
		}
	}
}

// Every field of a block device is what the volume, or the image's device, has.
func TestBlockDeviceFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	key := w.key(region)
	made, err := w.ec2().CreateVolume(t.Context(), &ec2.CreateVolumeInput{AvailabilityZone: aws.String("us-east-1a"), Size: aws.Int32(3)})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := w.ec2().CreateSnapshot(t.Context(), &ec2.CreateSnapshotInput{VolumeId: made.VolumeId})
	if err != nil {
		t.Fatal(err)
	}
	var volumes map[string]types.Volume
	r := w.during(block{
		"instance_type": "m5d.large",
		"root_volume":   block{"size": 20, "type": "gp3", "iops": 4000, "throughput": 500, "encrypted": true, "kms_key_id": key},
		"launch_block_device_mappings": []block{
			{"device_name": "/dev/sdf", "volume_size": 100, "volume_type": "gp3", "iops": 5000, "throughput": 300, "encrypted": true, "kms_key_id": key, "delete_on_termination": false},
			{"device_name": "/dev/sdg", "snapshot_id": aws.ToString(kept.SnapshotId)},
			{"device_name": "/dev/sdh", "virtual_name": "ephemeral0"},
			{"device_name": "/dev/sdi", "volume_size": 1},
		},
		"ami_block_device_mappings": []block{
			{"device_name": "/dev/sdi", "no_device": true},
			{"device_name": "/dev/sdj", "volume_size": 50, "volume_type": "gp3", "iops": 3500, "throughput": 200, "encrypted": true, "delete_on_termination": false},
			{"device_name": "/dev/sdk", "snapshot_id": aws.ToString(kept.SnapshotId), "volume_type": "io2", "iops": 1000, "volume_size": 8},
			{"device_name": "/dev/sdl", "virtual_name": "ephemeral1"},
		},
	}, func(id string) { volumes = w.volumesOf(id) })
	if root := volumes["/dev/xvda"]; aws.ToInt32(root.Size) != 20 || root.VolumeType != types.VolumeTypeGp3 || aws.ToInt32(root.Iops) != 4000 || aws.ToInt32(root.Throughput) != 500 || aws.ToString(root.KmsKeyId) != key {
		t.Errorf("root volume %+v", root)
	}
	if f := volumes["/dev/sdf"]; aws.ToInt32(f.Size) != 100 || aws.ToInt32(f.Iops) != 5000 || aws.ToInt32(f.Throughput) != 300 || !aws.ToBool(f.Encrypted) || aws.ToString(f.KmsKeyId) != key {
		t.Errorf("/dev/sdf %+v", f)
	}
	if g := volumes["/dev/sdg"]; aws.ToString(g.SnapshotId) != aws.ToString(kept.SnapshotId) || aws.ToInt32(g.Size) != 3 {
		t.Errorf("/dev/sdg %+v", g)
	}
	w.checkDevices(w.imageIn(region, r.regional(t)[region]), aws.ToString(kept.SnapshotId))
}

func (w *world) checkDevices(image types.Image, snapshot string) {
	w.Helper()
	devices := map[string]types.BlockDeviceMapping{}
	for _, d := range image.BlockDeviceMappings {
		devices[aws.ToString(d.DeviceName)] = d
	}
	ebs := func(name string) types.EbsBlockDevice {
		if d := devices[name].Ebs; d != nil {
			return *d
		}
		w.Errorf("the image has no volume %s", name)
		return types.EbsBlockDevice{}
	}
	if f := ebs("/dev/sdf"); aws.ToBool(f.DeleteOnTermination) || !aws.ToBool(f.Encrypted) {
		w.Errorf("/dev/sdf %+v", f)
	}
	if j := ebs("/dev/sdj"); aws.ToInt32(j.VolumeSize) != 50 || aws.ToInt32(j.Iops) != 3500 || aws.ToInt32(j.Throughput) != 200 || !aws.ToBool(j.Encrypted) || aws.ToBool(j.DeleteOnTermination) {
		w.Errorf("/dev/sdj %+v", j)
	}
	if k := ebs("/dev/sdk"); aws.ToString(k.SnapshotId) != snapshot || k.VolumeType != types.VolumeTypeIo2 || aws.ToInt32(k.VolumeSize) != 8 || !aws.ToBool(k.DeleteOnTermination) {
		w.Errorf("/dev/sdk %+v", k)
	}
	if got := aws.ToString(devices["/dev/sdl"].VirtualName); got != "ephemeral1" {
		w.Errorf("/dev/sdl is %q", got)
	}
	if _, there := devices["/dev/sdi"]; there {
		w.Error("no_device: /dev/sdi is in the image")
	}
}

// A device that the source has is left out of the launch, and so of the image.
func TestNoDeviceAtLaunch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	first := w.build(t.Context(), w.unconnected(block{"launch_block_device_mappings": []block{{"device_name": "/dev/sdf", "volume_size": 5}}}), nil)
	from := first.regional(t)[region]
	var volumes map[string]types.Volume
	r := w.during(block{
		"ami_name": "web-2", "source_ami": from,
		"launch_block_device_mappings": []block{{"device_name": "/dev/sdf", "no_device": true}},
	}, func(id string) { volumes = w.volumesOf(id) })
	if image := w.imageIn(region, r.regional(t)[region]); len(volumes) != 1 || len(image.BlockDeviceMappings) != 1 {
		t.Errorf("volumes %v, devices of the image %+v", volumes, image.BlockDeviceMappings)
	}
}

// What the guest does when it shuts itself down is EC2's to know.
func TestShutdownBehavior(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	for given, want := range map[string]string{"": "terminate", "stop": "stop"} {
		w.during(block{"shutdown_behavior": given, "skip_create_ami": true}, func(id string) {
			got, err := w.ec2().DescribeInstanceAttribute(t.Context(), &ec2.DescribeInstanceAttributeInput{InstanceId: aws.String(id), Attribute: types.InstanceAttributeNameInstanceInitiatedShutdownBehavior})
			if err != nil || got.InstanceInitiatedShutdownBehavior == nil || aws.ToString(got.InstanceInitiatedShutdownBehavior.Value) != want {
				t.Errorf("shutdown_behavior = %q: %+v, %v", given, got, err)
			}
		})
	}
}

// The last provisioner shuts the machine down, and the image is made of what it left; nothing else stops it.
func TestDisableStopInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	r := w.build(t.Context(), w.template(block{"disable_stop_instance": true, "shutdown_behavior": "stop"}), func(ctx context.Context, comm packersdk.Communicator, data map[string]any) error {
		id, _ := data["ID"].(string)
		if err := comm.Start(ctx, &packersdk.RemoteCmd{Command: "sudo touch /etc/built && sudo shutdown -h now"}); err != nil {
			return err
		}
		for w.instance(id).State.Name != types.InstanceStateNameStopped {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(20 * time.Millisecond):
			}
		}
		return nil
	})
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, r.ui)
	}
	if slices.Contains(w.actions(), "ec2:StopInstances") {
		t.Error("the build stopped the instance")
	}
	w.nothingLeft(r)
}

// An image's user data is the instance's byte by byte, in whichever form it was given.
func TestUserDataForms(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	const script = "#!/bin/sh\ntouch /etc/from-user-data\n"
	packed := new(bytes.Buffer)
	z := gzip.NewWriter(packed)
	if _, err := z.Write([]byte(script)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "user-data.gz")
	if err := os.WriteFile(file, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		more block
		want string
	}{
		"text":         {block{"user_data": script}, script},
		"base64":       {block{"user_data": base64.StdEncoding.EncodeToString([]byte(script))}, script},
		"MIME":         {block{"user_data": mimeUserData}, mimeUserData},
		"file, gzip":   {block{"user_data_file": file}, packed.String()},
		"none":         {nil, ""},
		"cloud-config": {block{"user_data": "#cloud-config\nfqdn: web\n"}, "#cloud-config\nfqdn: web\n"},
	} {
		more := block{"skip_create_ami": true}
		for k, v := range test.more {
			more[k] = v
		}
		w.during(more, func(id string) {
			got, err := w.ec2().DescribeInstanceAttribute(t.Context(), &ec2.DescribeInstanceAttributeInput{InstanceId: aws.String(id), Attribute: types.InstanceAttributeNameUserData})
			if err != nil || got.UserData == nil {
				t.Fatalf("%s: %+v, %v", name, got, err)
			}
			if data, err := base64.StdEncoding.DecodeString(aws.ToString(got.UserData.Value)); err != nil || string(data) != test.want {
				t.Errorf("%s: the instance has %q, want %q; %v", name, data, test.want, err)
			}
		})
	}
}

const mimeUserData = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"==b==\"\n\n" +
	"--==b==\nContent-Type: text/cloud-config; charset=\"us-ascii\"\n\n#cloud-config\nfqdn: web\n\n" +
	"--==b==\nContent-Type: text/x-shellscript; charset=\"us-ascii\"\n\n#!/bin/sh\ntouch /etc/from-user-data\n\n--==b==--\n"

// User data is at work on the build instance: what it leaves is there for the provisioners.
func TestUserDataRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	r := w.build(t.Context(), w.template(block{"user_data": mimeUserData, "skip_create_ami": true}), func(ctx context.Context, comm packersdk.Communicator, _ map[string]any) error {
		_, err := sh(ctx, comm, "sudo cloud-init status --wait >/dev/null 2>&1 || true; test -e /etc/from-user-data")
		return err
	})
	if r.err != nil {
		t.Errorf("%v\n%s", r.err, r.ui)
	}
}

// A minimal image is launched where its user data speaks of the agent, or the template says that it comes some other way.
func TestMinimalImage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	filter := block{"filters": block{"name": "al2023-ami-minimal-*-x86_64"}, "owners": []string{"amazon"}, "most_recent": true}
	launch := func(more block) (string, error) {
		raw := w.template(block{"source_ami_filter": filter, "skip_create_ami": true, "ssm_timeout": "1s"})
		for k, v := range more {
			raw[k] = v
		}
		before := len(w.actions())
		r := w.build(t.Context(), raw, nil)
		if slices.Contains(w.actions()[before:], "ec2:RunInstances") {
			return "launched", r.err
		}
		return "", r.err
	}
	for name, test := range map[string]struct {
		more block
		want string
	}{
		"nothing":          {nil, ""},
		"other user data":  {block{"user_data": "#!/bin/sh\ndnf install -y nginx\n"}, ""},
		"installs":         {block{"user_data": "#!/bin/sh\ndnf install -y amazon-ssm-agent\n"}, "launched"},
		"installs, base64": {block{"user_data": base64.StdEncoding.EncodeToString([]byte("#!/bin/sh\ndnf install -y amazon-ssm-agent\n"))}, "launched"},
		"skip_agent_check": {block{"skip_agent_check": true}, "launched"},
		"unconnected":      {block{"communicator": "none"}, "launched"},
	} {
		got, err := launch(test.more)
		if got != test.want || test.want == "" && (err == nil || !strings.Contains(err.Error(), "lack the SSM agent")) {
			t.Errorf("%s: %q, want %q; %v", name, got, test.want, err)
		}
	}
}

// What the template allows the temporary role is its policy, in IAM's form, conditions included.
func TestTemporaryRolePolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	var got []map[string]any
	w.during(block{"skip_create_ami": true, "temporary_iam_instance_profile_policy_document": block{
		"Version": "2012-10-17",
		"Statement": []block{{
			"Effect": "Deny", "Action": []string{"s3:*"}, "Resource": []string{"arn:aws:s3:::web/*"},
			"Condition": []block{
				{"Test": "StringEquals", "Variable": "aws:PrincipalTag/Team", "Values": []string{"web", "ops"}},
				{"Test": "StringEquals", "Variable": "aws:SourceVpc", "Values": []string{"vpc-1"}},
				{"Test": "Bool", "Variable": "aws:SecureTransport", "Values": []string{"false"}},
			},
		}},
	}}, func(id string) {
		role := aws.String(roleOf(aws.ToString(w.instance(id).IamInstanceProfile.Arn)))
		names, err := w.iam().ListRolePolicies(t.Context(), &iam.ListRolePoliciesInput{RoleName: role})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names.PolicyNames {
			policy, err := w.iam().GetRolePolicy(t.Context(), &iam.GetRolePolicyInput{RoleName: role, PolicyName: aws.String(name)})
			if err != nil {
				t.Fatal(err)
			}
			text, err := url.QueryUnescape(aws.ToString(policy.PolicyDocument))
			if err != nil {
				t.Fatal(err)
			}
			var doc map[string]any
			if err := json.Unmarshal([]byte(text), &doc); err != nil {
				t.Fatal(err)
			}
			got = append(got, doc)
		}
	})
	want := `{"Statement":[{"Action":["s3:*"],"Condition":{"Bool":{"aws:SecureTransport":["false"]},` +
		`"StringEquals":{"aws:PrincipalTag/Team":["web","ops"],"aws:SourceVpc":["vpc-1"]}},"Effect":"Deny","Resource":["arn:aws:s3:::web/*"]}],"Version":"2012-10-17"}`
	if !slices.ContainsFunc(got, func(doc map[string]any) bool {
		text, err := json.Marshal(doc)
		return err == nil && string(text) == want
	}) {
		t.Errorf("policies of the role: %v\nwant one that is %s", got, want)
	}
	if len(got) != 2 {
		t.Errorf("%d policies, want the agent's and the template's", len(got))
	}
}

// The metadata service answers, whether or not the template says so: without it the agent has no identity.
func TestMetadataEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	for _, more := range []block{nil, {"metadata_options": block{"http_endpoint": "enabled"}}} {
		if o := w.must(more).MetadataOptions; o == nil || o.HttpEndpoint != types.InstanceMetadataEndpointStateEnabled {
			t.Errorf("%v: %+v", more, o)
		}
	}
}

// A time-based copy is one to AWS, and a region that nobody may look at is taken on trust.
func TestCopyOptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	defer w.aws.Inject(localaws.Fault{Action: "DescribeRegions", Deny: true, Times: -1})()
	more := block{"ami_regions": []string{west}, "snapshot_copy_duration_minutes": 45}
	if r := w.build(t.Context(), w.unconnected(more), nil); r.err == nil || !strings.Contains(r.err.Error(), "or set skip_region_validation = true") {
		t.Errorf("without skip_region_validation: %v", r.err)
	}
	more["skip_region_validation"] = true
	r := w.build(t.Context(), w.unconnected(more), nil)
	s := w.snapshot(localaws.DefaultAccount, west, w.imageIn(west, r.regional(t)[west]))
	if aws.ToInt32(s.CompletionDurationMinutes) != 45 || s.TransferType != types.TransferTypeTimeBased {
		t.Errorf("snapshot %+v", s)
	}
}

// deprecate_at is the very minute, deregistration protection with its cooldown outlives the switch.
func TestLastingProtection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	r := w.build(t.Context(), w.unconnected(block{
		"deprecate_at": "2031-01-31T04:05:00Z", "deregistration_protection": block{"enabled": true, "with_cooldown": true},
	}), nil)
	id := r.regional(t)[region]
	if at := aws.ToString(w.imageIn(region, id).DeprecationTime); !strings.HasPrefix(at, "2031-01-31T04:05:00") {
		t.Errorf("deprecated at %s", at)
	}
	if _, err := w.ec2().DisableImageDeregistrationProtection(t.Context(), &ec2.DisableImageDeregistrationProtectionInput{ImageId: aws.String(id)}); err != nil {
		t.Fatal(err)
	}
	if err := r.artifact.Destroy(); err == nil || !strings.Contains(err.Error(), "protected") {
		t.Errorf("deregistered within the cooldown: %v", err)
	}
}

// The number of sessions that a large file goes over is the template's.
func TestTransferSessions(t *testing.T) {
	t.Parallel()
	for given, want := range map[int]int{1: 1, 3: 4} { // that of the commands is one of them
		w := newWorld(t, localaws.Options{})
		r := w.build(t.Context(), w.template(block{"ssm_transfer_sessions": given, "skip_create_ami": true}), func(_ context.Context, comm packersdk.Communicator, _ map[string]any) error {
			noise := make([]byte, 4<<20)
			for i := range noise { // nothing that would shrink much
				noise[i] = byte(i*i>>3 ^ i>>11 ^ i*31)
			}
			return comm.Upload("/tmp/noise", bytes.NewReader(noise), nil)
		})
		started := slices.DeleteFunc(w.actions(), func(a string) bool { return a != "ssm:StartSession" })
		if r.err != nil || len(started) != want {
			t.Errorf("ssm_transfer_sessions = %d: %d sessions, want %d; %v", given, len(started), want, r.err)
		}
	}
}

//go:build linux

package amazonlinux_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

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
		"root_volume": block{"size": 20, "type": "gp3", "iops": 4000, "throughput": 500, "encrypted": true, "kms_key_id": key},
		"launch_block_device_mappings": []block{
			{"device_name": "/dev/sdf", "volume_size": 100, "volume_type": "gp3", "iops": 5000, "throughput": 300, "encrypted": true, "kms_key_id": key, "delete_on_termination": false},
			{"device_name": "/dev/sdg", "snapshot_id": aws.ToString(kept.SnapshotId)},
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
	if k := ebs("/dev/sdk"); aws.ToString(k.SnapshotId) != snapshot || k.VolumeType != types.VolumeTypeIo2 || aws.ToInt32(k.Iops) != 1000 || aws.ToInt32(k.VolumeSize) != 8 || !aws.ToBool(k.DeleteOnTermination) {
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

// An instance store volume is where the template maps it, as the instance's metadata tells.
func TestInstanceStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	const look = `token=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token) &&
		curl -sf -H "X-aws-ec2-metadata-token: $token" http://169.254.169.254/latest/meta-data/block-device-mapping/ephemeral0`
	r := w.inside(block{
		"instance_type": "m3.large", "launch_block_device_mappings": []block{{"device_name": "/dev/sdh", "virtual_name": "ephemeral0"}},
	}, prints(look, "sdh"))
	if r.err != nil {
		t.Errorf("%v\n%s", r.err, r.ui)
	}
}

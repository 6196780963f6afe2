//go:build linux

package amazonlinux_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

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

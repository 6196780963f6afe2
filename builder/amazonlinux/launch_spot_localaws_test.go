//go:build linux

package amazonlinux_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// What AWS has no capacity for is told, and the next place is tried.
func TestCapacityMovesOn(t *testing.T) {
	t.Parallel()
	types2 := block{"instance_type": "", "instance_types": []string{"t3.small", "t3.medium"}}
	spot := block{"instance_type": "", "spot_instance_types": []string{"t3.small", "t3a.small"}}
	for name, test := range map[string]struct {
		more  block
		out   []localaws.Shortage
		kind  string // of the instance
		zones string
		spot  bool
		said  []string
	}{
		"next zone": {
			out:  []localaws.Shortage{{Zone: "us-east-1a"}, {Zone: "us-east-1b"}},
			more: block{"subnet_filter": block{"filters": block{"availability-zone": "us-east-1a,us-east-1b,us-east-1c"}}},
			kind: "t3.small", zones: "c",
		},
		"any zone of the default VPC": {
			out:  []localaws.Shortage{{Zone: "us-east-1a"}, {Zone: "us-east-1b"}, {Zone: "us-east-1c"}, {Zone: "us-east-1d"}},
			kind: "t3.small", zones: "f",
		},
		"next type": {
			more: types2, out: []localaws.Shortage{{Type: "t3.small"}},
			kind: "t3.medium", zones: "abcdf", said: []string{"t3.small in subnet-", "InsufficientInstanceCapacity"},
		},
		"unsupported type": {
			more: types2, out: []localaws.Shortage{{Type: "t3.small", Code: "Unsupported"}},
			kind: "t3.medium", zones: "abcdf", said: []string{"Unsupported: Your requested instance type (t3.small) is not supported"},
		},
		"spot": {more: spot, kind: "t3.small", zones: "abcdf", spot: true},
		"spot, the other type": {
			more: spot, out: []localaws.Shortage{{Type: "t3.small", Lifecycle: "spot"}},
			kind: "t3a.small", zones: "abcdf", spot: true,
		},
		"spot, then on-demand": {
			more: spot, out: []localaws.Shortage{{Lifecycle: "spot"}},
			kind: "t3.small", zones: "abcdf", said: []string{"a spot instance: InsufficientInstanceCapacity"},
		},
		"spot quota": {
			more: block{"spot_price": "auto"}, out: []localaws.Shortage{{Lifecycle: "spot", Code: "MaxSpotInstanceCountExceeded"}},
			kind: "t3.small", zones: "abcdf", said: []string{"a spot instance: MaxSpotInstanceCountExceeded"},
		},
		"too low a price": {
			more: block{"spot_price": "0.000001"},
			kind: "t3.small", zones: "abcdf", said: []string{"a spot instance: SpotMaxPriceTooLow"},
		},
		"spot, then another list": {
			more: block{"instance_type": "", "spot_instance_types": []string{"t3.small"}, "instance_types": []string{"m5.large"}},
			out:  []localaws.Shortage{{Lifecycle: "spot"}},
			kind: "m5.large", zones: "abcdf",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, localaws.Options{NoMachines: true})
			for _, s := range test.out {
				w.aws.RunOut(s)
			}
			i, r := w.launched(test.more)
			if r.err != nil {
				t.Fatalf("%v\n%s", r.err, r.ui)
			}
			w.nothingLeft(r)
			if string(i.InstanceType) != test.kind || (i.InstanceLifecycle == types.InstanceLifecycleTypeSpot) != test.spot {
				t.Errorf("launched %s %s", i.InstanceLifecycle, i.InstanceType)
			}
			if zone := aws.ToString(i.Placement.AvailabilityZone); !strings.Contains(test.zones, strings.TrimPrefix(zone, "us-east-1")) {
				t.Errorf("launched in %s, want one of %q", zone, test.zones)
			}
			for _, want := range test.said {
				if !strings.Contains(r.ui.String(), want) {
					t.Errorf("not told: %q\n%s", want, r.ui)
				}
			}
		})
	}
}

func TestCapacityEnds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		more block
		out  localaws.Shortage
		want []string
	}{
		"nothing anywhere": {nil, localaws.Shortage{}, []string{"launch: RunInstances: InsufficientInstanceCapacity", "AWS has none of: t3.small in subnet-", "give more instance_types"}},
		"spot only":        {block{"spot_price": "auto", "spot_only": true}, localaws.Shortage{Lifecycle: "spot"}, []string{"launch: CreateFleet: InsufficientInstanceCapacity", "AWS has none of: a spot instance"}},
		"one subnet":       {block{"subnet_id": ""}, localaws.Shortage{Type: "t3.*"}, []string{"InsufficientInstanceCapacity"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, localaws.Options{NoMachines: true})
			w.aws.RunOut(test.out)
			_, r := w.launched(test.more)
			if r.err == nil {
				t.Fatal("launched")
			}
			for _, want := range test.want {
				if !strings.Contains(r.err.Error(), want) {
					t.Errorf("the error lacks %q: %v", want, r.err)
				}
			}
			w.nothingLeft(r)
			asked := 0
			for _, c := range w.aws.Calls() {
				if c.Action == "RunInstances" && !c.DryRun {
					asked++
				}
			}
			if asked > 6 {
				t.Errorf("asked %d times for what there is none of", asked)
			}
		})
	}
}

// A spot build makes an image as any other, with the options of the instance and its tags.
func TestSpotBuild(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	var seen types.Instance
	var requests []types.SpotInstanceRequest
	var fleets *ec2.DescribeFleetsOutput
	var templates *ec2.DescribeLaunchTemplatesOutput
	r := w.build(t.Context(), w.template(block{
		"instance_type": "", "spot_instance_types": []string{"t3.small", "t3.medium"}, "spot_price": "0.5",
		"spot_allocation_strategy": "capacity-optimized-prioritized", "enable_unlimited_credits": false,
		"spot_tags": block{"Cost": "low"}, "fleet_tags": block{"Owner": "{{ .BuildRegion }}"}, "run_tags": block{"Team": "tests"},
		"root_volume": block{"size": 10}, "associate_public_ip_address": true, "user_data": "#!/bin/sh\ntouch /etc/from-user-data\n",
	}), func(ctx context.Context, comm packersdk.Communicator, data map[string]any) error {
		id, _ := data["ID"].(string)
		found, err := w.ec2().DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
		if err != nil {
			return err
		}
		seen = found.Reservations[0].Instances[0]
		asked, err := w.ec2().DescribeSpotInstanceRequests(ctx, &ec2.DescribeSpotInstanceRequestsInput{})
		if err != nil {
			return err
		}
		requests = asked.SpotInstanceRequests
		if templates, err = w.ec2().DescribeLaunchTemplates(ctx, &ec2.DescribeLaunchTemplatesInput{}); err != nil {
			return err
		}
		if fleets, err = w.ec2().DescribeFleets(ctx, &ec2.DescribeFleetsInput{FleetIds: []string{tag(seen.Tags, "aws:ec2:fleet-id")}}); err != nil {
			return err
		}
		_, err = sh(ctx, comm, "test -e /etc/from-user-data && sudo touch /etc/built")
		return err
	})
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, r.ui)
	}
	if seen.InstanceLifecycle != types.InstanceLifecycleTypeSpot || seen.InstanceType != "t3.small" || tag(seen.Tags, "Team") != "tests" {
		t.Errorf("instance %s %s, tags %v", seen.InstanceLifecycle, seen.InstanceType, seen.Tags)
	}
	if seen.MetadataOptions.HttpTokens != types.HttpTokensStateRequired || seen.PublicIpAddress == nil {
		t.Errorf("metadata %+v, public address %v", seen.MetadataOptions, seen.PublicIpAddress)
	}
	if len(requests) != 1 || tag(requests[0].Tags, "Cost") != "low" || aws.ToString(requests[0].SpotPrice) != "0.500000" {
		t.Errorf("spot requests %+v", requests)
	}
	if got := fleets.Fleets; len(got) != 1 || tag(got[0].Tags, "Owner") != region {
		t.Errorf("fleets %+v", got)
	}
	if got := templates.LaunchTemplates; len(got) != 1 || tag(got[0].Tags, "Owner") != region {
		t.Errorf("launch templates %+v", got)
	}
	w.nothingLeft(r)
}

// A spot instance that AWS takes back ends the build with its reason, and leaves nothing.
func TestSpotInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	r := w.build(t.Context(), w.template(block{"spot_price": "auto"}), func(_ context.Context, _ packersdk.Communicator, data map[string]any) error {
		id, _ := data["ID"].(string)
		if !w.aws.InterruptSpot(id) {
			t.Error("no spot instance runs")
		}
		return nil
	})
	if r.err == nil || r.artifact != nil || !strings.Contains(r.err.Error(), "Server.SpotInstanceTermination") {
		t.Errorf("artifact %v, error %v", r.artifact, r.err)
	}
	w.nothingLeft(r)
}

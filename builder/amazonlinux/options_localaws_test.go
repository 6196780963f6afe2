//go:build linux

package amazonlinux_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
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

func TestPublicAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	subnet := aws.ToString(w.subnets()["us-east-1b"].SubnetId)
	for _, public := range []bool{true, false} {
		w.public(subnet, public)
		for given, want := range map[any]bool{nil: public, true: true, false: false} {
			more := block{"subnet_id": subnet}
			if given != nil {
				more["associate_public_ip_address"] = given
			}
			if got := w.must(more).PublicIpAddress != nil; got != want {
				t.Errorf("associate_public_ip_address = %v in a subnet that says %v: a public address: %v", given, public, got)
			}
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

// The last provisioner shuts the machine down, and the image is made of what it left; nothing else stops it. That
// the connection is lost in the middle of a command is no failure.
func TestDisableStopInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	raw := w.template(block{"disable_stop_instance": true, "shutdown_behavior": "stop"})
	r := w.build(t.Context(), raw, func(ctx context.Context, comm packersdk.Communicator, _ map[string]any) error {
		off := &packersdk.RemoteCmd{Command: "sudo touch /etc/built; sudo systemctl poweroff; sleep 600"}
		if err := comm.Start(ctx, off); err != nil {
			return err
		}
		if status := off.Wait(); status != packersdk.CmdDisconnect {
			return fmt.Errorf("exit status %d", status)
		}
		return nil
	})
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, r.ui)
	}
	if slices.Contains(w.actions(), "ec2:StopInstances") {
		t.Error("the build stopped the instance")
	}
	second := w.build(t.Context(), w.template(block{"source_ami": r.regional(t)[region], "skip_create_ami": true}),
		func(ctx context.Context, comm packersdk.Communicator, _ map[string]any) error {
			return prints("ls /etc/built", "/etc/built")(ctx, comm)
		})
	if second.err != nil {
		t.Errorf("in an instance of the image: %v", second.err)
	}
	w.nothingLeft(r)
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
			noise := make([]byte, 2<<20)
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

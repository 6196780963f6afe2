//go:build linux

package amazonlinux_test

import (
	"context"
	"strings"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// failInstances ends every instance that is not ending yet, for a reason of AWS's.
func (w *world) failInstances(code, message string) {
	for _, line := range w.aws.Leftovers() {
		if fields := strings.Fields(line); strings.HasPrefix(line, "ec2 instance ") {
			w.aws.FailInstance(fields[3], code, message)
		}
	}
}

// An instance that dies says why, and the error what to do.
func TestDeathsAreExplained(t *testing.T) {
	t.Parallel()
	for code, test := range map[string]struct{ message, want string }{
		"Client.InternalError":             {"Client.InternalError: Client error on launch", "Client.InternalError: Client error on launch; mostly that is an encrypted volume whose KMS key"},
		"Client.InvalidKMSKey.Disabled":    {"Client.InvalidKMSKey.Disabled: The KMS key provided is disabled.", "enable it, or cancel its deletion"},
		"Client.VolumeLimitExceeded":       {"Client.VolumeLimitExceeded: Volume limit exceeded", "raise the quota"},
		"Client.InvalidSnapshot.NotFound":  {"The snapshot does not exist", "Client.InvalidSnapshot.NotFound The snapshot does not exist; a snapshot of the source image is gone"},
		"Server.SpotInstanceTermination":   {"Server.SpotInstanceTermination: Spot instance termination", "give more spot_instance_types"},
		"Server.InternalError":             {"Server.InternalError: Internal error on launch", "AWS's own trouble: build again"},
		"Client.InstanceInitiatedShutdown": {"Client.InstanceInitiatedShutdown: Instance initiated shutdown", "the timer of instance_ttl"},
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, localaws.Options{NoMachines: true, Delays: &localaws.Delays{InstancePending: time.Hour}})
			defer w.aws.Inject(localaws.Fault{Action: "DescribeInstances", Before: func(localaws.Call) { w.failInstances(code, test.message) }})()
			_, r := w.launched(nil)
			if r.err == nil || !strings.HasPrefix(r.err.Error(), "launch: instance i-") || !strings.Contains(r.err.Error(), test.want) {
				t.Errorf("error %v, want %q", r.err, test.want)
			}
			if r.err != nil && strings.Count(r.err.Error(), code) != 1 {
				t.Errorf("the reason is told twice: %v", r.err)
			}
			w.nothingLeft(r)
		})
	}
}

// EC2 may take a launch and find later that it has no room: the next place is tried then, too.
func TestCapacityThatEndsLaterMovesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true, Delays: &localaws.Delays{InstancePending: 2 * time.Second}})
	defer w.aws.Inject(localaws.Fault{Action: "DescribeInstances", Before: func(localaws.Call) {
		w.failInstances("Server.InsufficientInstanceCapacity", "Server.InsufficientInstanceCapacity: Insufficient capacity to satisfy instance request")
	}})()
	i, r := w.launched(block{"instance_type": "", "instance_types": []string{"t3.small", "t3.medium"}, "availability_zone": "us-east-1a"})
	if r.err != nil || i.InstanceType != "t3.medium" {
		t.Errorf("launched %s, %v\n%s", i.InstanceType, r.err, r.ui)
	}
	if !strings.Contains(r.ui.String(), "t3.small in subnet-") || !strings.Contains(r.ui.String(), "Insufficient capacity to satisfy") {
		t.Errorf("not told:\n%s", r.ui)
	}
	w.nothingLeft(r)
}

// Volumes that are to outlive their instance do so where that dies by itself, and are told.
func TestVolumesOfADeadInstanceAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true, Delays: &localaws.Delays{InstancePending: time.Hour}})
	defer w.aws.Inject(localaws.Fault{Action: "DescribeInstances", Before: func(localaws.Call) {
		w.failInstances("Server.InternalError", "Server.InternalError: Internal error on launch")
	}})()
	_, r := w.launched(block{"launch_block_device_mappings": []block{{"device_name": "/dev/sdf", "volume_size": 5, "delete_on_termination": false}}})
	if r.err == nil || !strings.Contains(r.ui.errors(), "at /dev/sdf: aws ec2 describe-volumes") {
		t.Errorf("%v\n%s", r.err, r.ui)
	}
}

// A spot instance that AWS takes back while the image is to be made ends the build with AWS's reason.
func TestSpotIsTakenBackBeforeItsImage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	raw := w.unconnected(block{"spot_price": "auto"})
	r := w.build(t.Context(), raw, func(_ context.Context, _ packersdk.Communicator, data map[string]any) error {
		id, _ := data["ID"].(string)
		if !w.aws.InterruptSpot(id) {
			t.Error("no spot instance runs")
		}
		return nil
	})
	for _, want := range []string{"image: instance i-", "Server.SpotInstanceTermination", "AWS took the spot instance back", "IncorrectInstanceState"} {
		if r.err == nil || !strings.Contains(r.err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, r.err)
		}
	}
	w.nothingLeft(r)
}

// Where the agent stays away, the console is told before the instance goes.
func TestConsoleIsToldWhereTheAgentStaysAway(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault localaws.Fault
		want  string
	}{
		"told":         {localaws.Fault{Action: "GetConsoleOutput", Nth: 99}, "he console of i-"},
		"not Nitro":    {localaws.Fault{Action: "GetConsoleOutput", Code: "UnsupportedOperation"}, "he console of i-"},
		"not allowed":  {localaws.Fault{Action: "GetConsoleOutput", Deny: true}, "must allow ec2:GetConsoleOutput"},
		"not answered": {localaws.Fault{Action: "GetConsoleOutput", Drop: true}, "he console of i-"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, localaws.Options{Delays: &localaws.Delays{AgentOnline: time.Hour}})
			defer w.aws.Inject(test.fault)()
			r := w.build(t.Context(), w.template(block{"ssm_timeout": "2s"}), nil)
			if r.err == nil || !strings.Contains(r.err.Error(), "connect: agent online: not within 2s") || !strings.Contains(r.ui.errors(), test.want) {
				t.Errorf("%v\n%s", r.err, r.ui)
			}
			w.nothingLeft(r)
		})
	}
}

// What a spot build and a temporary group need is asked before anything is made.
func TestPermissionsAreTriedFirst(t *testing.T) {
	t.Parallel()
	for action, more := range map[string]block{
		"CreateLaunchTemplate": {"spot_price": "auto"},
		"CreateFleet":          {"spot_price": "auto"},
		"CreateSecurityGroup":  nil,
	} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, localaws.Options{NoMachines: true})
			w.closeEgress()
			before := len(w.actions())
			defer w.aws.Inject(localaws.Fault{Action: action, Deny: true, Times: -1})()
			_, r := w.launched(more)
			if r.err == nil || !strings.Contains(r.err.Error(), "plan: "+action+": UnauthorizedOperation") {
				t.Errorf("error %v", r.err)
			}
			for _, made := range w.actions()[before:] {
				if !strings.Contains(made, ":Describe") && !strings.Contains(made, ":Get") {
					t.Errorf("made before: %s", made)
				}
			}
		})
	}
}

// The temporary group is free once its instance has let go of it: nobody waits for the instance's end.
func TestGroupDoesNotWaitForItsInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true, Delays: &localaws.Delays{ShuttingDown: time.Hour}})
	w.closeEgress()
	r := w.build(t.Context(), w.unconnected(nil), nil)
	if r.err != nil || strings.Contains(r.ui.String(), "leaves behind") {
		t.Errorf("%v\n%s", r.err, r.ui)
	}
	for _, line := range w.aws.Leftovers() {
		if strings.HasPrefix(line, "ec2 security group") {
			t.Errorf("left: %s", line)
		}
	}
}

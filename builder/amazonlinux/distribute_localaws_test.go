//go:build linux

package amazonlinux_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// A new image takes the name of the old one, in each region, once it is there.
func TestForceDeregister(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	first := w.build(t.Context(), w.unconnected(block{"release": "2023", "ami_regions": []string{west}}), nil)
	old := first.regional(t)
	again := block{"release": "2023", "ami_regions": []string{west, europe}, "force_deregister": true, "force_delete_snapshot": true, "tags": block{"Try": "2"}}
	defer w.aws.Inject(localaws.Fault{Action: "CopyImage", Region: europe, Nth: 2, Before: func(localaws.Call) {
		for region, id := range old {
			if got := w.named(region); !slices.Equal(got, []string{id}) {
				t.Errorf("while copying, %s has %v and not the old image", region, got)
			}
		}
	}})()
	r := w.build(t.Context(), w.unconnected(again), nil)
	for region, id := range r.regional(t) {
		if got := w.named(region); !slices.Equal(got, []string{id}) {
			t.Errorf("%s: %v have the name, want %s", region, got, id)
		}
		image := w.imageIn(region, id)
		if tag(image.Tags, "Try") != "2" || image.BootMode != "uefi-preferred" || image.ImdsSupport != "v2.0" || !aws.ToBool(image.EnaSupport) {
			t.Errorf("%s: %+v", region, image)
		}
	}
	// Of each region one image and one snapshot.
	if left := w.aws.Leftovers(); len(left) != 6 {
		t.Errorf("left: %q", left)
	}
	w.nothingLeft(r)
}

// -force is what it is in amazon-ebs.
func TestForceFlagReplaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	first := w.build(t.Context(), w.unconnected(nil), nil).regional(t)[region]
	r := w.build(t.Context(), w.unconnected(block{"packer_force": true}), nil)
	if second := r.regional(t)[region]; second == first || !slices.Equal(w.named(region), []string{second}) {
		t.Errorf("first %s, second %s, named %v", first, second, w.named(region))
	}
}

// A build that fails before its image is everywhere leaves the old one as it was.
func TestForceDeregisterKeepsTheOldOnFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	old := w.build(t.Context(), w.unconnected(nil), nil).regional(t)[region]
	defer w.aws.Inject(localaws.Fault{Action: "CopyImage", Nth: 2, Deny: true})() // the first is the plan's
	r := w.build(t.Context(), w.unconnected(block{"force_deregister": true, "ami_regions": []string{west}}), nil)
	if r.err == nil || !strings.HasPrefix(r.err.Error(), "distribute: us-west-2: CopyImage: UnauthorizedOperation") {
		t.Errorf("error %v", r.err)
	}
	if got := w.named(region); !slices.Equal(got, []string{old}) {
		t.Errorf("%v have the name, want the old %s", got, old)
	}
	w.onlyNamed(r)
}

func TestProtectedImageIsNotReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	w.build(t.Context(), w.unconnected(block{"deregistration_protection": block{"enabled": true, "with_cooldown": true}}), nil).regional(t)
	r := w.build(t.Context(), w.unconnected(block{"force_deregister": true}), nil)
	if r.err == nil || !strings.Contains(r.err.Error(), "is protected from that (enabled-with-cooldown)") {
		t.Errorf("error %v", r.err)
	}
}

// A name that is taken in a region of a copy is told before the launch.
func TestNameIsTakenInACopysRegion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	w.build(t.Context(), w.unconnected(block{"region": west}), nil).regional(t)
	r := w.build(t.Context(), w.unconnected(block{"ami_regions": []string{west}}), nil)
	if r.err == nil || !strings.HasPrefix(r.err.Error(), `plan: ami_name: "web-1" is taken by ami-`) || !strings.Contains(r.err.Error(), "in us-west-2") {
		t.Errorf("error %v", r.err)
	}
}

// Copies are made at the same time: three take as long as one.
func TestCopiesOverlap(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true, Regions: []string{region, west, europe, "eu-north-1"}, Delays: &localaws.Delays{CopyPending: 2 * time.Second}})
	r := w.build(t.Context(), w.unconnected(block{"ami_regions": []string{west, europe, "eu-north-1"}}), nil)
	if len(r.regional(t)) != 4 {
		t.Fatalf("artifact %s", r.artifact.Id())
	}
	var asked, seen []time.Time
	for _, c := range w.aws.Calls() {
		switch {
		case c.Action == "CopyImage" && !c.DryRun:
			asked = append(asked, c.Time)
		case c.Action == "DescribeImages" && c.Region != region && len(asked) > 0:
			seen = append(seen, c.Time)
		}
	}
	if len(asked) != 3 || slices.MaxFunc(asked, time.Time.Compare).After(slices.MinFunc(seen, time.Time.Compare).Add(time.Second)) {
		t.Errorf("asked at %v, looked at %v", asked, seen)
	}
}

// The instance is terminated while the image is copied, and once.
func TestCleanupOverlapsDistribution(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true, Delays: &localaws.Delays{CopyPending: 2 * time.Second}})
	r := w.build(t.Context(), w.unconnected(block{"ami_regions": []string{west}}), nil)
	actions := w.actions()
	terminated := slices.Index(actions, "ec2:TerminateInstances")
	lastLook := 0
	for i, action := range actions {
		if action == "ec2:DescribeImages" {
			lastLook = i
		}
	}
	if terminated < 0 || terminated > lastLook {
		t.Errorf("terminated at call %d, last look at the copy at %d", terminated, lastLook)
	}
	if again := slices.Index(actions[terminated+1:], "ec2:TerminateInstances"); again >= 0 {
		t.Error("terminated twice")
	}
	w.nothingLeft(r)
}

// An image that EC2 gives up on is removed, with what was made beside it.
func TestCopyFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true, Delays: &localaws.Delays{CopyPending: time.Minute}})
	defer w.aws.Inject(localaws.Fault{Action: "DescribeImages", Region: west, Nth: 2, Before: func(localaws.Call) {
		go func() {
			for _, id := range w.named(west) {
				w.aws.FailImage(id, "Client.InvalidKMSKey", "the key is disabled")
			}
		}()
	}})()
	r := w.build(t.Context(), w.unconnected(block{"ami_regions": []string{west, europe}}), nil)
	if r.err == nil || !strings.Contains(r.err.Error(), "is failed: Client.InvalidKMSKey the key is disabled") {
		t.Errorf("error %v", r.err)
	}
	for _, region := range []string{west, europe} {
		if got := w.named(region); len(got) > 0 {
			t.Errorf("%s keeps %v", region, got)
		}
	}
	w.onlyNamed(r)
}

// AWS's API is left alone while provisioners run, and asked less than two hundred times in all.
func TestFewCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{Profile: localaws.Demo})
	var before, after int
	r := w.build(t.Context(), w.template(nil), func(ctx context.Context, comm packersdk.Communicator, _ map[string]any) error {
		if _, err := sh(ctx, comm, "true"); err != nil { // whatever connecting still had to do is over
			return err
		}
		before = len(w.aws.Calls())
		_, err := sh(ctx, comm, "sleep 5")
		after = len(w.aws.Calls())
		return err
	})
	if r.err != nil {
		t.Fatal(r.err)
	}
	if after != before {
		t.Errorf("%d calls while a provisioner ran: %v", after-before, w.actions()[before:after])
	}
	if all := len(w.aws.Calls()); all >= 200 {
		t.Errorf("%d calls", all)
	}
	for _, want := range []string{"Phase", "plan", "launch", "connect", "provision", "image", "distribute", "cleanup", "calls of AWS's API"} {
		if !strings.Contains(r.ui.String(), want) {
			t.Errorf("the table of phases lacks %q:\n%s", want, r.ui)
		}
	}
}

func TestAWSPollingIsWallClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true, Delays: &localaws.Delays{ImagePending: time.Hour}})
	r := w.build(t.Context(), w.unconnected(block{"aws_polling": block{"delay_seconds": 1, "max_attempts": 2}}), nil)
	if r.err == nil || !strings.Contains(r.err.Error(), "available: not within 2s") {
		t.Errorf("error %v", r.err)
	}
	w.nothingLeft(r)
}

// Whoever may use the image copies it, too: with the snapshots' permission and the key's.
func TestSharedImageCanBeCopied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	r := w.build(t.Context(), w.unconnected(block{"ami_users": []string{localaws.OtherAccount}, "snapshot_users": []string{localaws.OtherAccount}}), nil)
	id := r.regional(t)[region]
	_, err := w.ec2In(localaws.OtherAccount, region).CopyImage(t.Context(), &ec2.CopyImageInput{
		Name: aws.String("theirs"), SourceImageId: aws.String(id), SourceRegion: aws.String(region),
	})
	if err != nil {
		t.Error(err)
	}
}

// -on-error=ask: what was refused is tried again on the images that are there.
func TestAskRetriesDistribution(t *testing.T) {
	t.Parallel()
	for action, nth := range map[string]int{"CopyImage": 3, "ModifyImageAttribute": 2, "RegisterImage": 2} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, localaws.Options{NoMachines: true})
			w.build(t.Context(), w.unconnected(nil), nil).regional(t)
			defer w.aws.Inject(localaws.Fault{Action: action, Nth: nth, Deny: true})()
			r := w.build(t.Context(), w.unconnected(block{
				"packer_on_error": "ask", "force_deregister": true, "ami_regions": []string{west, europe},
			}), nil)
			if images := r.regional(t); len(images) != 3 || r.err != nil {
				t.Errorf("images %v, %v\n%s", images, r.err, r.ui)
			}
			if asked := strings.Count(r.ui.String(), "asked: "); asked != 1 {
				t.Errorf("asked %d times\n%s", asked, r.ui)
			}
			for _, region := range []string{region, west, europe} {
				if got := w.named(region); !slices.Equal(got, []string{r.regional(t)[region]}) {
					t.Errorf("%s: %v have the name", region, got)
				}
			}
		})
	}
}

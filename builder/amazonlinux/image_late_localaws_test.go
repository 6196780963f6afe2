//go:build linux

package amazonlinux_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// A late image is one that becomes available after the last look at it, right before its removal.
type late struct {
	account, region string
	template        func(w *world) block
	made            string // the call that makes it
}

// lates are the images that a build can make, each as hard as it gets.
var lates = map[string]late{
	"of the build": {localaws.DefaultAccount, region, func(w *world) block { return w.unconnected(nil) }, "CreateImage"},
	"of two encrypted volumes": {localaws.DefaultAccount, region, func(w *world) block {
		return w.unconnected(block{
			"release": "2023", "encrypt_boot": true, "kms_key_id": w.key(region), "imds_support": "v2.0", "tags": block{"Team": "tests"},
			"ami_description":              "of {{ .SourceAMIName }}",
			"launch_block_device_mappings": []block{{"device_name": "/dev/sdg", "volume_size": 5, "volume_type": "gp3", "encrypted": true, "delete_on_termination": true}},
			"ami_block_device_mappings":    []block{{"device_name": "/dev/sdf", "volume_size": 5, "volume_type": "gp3"}},
		})
	}, "CreateImage"},
	"under a temporary name": {localaws.DefaultAccount, region, func(w *world) block {
		w.older(region)
		return w.unconnected(block{"force_deregister": true})
	}, "CreateImage"},
	"of a copy": {localaws.DefaultAccount, west, func(w *world) block {
		return w.unconnected(block{"release": "2023", "ami_regions": []string{west}, "region_kms_key_ids": block{west: w.key(west)}})
	}, "CopyImage"},
	"of a copy in another account": {localaws.OtherAccount, west, func(w *world) block {
		w.aliased(region)
		w.aliased(west)
		return w.copied(nil)
	}, "CopyImage"},
}

// own are the images of an account in a region.
func (w *world) own(account, region string) []types.Image {
	w.Helper()
	found, err := w.ec2In(account, region).DescribeImages(w.Context(), &ec2.DescribeImagesInput{Owners: []string{"self"}})
	if err != nil {
		w.Fatal(err)
	}
	return found.Images
}

// delays let the image itself come only when it is told to.
func (l late) delays() *localaws.Delays {
	if l.made == "CopyImage" {
		return &localaws.Delays{CopyPending: time.Hour}
	}
	return &localaws.Delays{ImagePending: time.Hour}
}

// cancelledLate is a build that is cancelled as soon as its image is on its way, and whose image
// becomes available between the last look and the removal; it returns the image as it was then.
func (l late) cancelledLate(t *testing.T) (w *world, r result, before []string, was types.Image) {
	t.Helper()
	w = newWorld(t, localaws.Options{NoMachines: true, Delays: l.delays()})
	raw := l.template(w)
	before = w.aws.Leftovers()
	old := w.own(l.account, l.region)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.aws.Inject(localaws.Fault{Action: l.made, Region: l.region, Times: -1, After: true, Before: func(c localaws.Call) {
		if c.Account == l.account && len(w.own(l.account, l.region)) > len(old) {
			cancel()
		}
	}})
	w.aws.Inject(localaws.Fault{Action: "DeregisterImage", Region: l.region, Before: func(localaws.Call) {
		for _, image := range w.own(l.account, l.region) {
			if w.aws.CompleteImage(*image.ImageId) {
				was = image
				was.State = types.ImageStateAvailable
			}
		}
	}})
	r = w.build(ctx, raw, nil)
	w.aws.Heal()
	if was.ImageId == nil {
		t.Fatalf("no image was removed: %v\n%s", r.err, r.ui)
	}
	return w, r, before, was
}

func TestImageComesBetweenTheLastLookAndItsRemoval(t *testing.T) {
	t.Parallel()
	for name, l := range lates {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r, before, was := l.cancelledLate(t)
			images := slices.DeleteFunc(w.own(l.account, l.region), func(i types.Image) bool {
				return tag(i.Tags, "packer-plugin-ssm:build") != tag(was.Tags, "packer-plugin-ssm:build")
			})
			if len(images) != 1 {
				t.Fatalf("%d images stay: %v\n%s", len(images), r.err, r.ui)
			}
			same := cmp.Options{
				cmpopts.IgnoreUnexported(types.Image{}, types.BlockDeviceMapping{}, types.EbsBlockDevice{}, types.Tag{}),
				cmpopts.IgnoreFields(types.Image{}, "ImageId", "CreationDate", "SourceImageId", "SourceImageRegion", "SourceInstanceId"),
				cmpopts.SortSlices(func(a, b types.Tag) bool { return *a.Key < *b.Key }),
			}
			if diff := cmp.Diff(was, images[0], same); diff != "" {
				t.Errorf("the image is not what it was:\n%s", diff)
			}
			said := *was.ImageId + " may have become available while it was removed, so it is registered again from its snapshots, as image " + *images[0].ImageId
			if !strings.Contains(r.ui.String(), said) {
				t.Errorf("not said: %s", said)
			}
			if r.artifact != nil || !strings.Contains(r.err.Error(), "kept, because they are available") || !strings.Contains(r.err.Error(), *images[0].ImageId) {
				t.Errorf("artifact %v, error %v", r.artifact, r.err)
			}
			if left := w.untold(r, before); len(left) > 0 {
				t.Errorf("left and not told:\n%s", strings.Join(left, "\n"))
			}
			if t.Failed() {
				t.Logf("the user saw:\n%s\nerror: %v", r.ui, r.err)
			}
		})
	}
}

// Where the image may not be registered again its snapshots stay, and the user learns which, and how to remove them.
func TestLateImageMayNotBeRegistered(t *testing.T) {
	t.Parallel()
	for name, l := range lates {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			template := l.template
			l.template = func(w *world) block {
				w.aws.Inject(localaws.Fault{Action: "RegisterImage", Where: map[string]string{"DryRun": "true"}, Code: "DryRunOperation"})
				w.aws.Inject(localaws.Fault{Action: "RegisterImage", Times: -1, Deny: true})
				return template(w)
			}
			w, r, before, was := l.cancelledLate(t)
			ids := slices.DeleteFunc(snapshotsIn(was), func(id string) bool { return id == "" }) // of a volume that is empty
			for _, id := range ids {
				found, err := w.ec2In(l.account, l.region).DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}})
				if err != nil || len(found.Snapshots) != 1 {
					t.Errorf("%s is gone: %v", id, err)
				}
				if !strings.Contains(remedies(r), "aws ec2 delete-snapshot --region "+l.region+" --snapshot-id "+id) {
					t.Errorf("%s is not told", id)
				}
			}
			said := "cleanup: image " + *was.ImageId + " may have become available while it was removed, and is not registered again: RegisterImage: UnauthorizedOperation"
			if !strings.Contains(r.ui.errors(), said) {
				t.Errorf("not said: %s", said)
			}
			if left := w.untold(r, before); len(left) > 0 {
				t.Errorf("left and not told:\n%s", strings.Join(left, "\n"))
			}
			if t.Failed() {
				t.Logf("the user saw:\n%s\nerror: %v", r.ui, r.err)
			}
		})
	}
}

func (w *world) cancelOnceAnImageIsMade(cancel func()) {
	w.aws.Inject(localaws.Fault{Action: "CreateImage", Times: -1, After: true, Before: func(localaws.Call) {
		if slices.ContainsFunc(w.aws.Changes(), func(c localaws.Change) bool { return strings.HasPrefix(c.Resource, "ami-") }) {
			cancel()
		}
	}})
}

// An image that EC2 has given up on between the look and the removal is not registered again.
func TestImageFailsRightBeforeItsRemoval(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true, Delays: &localaws.Delays{ImagePending: time.Minute}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.cancelOnceAnImageIsMade(cancel)
	w.aws.Inject(localaws.Fault{Action: "DeregisterImage", Before: func(localaws.Call) {
		for _, id := range w.named(region) {
			w.aws.FailImage(id, "Server.InternalError", "trouble")
		}
	}})
	r := w.build(ctx, w.unconnected(nil), nil)
	w.aws.Heal()
	if r.err == nil || strings.Contains(r.err.Error(), "kept") {
		t.Errorf("error %v", r.err)
	}
	w.nothingLeft(r)
}

// An image that EC2 does not show yet is waited for before it is removed: AWS would not know what to remove.
func TestImageIsCancelledBeforeItCanBeSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true, Delays: &localaws.Delays{ImagePending: time.Minute, ImageConsistency: time.Second}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.cancelOnceAnImageIsMade(cancel)
	r := w.build(ctx, w.unconnected(nil), nil)
	if r.err == nil {
		t.Errorf("error %v", r.err)
	}
	w.nothingLeft(r)
}

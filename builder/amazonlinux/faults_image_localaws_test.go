//go:build linux

package amazonlinux_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// wholeAgain is a world with an older image of the name in two regions, and the
// template of a build with every option of the image that replaces it.
func wholeAgain(t *testing.T) (w *world, raw block, old map[string]string) {
	t.Helper()
	w = newWorld(t, localaws.Options{NoMachines: true})
	old = map[string]string{region: w.older(region), west: w.older(west)}
	raw, _ = w.whole()
	raw["force_deregister"], raw["force_delete_snapshot"] = true, true
	delete(raw, "deregistration_protection")
	w.closeEgress()
	return w, raw, old
}

// older makes an image of the templates' name from one of Amazon's, and returns its id.
func (w *world) older(region string) string {
	w.Helper()
	c := w.ec2In(localaws.DefaultAccount, region)
	found, err := c.DescribeImages(w.Context(), &ec2.DescribeImagesInput{
		Owners: []string{"amazon"}, Filters: []types.Filter{{Name: aws.String("name"), Values: []string{"al2023-ami-2023*"}}},
	})
	if err != nil || len(found.Images) == 0 {
		w.Fatalf("no image to copy: %v", err)
	}
	made, err := c.CopyImage(w.Context(), &ec2.CopyImageInput{
		Name: aws.String("web-1"), SourceImageId: found.Images[0].ImageId, SourceRegion: aws.String(region),
	})
	if err != nil {
		w.Fatal(err)
	}
	return aws.ToString(made.ImageId)
}

// callsOfWhole is about how many calls such a build makes; where it makes fewer, the fault strikes nobody.
const callsOfWhole = 66

// sweepWhole runs the build once for each of its calls, with a fault from that call on.
func sweepWhole(t *testing.T, step int, fault func(cancel context.CancelFunc) localaws.Fault, check func(w *world, r result)) {
	for nth := 1; nth <= callsOfWhole; nth += step {
		t.Run(fmt.Sprintf("call-%d", nth), func(t *testing.T) {
			t.Parallel()
			w, raw, old := wholeAgain(t)
			before := w.aws.Leftovers()
			w.struck(raw, nil, strike{"", nth}, fault, func(w *world, r result) {
				check(w, r)
				w.verdictIsRight(r)
				w.nameIsSound(r, old)
				if left := w.untold(r, before); len(left) > 0 {
					w.Errorf("left and not told:\n%s", strings.Join(left, "\n"))
				}
			})
		})
	}
}

// nameIsSound: whoever looks for the name finds the old image or the new one,
// or is told under which name the new one is.
func (w *world) nameIsSound(r result, old map[string]string) {
	w.Helper()
	for region, id := range old {
		found := w.named(region)
		switch {
		case r.artifact != nil && slices.Contains(found, r.regional(w.T)[region]):
		case r.artifact == nil && slices.Contains(found, id):
		case r.err != nil && strings.Contains(r.err.Error(), "kept, because"):
		default:
			w.Errorf("%s: the name web-1 is of %v; the old image was %s", region, found, id)
		}
	}
}

// untold are what the build left beside what stood there before, its artifact
// and what the user was told of. What goes away by itself is waited for.
func (w *world) untold(r result, before []string) []string {
	said := r.ui.errors()
	if r.err != nil {
		said += "\n" + r.err.Error()
	}
	images := r.artifact != nil || strings.Contains(said, "kept, because") || strings.Contains(said, "leaves behind")
	instance := strings.Contains(said, "terminate-instances")
	for deadline := time.Now().Add(10 * time.Second); ; {
		left := slices.DeleteFunc(w.aws.Leftovers(), func(line string) bool {
			return slices.Contains(before, line) || keeps(r.artifact, line) || told(said, line) ||
				images && strings.Contains(line, "ec2 snapshot") || instance && (strings.Contains(line, "ec2 volume") || strings.Contains(line, "ec2 network interface"))
		})
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		select {
		case <-w.Context().Done():
			return left
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestWholeImageEveryCallRefused(t *testing.T) {
	t.Parallel()
	sweepWhole(t, 1,
		func(context.CancelFunc) localaws.Fault { return localaws.Fault{Deny: true} },
		func(*world, result) {})
}

// Credentials that expire in the middle can't clean up either: all is told.
func TestWholeImageCredentialsExpire(t *testing.T) {
	t.Parallel()
	sweepWhole(t, 1,
		func(context.CancelFunc) localaws.Fault { return localaws.Fault{Code: "RequestExpired", Times: -1} },
		func(*world, result) {})
}

func TestWholeImageThrottled(t *testing.T) {
	t.Parallel()
	sweepWhole(t, 2,
		func(context.CancelFunc) localaws.Fault { return localaws.Fault{Code: "RequestLimitExceeded"} },
		func(w *world, r result) {
			if r.err != nil {
				w.Errorf("the build failed: %v", r.err)
			}
		})
}

func TestWholeImageEveryAnswerLost(t *testing.T) {
	t.Parallel()
	sweepWhole(t, 1,
		func(context.CancelFunc) localaws.Fault { return localaws.Fault{Drop: true, After: true} },
		func(w *world, r result) {
			if r.err != nil {
				w.Errorf("the build failed: %v", r.err)
			}
		})
}

func TestWholeImageCancelledAtEveryCall(t *testing.T) {
	t.Parallel()
	sweepWhole(t, 1,
		func(cancel context.CancelFunc) localaws.Fault {
			return localaws.Fault{Before: func(localaws.Call) { cancel() }}
		},
		func(*world, result) {})
}

// A call that is never answered ends after a while, and is asked again.
func TestWholeImageCallHangs(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"CreateImage", "CopyImage", "RegisterImage", "ModifyImageAttribute"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			w, raw, _ := wholeAgain(t)
			defer w.aws.Inject(localaws.Fault{Action: action, Nth: 2, Hang: true, After: true})()
			r := w.build(t.Context(), raw, nil)
			if r.err != nil {
				t.Errorf("%v\n%s", r.err, r.ui)
			}
			w.verdictIsRight(r)
		})
	}
}

// The number of calls that the sweeps go by.
func TestWholeImageCalls(t *testing.T) {
	t.Parallel()
	w, raw, old := wholeAgain(t)
	before := len(w.aws.Calls())
	r := w.build(t.Context(), raw, nil)
	if r.err != nil {
		t.Fatal(r.err)
	}
	calls := len(w.aws.Calls()) - before
	if calls > callsOfWhole || calls < callsOfWhole-15 {
		t.Errorf("%d calls; set callsOfWhole to that", calls)
	}
	for region, id := range old {
		if _, err := w.ec2In(localaws.DefaultAccount, region).DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{id}}); err == nil {
			t.Errorf("the old image %s in %s is still there", aws.ToString(&id), region)
		}
	}
}

//go:build linux

package amazonlinux_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// strikesOfCopies are the calls that only a build with copies in another account
// makes: those of its plan, and all from the image on.
func strikesOfCopies(t *testing.T) []strike {
	t.Helper()
	w, raw := newCopied(t)
	before := len(w.aws.Calls())
	if r := w.build(t.Context(), raw, nil); r.err != nil {
		t.Fatal(r.err)
	}
	calls := w.aws.Calls()[before:]
	made := slices.IndexFunc(calls, func(c localaws.Call) bool { return c.Action == "CreateImage" && !c.DryRun })
	list := []strike{{"AssumeRole", 1}, {"DescribeRegions", 1}, {"CopyImage", 1}, {"CopyImage", 2}}
	for nth := made + 1; nth <= len(calls)+1; nth++ {
		list = append(list, strike{"", nth})
	}
	return list
}

// newCopied is a world, and the template of a build that ends with copies in the other account.
func newCopied(t *testing.T) (*world, block) {
	t.Helper()
	w := newWorld(t, localaws.Options{NoMachines: true})
	w.aliased(region)
	w.aliased(west)
	return w, w.copied(block{"deprecate_after": "90d"})
}

// Each of those calls refused, unanswered, without its answer, or cancelled at: what the other account keeps is
// what the user is told of, and it may read nothing that it was only lent.
func TestCopyInAnotherAccountFaults(t *testing.T) {
	t.Parallel()
	strikes := strikesOfCopies(t)
	for name, fault := range map[string]func(context.CancelFunc) localaws.Fault{
		"refused":   func(context.CancelFunc) localaws.Fault { return localaws.Fault{Deny: true} },
		"throttled": func(context.CancelFunc) localaws.Fault { return localaws.Fault{Code: "RequestLimitExceeded"} },
		"unanswered": func(context.CancelFunc) localaws.Fault {
			return localaws.Fault{Drop: true, After: true}
		},
		"cancelled": func(cancel context.CancelFunc) localaws.Fault {
			return localaws.Fault{Before: func(localaws.Call) { cancel() }}
		},
		"expired": func(context.CancelFunc) localaws.Fault { return localaws.Fault{Code: "RequestExpired", Times: -1} },
	} {
		for _, at := range strikes {
			t.Run(fmt.Sprintf("%s %s", name, at), func(t *testing.T) {
				t.Parallel()
				w, raw := newCopied(t)
				before := w.aws.Leftovers()
				w.struck(raw, nil, at, fault, func(w *world, r result) {
					if harmless := name == "throttled" || name == "unanswered"; harmless && r.err != nil {
						w.Errorf("the build failed: %v", r.err)
					}
					w.verdictIsRight(r)
					w.lentIsTold(r)
					if left := w.untold(r, before); len(left) > 0 {
						w.Errorf("left and not told:\n%s", strings.Join(left, "\n"))
					}
				})
			})
		}
	}
}

// lentIsTold fails the test if the other account may still read what it was lent and the user is not told.
func (w *world) lentIsTold(r result) {
	w.Helper()
	for _, id := range w.named(region) {
		found, err := w.ec2In(localaws.OtherAccount, region).DescribeImages(w.Context(), &ec2.DescribeImagesInput{ImageIds: []string{id}})
		if err == nil && len(found.Images) > 0 && !strings.Contains(r.ui.errors(), "permission of account "+localaws.OtherAccount+" on "+id) {
			w.Errorf("the other account may use %s, and nobody is told", id)
		}
	}
}

// -on-error=ask: the copies are tried again, lent what they need, and nothing stays lent.
func TestAskRetriesCopies(t *testing.T) {
	t.Parallel()
	for action, nth := range map[string]int{"CopyImage": 3, "ModifySnapshotAttribute": 1, "EnableImageDeprecation": 2} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, localaws.Options{NoMachines: true})
			defer w.aws.Inject(localaws.Fault{Action: action, Nth: nth, Deny: true})()
			r := w.build(t.Context(), w.unconnected(block{
				"packer_on_error": "ask", "deprecate_after": "1d", "ami_copy": []block{{"role_arn": roleThere, "regions": []string{region, west}}},
			}), nil)
			if r.err != nil || len(w.there()) != 2 || strings.Count(r.ui.String(), "asked: ") != 1 {
				t.Fatalf("copies %v, %v\n%s", w.there(), r.err, r.ui)
			}
			w.nothingLent(r.regional(t)[region])
		})
	}
}

// What can't be taken back in the build is taken back at its end, and the image is whole all the same.
func TestLoanIsTakenBackLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	defer w.aws.Inject(localaws.Fault{Action: "ModifySnapshotAttribute", Nth: 2, Deny: true})()
	r := w.build(t.Context(), w.unconnected(block{"ami_copy": []block{{"role_arn": roleThere}}}), nil)
	w.nothingLent(r.regional(t)[region])
	if strings.Contains(r.ui.String(), "leaves behind") {
		t.Errorf("told as left:\n%s", r.ui)
	}
}

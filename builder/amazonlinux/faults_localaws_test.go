//go:build linux

package amazonlinux_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// ec2 is a client of the account's owner, for what builds don't do.
func (w *world) ec2() *ec2.Client {
	id, secret := w.aws.Credentials(localaws.DefaultAccount)
	return ec2.New(ec2.Options{
		Region: region, BaseEndpoint: aws.String(w.aws.URL()),
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""),
	})
}

// closeEgress takes the rule that lets everything out from the default VPC's default group.
func (w *world) closeEgress() {
	w.Helper()
	groups, err := w.ec2().DescribeSecurityGroups(w.Context(), &ec2.DescribeSecurityGroupsInput{
		Filters: []types.Filter{{Name: aws.String("group-name"), Values: []string{"default"}}},
	})
	if err != nil {
		w.Fatal(err)
	}
	for _, g := range groups.SecurityGroups {
		_, err := w.ec2().RevokeSecurityGroupEgress(w.Context(), &ec2.RevokeSecurityGroupEgressInput{
			GroupId: g.GroupId, IpPermissions: g.IpPermissionsEgress,
		})
		if err != nil {
			w.Fatal(err)
		}
	}
}

// everything is a template whose build makes everything that a build can make.
func (w *world) everything() block {
	w.closeEgress()
	return w.template(block{
		"tags":     block{"Name": "web", "Base": "{{ .SourceAMI }}"},
		"run_tags": block{"Team": "tests"},
		"temporary_iam_instance_profile_policy_document": block{
			"Statement": []block{{"Effect": "Allow", "Action": []string{"s3:GetObject"}, "Resource": []string{"*"}}},
		},
	})
}

func touch(ctx context.Context, comm packersdk.Communicator, _ map[string]any) error {
	_, err := sh(ctx, comm, "sudo touch /etc/built")
	return err
}

// A strike is the call that a fault is for: the nth of an action, or of all where that is "".
type strike struct {
	action string
	nth    int
}

func (s strike) String() string { return fmt.Sprintf("%s-%d", cmp.Or(s.action, "call"), s.nth) }

// callsWithout is how many calls a build of everything makes that connects to
// nothing, looks included; the number varies by a few.
const callsWithout = 42

// connecting are the calls that only a build makes that connects.
var connecting = []strike{
	{"DescribeInstanceInformation", 1}, {"SendCommand", 1}, {"GetCommandInvocation", 1}, {"StartSession", 1},
	{"TerminateSession", 1}, {"SendCommand", 2}, {"GetCommandInvocation", 2},
}

// sweep runs a build of everything for each of its calls, with a fault at that
// call. What has nothing to do with the inside of the instance is tried without one.
func sweep(t *testing.T, fault func(cancel context.CancelFunc) localaws.Fault, check func(w *world, r result)) {
	for nth := 1; nth <= callsWithout; nth++ {
		at := strike{"", nth}
		t.Run(at.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, localaws.Options{NoMachines: true})
			raw := w.everything()
			raw["communicator"] = "none"
			w.struck(raw, nil, at, fault, check)
		})
	}
	for _, at := range connecting {
		t.Run(at.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, localaws.Options{})
			w.struck(w.everything(), touch, at, fault, check)
		})
	}
}

func (w *world) struck(raw block, provision hook, at strike, fault func(cancel context.CancelFunc) localaws.Fault, check func(w *world, r result)) {
	w.Helper()
	before := len(w.aws.Calls())
	ctx, cancel := context.WithCancel(w.Context())
	defer cancel()
	f := fault(cancel)
	f.Action, f.Nth = at.action, at.nth
	remove := w.aws.Inject(f)
	r := w.build(ctx, raw, provision)
	remove()
	calls := w.aws.Calls()[before:]
	check(w, r)
	if w.Failed() {
		w.Logf("%s of %d calls; the user saw:\n%s\nerror: %v", at, len(calls), r.ui, r.err)
	}
}

// named is what a leftover line is known by.
var named = regexp.MustCompile(`\b(i|ami|sg)-[0-9a-f]+\b|packer-[a-z0-9]+`)

// parts are what comes with something else, and is told only where that is gone.
var parts = regexp.MustCompile(`\b(vol|fleet)-[0-9a-f]+\b`)

// told reports whether any of the names in a leftover's line was said.
func told(said, line string) bool {
	return slices.ContainsFunc(slices.Concat(named.FindAllString(line, -1), parts.FindAllString(line, -1)), func(name string) bool { return strings.Contains(said, name) })
}

// onlyNamed fails the test if anything is left that the user was not told of.
func (w *world) onlyNamed(r result) {
	w.Helper()
	said := r.ui.String()
	left := w.aws.Leftovers()
	if r.err != nil {
		said += "\n" + r.err.Error()
	}
	images := strings.Contains(said, "kept, because") || strings.Contains(said, "leaves behind")
	if !images {
		left = w.leftovers(r.artifact)
	}
	instanceStays := strings.Contains(said, "terminate-instances")
	for _, line := range left {
		switch {
		case keeps(r.artifact, line):
		case images && strings.Contains(line, "snapshot"): // what comes with an image
		case strings.HasPrefix(line, "kms key"): // the test's own
		case strings.Contains(line, " terminated"), strings.Contains(line, "shutting-down"): // on its way out
		case instanceStays && named.FindString(line) == "": // what comes with an instance
		case !told(said, line):
			w.Errorf("left behind and not told: %s", line)
		}
	}
}

func (w *world) verdictIsRight(r result) {
	w.Helper()
	if (r.artifact == nil) != (r.err != nil) {
		w.Errorf("artifact %v, error %v", r.artifact, r.err)
	}
	if r.artifact == nil {
		return
	}
	for region, id := range r.regional(w.T) {
		if image := w.imageIn(region, id); image.State != types.ImageStateAvailable {
			w.Errorf("the artifact's image %s in %s is %s", id, region, image.State)
		}
	}
}

func TestEveryCallRefused(t *testing.T) {
	t.Parallel()
	sweep(t,
		func(context.CancelFunc) localaws.Fault { return localaws.Fault{Deny: true} },
		func(w *world, r result) {
			w.verdictIsRight(r)
			w.onlyNamed(r)
			if r.err != nil && !phased.MatchString(r.err.Error()) {
				w.Errorf("the error does not name its phase: %v", r.err)
			}
		})
}

var phased = regexp.MustCompile(`^(plan|launch|connect|image|distribute): `)

// An answer that is lost after the call had its effect is asked for again, and
// what the lost one made is found instead of made twice.
func TestEveryAnswerLost(t *testing.T) {
	t.Parallel()
	sweep(t,
		func(context.CancelFunc) localaws.Fault { return localaws.Fault{Drop: true, After: true} },
		func(w *world, r result) {
			if r.err != nil {
				w.Errorf("the build failed: %v", r.err)
			}
			w.verdictIsRight(r)
			w.nothingLeft(r)
		})
}

func TestCancelledAtEveryCall(t *testing.T) {
	t.Parallel()
	sweep(t,
		func(cancel context.CancelFunc) localaws.Fault {
			return localaws.Fault{Before: func(localaws.Call) { cancel() }}
		},
		func(w *world, r result) {
			if r.err != nil && errors.Is(r.err, context.Canceled) {
				w.Errorf("the context's own error is told: %v", r.err)
			}
			w.verdictIsRight(r)
			if r.err != nil && strings.Contains(r.err.Error(), "kept, because") {
				w.onlyNamed(r) // cancelled at the moment in which the image became available
				return
			}
			w.nothingLeft(r)
		})
}

// A spot build with everything that only such a one has: fleet and launch
// template, a role with managed policies, volumes that outlive their instance.
func (w *world) spot() block {
	return w.template(block{
		"communicator": "none", "skip_create_ami": true,
		"instance_type": "", "spot_instance_types": []string{"t3.small", "t3.medium"},
		"temporary_iam_instance_profile_policy_arns": []string{"arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"},
		"launch_block_device_mappings":               []block{{"device_name": "/dev/sdf", "volume_size": 5, "delete_on_termination": false}},
		"decode_authorization_messages":              true,
	})
}

// spotCalls is how many calls the build of spot makes at most.
const spotCalls = 34

func sweepSpot(t *testing.T, fault func(cancel context.CancelFunc) localaws.Fault, check func(w *world, r result)) {
	for nth := 1; nth <= spotCalls; nth++ {
		at := strike{"", nth}
		t.Run(at.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, localaws.Options{NoMachines: true})
			w.struck(w.spot(), nil, at, fault, check)
		})
	}
}

func TestEveryCallOfSpotRefused(t *testing.T) {
	t.Parallel()
	sweepSpot(t,
		func(context.CancelFunc) localaws.Fault { return localaws.Fault{Deny: true} },
		func(w *world, r result) { w.onlyNamed(r) })
}

func TestEveryAnswerOfSpotLost(t *testing.T) {
	t.Parallel()
	sweepSpot(t,
		func(context.CancelFunc) localaws.Fault { return localaws.Fault{Drop: true, After: true} },
		func(w *world, r result) {
			if r.err != nil {
				w.Errorf("the build failed: %v", r.err)
			}
			w.nothingLeft(r)
		})
}

func TestCancelledAtEveryCallOfSpot(t *testing.T) {
	t.Parallel()
	sweepSpot(t,
		func(cancel context.CancelFunc) localaws.Fault {
			return localaws.Fault{Before: func(localaws.Call) { cancel() }}
		},
		func(w *world, r result) { w.nothingLeft(r) })
}

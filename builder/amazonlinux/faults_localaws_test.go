//go:build linux

package amazonlinux_test

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// ec2 is a client of the account's owner, for what builds don't do.
func (w *world) ec2() *ec2.Client { return w.ec2In(localaws.DefaultAccount, region) }

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

// extraPolicy is what a template allows provisioners beside what the agent needs.
func extraPolicy() block {
	return block{"Statement": []block{{"Effect": "Allow", "Action": []string{"s3:GetObject"}, "Resource": []string{"*"}}}}
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

var phased = regexp.MustCompile(`^(plan|launch|connect|image|distribute): `)

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

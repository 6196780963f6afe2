//go:build linux

package amazonlinux_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// Every call of a build is struck in turn, by every kind of fault. Whatever
// strikes: the verdict is right, an image that is available is never lost, and
// AWS has nothing that the user is not told how to remove.

// A site is one call of a build: the nth of an action in a region, dry runs among them.
type site struct {
	service, action, region string
	nth                     int
}

func (s site) String() string { return fmt.Sprintf("%s-%s-%d", s.action, s.region, s.nth) }

// sitesOf are the calls of a log.
func sitesOf(calls []localaws.Call) []site {
	counts := map[site]int{}
	var sites []site
	for _, c := range calls {
		at := site{c.Service, c.Action, c.Region, 0}
		counts[at]++
		at.nth = counts[at]
		sites = append(sites, at)
	}
	return sites
}

// looks tells a call that only looks: how often a wait makes it differs from build to build.
func (s site) looks() bool {
	return strings.HasPrefix(s.action, "Describe") || strings.HasPrefix(s.action, "Get")
}

// A kind is a way in which a call fails.
type kind struct {
	name     string
	heals    bool          // the build succeeds all the same
	retries  int           // of the template; 0 for the default
	attempts time.Duration // limit of one try; 0 for the default
	changes  bool          // not for a call that only looks: it has no effect, and whatever refuses it is the same
	fault    localaws.Fault
	then     func(w *world, cancel context.CancelFunc) // what happens at the call, beside the fault
}

const (
	throttling = "RequestLimitExceeded"
	hung       = 1500 * time.Millisecond // is given up on
)

// expired is what each service says of credentials that have expired.
var expired = map[string]string{"ec2": "RequestExpired", "ssm": "ExpiredTokenException", "iam": "ExpiredToken", "sts": "ExpiredToken", "kms": "ExpiredTokenException"}

var kinds = []kind{
	{name: "refused", fault: localaws.Fault{Deny: true}},
	{name: "throttled", heals: true, fault: localaws.Fault{Code: throttling}},
	{name: "unanswered", heals: true, attempts: hung, fault: localaws.Fault{Hang: true}},
	{name: "unanswered after its effect", heals: true, changes: true, attempts: hung, fault: localaws.Fault{Hang: true, After: true}},
	{name: "unanswered for good", changes: true, retries: 2, attempts: hung, fault: localaws.Fault{Hang: true, Times: -1}},
	{name: "throttled for good", changes: true, retries: 2, fault: localaws.Fault{Code: throttling, Times: -1}},
	{name: "answer lost", heals: true, fault: localaws.Fault{Drop: true, After: true}},
	{name: "credentials expired", then: func(w *world, _ context.CancelFunc) {
		for service, code := range expired {
			w.aws.Inject(localaws.Fault{Service: service, Code: code, Times: -1})
		}
	}},
	{name: "cancelled", then: func(_ *world, cancel context.CancelFunc) { cancel() }},
}

// A scene is a build that is struck: a world, and the template of a build in it.
type scene struct {
	set       func(t *testing.T) (*world, block, map[string]string) // the last are older images of the name, by region
	provision hook
	strikes   func(site) bool // which calls; nil for all

	first func(w *world, cancel context.CancelFunc) // goes wrong before; nil for nothing
	fails string                                    // what the error says of that, whatever strikes then; "" where the build heals
}

// sweep strikes the calls of a scene's build one by one.
func (s scene) sweep(t *testing.T) {
	t.Helper()
	w, raw, _ := s.set(t)
	before := len(w.aws.Calls())
	if r := w.build(t.Context(), raw, s.provision); r.err != nil {
		t.Fatalf("without a fault: %v\n%s", r.err, r.ui)
	}
	for _, at := range sitesOf(w.aws.Calls()[before:]) {
		if s.strikes != nil && !s.strikes(at) {
			continue
		}
		for _, k := range kinds {
			if !at.looks() || !k.changes {
				s.run(t, k, at)
			}
		}
	}
}

func (s scene) run(t *testing.T, k kind, at site) {
	t.Helper()
	t.Run(at.String()+" "+k.name, func(t *testing.T) {
		t.Parallel()
		s.strike(t, k, at)
	})
}

func (s scene) strike(t *testing.T, k kind, at site) {
	t.Helper()
	w, raw, old := s.set(t)
	if k.retries > 0 {
		raw["max_retries"], raw["ssm_timeout"] = k.retries, "8s"
	}
	w.attempts = k.attempts
	if s.first != nil && k.attempts > 0 {
		w.attempts = 3 * k.attempts // the calls up to the one that is struck must be answered, however busy the machine is
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	before, calls, changes := w.aws.Leftovers(), len(w.aws.Calls()), len(w.aws.Changes())
	var struck atomic.Bool
	f := k.fault
	f.Service, f.Action, f.Region, f.Nth = at.service, at.action, at.region, at.nth
	if k.name == "credentials expired" {
		f.Code = expired[at.service] // of this call, too
	}
	f.Before = func(localaws.Call) {
		if !struck.Swap(true) && k.then != nil {
			k.then(w, cancel)
		}
	}
	w.aws.Inject(f)
	if s.first != nil {
		s.first(w, cancel)
	}
	r := w.build(ctx, raw, s.provision)
	w.aws.Heal()
	if !struck.Load() && (!at.looks() || s.first != nil) { // how often a wait looks differs
		t.Errorf("the build does not call %s", at)
	}
	w.judge(k, s.fails, r, before, old, w.aws.Changes()[changes:])
	if t.Failed() {
		t.Logf("of %d calls; the user saw:\n%s\nerror: %v", len(w.aws.Calls())-calls, r.ui, r.err)
	}
}

// judge holds a build that was struck to what it owes.
func (w *world) judge(k kind, fails string, r result, before []string, old map[string]string, changes []localaws.Change) {
	w.Helper()
	if fails == "" && k.heals && r.err != nil {
		w.Errorf("the build failed: %v", r.err)
	}
	if fails != "" && (r.err == nil || !strings.Contains(r.err.Error(), fails)) {
		w.Errorf("the error does not say %q: %v", fails, r.err)
	}
	if r.err != nil && !phased.MatchString(r.err.Error()) && !strings.HasPrefix(r.err.Error(), "the build was cancelled") {
		w.Errorf("the error does not name its phase: %v", r.err)
	}
	if r.err != nil && errors.Is(r.err, context.Canceled) {
		w.Errorf("the context's own error is told: %v", r.err)
	}
	if r.artifact != nil || r.err == nil {
		w.artifactIsThere(r)
	}
	w.imagesAreKept(r, changes)
	w.nameIsSound(r, old)
	if left := w.untold(r, before); len(left) > 0 {
		w.Errorf("left and not told:\n%s", strings.Join(left, "\n"))
	}
}

// artifactIsThere: an artifact comes without an error, and its images are available. A build that makes no image has none.
func (w *world) artifactIsThere(r result) {
	w.Helper()
	if r.artifact != nil {
		w.verdictIsRight(r)
	}
}

// imagesAreKept: an image that a build which failed had made is still there and told, or its
// snapshots are in one that has taken its place. What AWS had made available and nobody had seen is no exception.
func (w *world) imagesAreKept(r result, changes []localaws.Change) {
	w.Helper()
	if r.err == nil {
		return
	}
	for _, c := range changes {
		if c.State != "available" {
			continue
		}
		there := slices.ContainsFunc(w.aws.Leftovers(), func(line string) bool { return strings.Contains(line, c.Resource) })
		replaced := slices.ContainsFunc(changes, func(later localaws.Change) bool {
			return later.State == "available" && later.Region == c.Region && later.Time.After(c.Time)
		})
		if !there && !replaced {
			w.Errorf("%s in %s was available, and is lost", c.Resource, c.Region)
		}
	}
}

func TestEveryCallOfAWholeBuild(t *testing.T) {
	t.Parallel()
	scene{set: wholeAgain}.sweep(t)
}

func TestEveryCallOfASpotBuild(t *testing.T) {
	t.Parallel()
	scene{set: func(t *testing.T) (*world, block, map[string]string) {
		t.Helper()
		w := newWorld(t, localaws.Options{NoMachines: true})
		return w, w.spot(), nil
	}}.sweep(t)
}

// connected is a scene of a build that connects to its instance.
func connected(more block, strikes func(site) bool) scene {
	return scene{
		set: func(t *testing.T) (*world, block, map[string]string) {
			t.Helper()
			w := newWorld(t, localaws.Options{})
			raw := w.template(more)
			return w, raw, nil
		},
		provision: touch,
		strikes: func(at site) bool {
			return at.service == "ssm" && at.action != "GetParameter" && at.nth == 1 && strikes(at)
		},
	}
}

// The calls that only a build makes that connects.
func TestEveryCallOfAConnection(t *testing.T) {
	t.Parallel()
	connected(block{"skip_create_ami": true}, func(at site) bool { return at.action != "TerminateSession" }).sweep(t)
}

// The call that ends the session, before the image is made.
func TestEveryCallOfAParting(t *testing.T) {
	t.Parallel()
	connected(nil, func(at site) bool { return at.action == "TerminateSession" }).sweep(t)
}

// others are templates whose builds make a call that the others don't.
var others = map[string]struct {
	more block
	set  func(w *world) // what the build finds
}{
	"GetInstanceProfile": {block{"shared_iam_instance_profile": "builders", "skip_create_ami": true}, func(w *world) {
		if _, r := w.launched(block{"shared_iam_instance_profile": "builders"}); r.err != nil {
			w.Fatal(r.err)
		}
	}},
	"GetServiceSetting":                   {block{"iam_mode": "default_host_management", "skip_create_ami": true}, (*world).hostManagement},
	"GetImageBlockPublicAccessState":      {block{"ami_groups": []string{"all"}}, nil},
	"EnableImageDeregistrationProtection": {block{"deregistration_protection": block{"enabled": true}}, nil},
	"GetEbsEncryptionByDefault":           {block{"encrypt_boot": false}, nil},
	"GetEbsDefaultKmsKeyId": {block{"encrypt_boot": true, "ami_users": []string{localaws.OtherAccount}}, func(w *world) {
		_, err := w.ec2().ModifyEbsDefaultKmsKeyId(w.Context(), &ec2.ModifyEbsDefaultKmsKeyIdInput{KmsKeyId: aws.String(w.key(region))})
		if err != nil {
			w.Fatal(err)
		}
	}},
}

func TestEveryCallOfOtherBuilds(t *testing.T) {
	t.Parallel()
	for action, test := range others {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			scene{
				set: func(t *testing.T) (*world, block, map[string]string) {
					t.Helper()
					w := newWorld(t, localaws.Options{NoMachines: true})
					if test.set != nil {
						test.set(w)
					}
					return w, w.unconnected(test.more), nil
				},
				strikes: func(at site) bool { return at.action == action },
			}.sweep(t)
		})
	}
}

// connecting are the calls that TestEveryCallOfAConnection and TestEveryCallOfAParting strike.
var connecting = []string{"DescribeInstanceInformation", "SendCommand", "GetCommandInvocation", "StartSession", "TerminateSession"}

// No call of AWS's that the builder can make is left out.
func TestNoCallIsLeftOut(t *testing.T) {
	t.Parallel()
	struck := slices.Clone(connecting)
	for _, s := range sequels {
		struck = append(struck, s.action)
	}
	struck = append(struck, slices.Collect(maps.Keys(others))...)
	whole, raw, _ := wholeAgain(t)
	spot := newWorld(t, localaws.Options{NoMachines: true})
	for w, raw := range map[*world]block{whole: raw, spot: spot.spot()} {
		before := len(w.aws.Calls())
		if r := w.build(t.Context(), raw, nil); r.err != nil {
			t.Fatal(r.err)
		}
		for _, at := range sitesOf(w.aws.Calls()[before:]) {
			struck = append(struck, at.action)
		}
	}
	for _, action := range callsOfClients(t) {
		if !slices.Contains(struck, action) {
			t.Errorf("no fault strikes %s", action)
		}
	}
}

// callsOfClients are the calls that clients.go lists.
func callsOfClients(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "clients.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var calls []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, isType := n.(*ast.TypeSpec)
		if !isType || !strings.HasSuffix(spec.Name.Name, "Calls") {
			return true
		}
		if list, isStruct := spec.Type.(*ast.StructType); isStruct {
			for _, field := range list.Fields.List {
				for _, name := range field.Names {
					calls = append(calls, name.Name)
				}
			}
		}
		return false
	})
	return calls
}

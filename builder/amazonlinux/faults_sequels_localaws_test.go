//go:build linux

package amazonlinux_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// Some calls are made only after something has gone wrong. Each is struck as the others are: what
// went wrong first stays what the user is told, and nothing is left but what is told.

// A sequel is such a call, and the build that makes it.
type sequel struct {
	service, action, region string
	nth                     int
	options                 localaws.Options
	more                    block // of the template
	first                   func(w *world, cancel context.CancelFunc)
	provision               func(w *world) hook
	fails                   string   // what the error says, whatever becomes of the call; "" where the build heals
	kinds                   []string // of fault; nil for all: builds with machines take the processor
}

var sequels = map[string]sequel{
	"a command is cancelled": {
		service: "ssm", action: "CancelCommand", region: region,
		options: localaws.Options{NoMachines: true, Delays: &localaws.Delays{CommandDelivery: time.Hour}},
		more:    block{"skip_create_ami": true},
		first: func(w *world, cancel context.CancelFunc) {
			w.aws.Inject(localaws.Fault{Action: "GetCommandInvocation", Before: func(localaws.Call) { cancel() }})
		},
		fails: "the build was cancelled",
	},
	"a refusal is explained": {
		service: "sts", action: "DecodeAuthorizationMessage", region: region,
		options: localaws.Options{NoMachines: true},
		more:    block{"communicator": "none", "decode_authorization_messages": true},
		first: func(w *world, _ context.CancelFunc) {
			w.aws.Inject(localaws.Fault{Action: "RunInstances", Times: -1, Deny: true})
		},
		fails: "plan: RunInstances: UnauthorizedOperation",
	},
	"a launch's refusal is explained": {
		service: "sts", action: "DecodeAuthorizationMessage", region: region,
		options: localaws.Options{NoMachines: true},
		more:    block{"communicator": "none", "decode_authorization_messages": true},
		first: func(w *world, _ context.CancelFunc) {
			w.aws.Inject(localaws.Fault{Action: "RunInstances", Where: map[string]string{"ClientToken": "*"}, Nth: 2, Times: -1, Deny: true})
		},
		fails: "launch: ",
	},
	"a cancelled copy's snapshots are looked at": {
		service: "ec2", action: "DescribeSnapshots", region: west,
		options: localaws.Options{NoMachines: true, Delays: &localaws.Delays{CopyPending: time.Hour}},
		more:    block{"communicator": "none", "ami_regions": []string{west}},
		first:   cancelledCopy, fails: "the build was cancelled",
	},
	"a cancelled copy's snapshots are listed": {
		service: "ec2", action: "DescribeSnapshots", region: west, nth: 2,
		options: localaws.Options{NoMachines: true, Delays: &localaws.Delays{CopyPending: time.Hour}},
		more:    block{"communicator": "none", "ami_regions": []string{west}},
		first:   cancelledCopy, fails: "the build was cancelled",
	},
	"a failed copy's snapshots are listed": {
		service: "ec2", action: "DescribeSnapshots", region: west,
		options: localaws.Options{NoMachines: true, Delays: &localaws.Delays{CopyPending: time.Hour}},
		more:    block{"communicator": "none", "ami_regions": []string{west}},
		first: func(w *world, _ context.CancelFunc) {
			w.onceCopied(func(id string) { w.aws.FailImage(id, "Client.InvalidKMSKey", "the key is disabled") })
		},
		fails: "Client.InvalidKMSKey the key is disabled",
	},
	"a session is looked for": {
		service: "ssm", action: "DescribeSessions", region: region,
		more: block{"skip_create_ami": true},
		first: func(w *world, _ context.CancelFunc) {
			w.aws.Inject(localaws.Fault{Action: "StartSession", After: true, Drop: true})
		},
		provision: func(*world) hook { return touch },
		kinds:     []string{"refused", "unanswered for good", "answer lost", "credentials expired"},
	},
	"a console is read": {
		service: "ec2", action: "GetConsoleOutput", region: region,
		options: localaws.Options{NoMachines: true, Delays: &localaws.Delays{AgentOnline: time.Hour}},
		more:    block{"ssm_timeout": "1s"},
		first:   func(*world, context.CancelFunc) {},
		fails:   "connect: agent online: not within ",
	},
	"a session goes on": {
		service: "ssm", action: "ResumeSession", region: region,
		more:  block{"skip_create_ami": true},
		first: func(*world, context.CancelFunc) {},
		// What fails for good is tried for minutes there: the tests of session do that, on fake time.
		kinds: []string{"refused", "unanswered", "answer lost", "cancelled"},
		provision: func(w *world) hook {
			return func(ctx context.Context, comm packersdk.Communicator, data map[string]any) error {
				for _, s := range w.aws.Channels().Live() {
					s.CutClient()
				}
				return touch(ctx, comm, data)
			}
		},
	},
}

func cancelledCopy(w *world, cancel context.CancelFunc) { w.onceCopied(func(string) { cancel() }) }

// onceCopied acts once the copy in the west has been looked at.
func (w *world) onceCopied(act func(id string)) {
	w.aws.Inject(localaws.Fault{Action: "DescribeImages", Region: west, Times: -1, After: true, Before: func(localaws.Call) {
		for _, c := range w.aws.Changes() {
			if c.Region == west && c.State == "pending" && strings.HasPrefix(c.Resource, "ami-") {
				act(c.Resource)
			}
		}
	}})
}

func TestEveryCallOfASequel(t *testing.T) {
	t.Parallel()
	for name, q := range sequels {
		for _, k := range kinds {
			if q.kinds != nil && !slices.Contains(q.kinds, k.name) {
				continue
			}
			t.Run(name+" "+k.name, func(t *testing.T) {
				t.Parallel()
				var provision hook
				s := scene{first: q.first, fails: q.fails, set: func(t *testing.T) (*world, block, map[string]string) {
					t.Helper()
					w := newWorld(t, q.options)
					if q.provision != nil {
						provision = q.provision(w)
					}
					return w, w.template(q.more), nil
				}}
				s.provision = func(ctx context.Context, comm packersdk.Communicator, data map[string]any) error {
					if provision == nil {
						return nil
					}
					return provision(ctx, comm, data)
				}
				s.strike(t, k, site{q.service, q.action, q.region, max(q.nth, 1)})
			})
		}
	}
}

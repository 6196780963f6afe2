package amazonlinux

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// A recorder is a Ui that keeps what is said.
type recorder struct {
	packersdk.Ui
	mu   sync.Mutex
	said []string // guarded by mu
}

func (r *recorder) Say(s string)     { r.note(s) }
func (r *recorder) Message(s string) { r.note(s) }
func (r *recorder) Error(s string)   { r.note("error: " + s) }

func (r *recorder) note(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, s)
}

func (r *recorder) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.said, "\n")
}

func testBag(t *testing.T) (*build, *recorder, multistep.StateBag) {
	t.Helper()
	ui := new(recorder)
	b := &build{config: &Config{}, ui: ui, plan: &plan{region: "us-east-1"}}
	bag := new(multistep.BasicStateBag)
	bag.Put(stateBuild, b)
	return b, ui, bag
}

func TestConclude(t *testing.T) {
	_, ui, bag := testBag(t)
	if got := conclude(bag, errors.New("launch: no")); got != multistep.ActionHalt {
		t.Errorf("an error goes on: %v", got)
	}
	if errorOf(bag) == nil || ui.all() != "error: launch: no" {
		t.Errorf("stored %v, said %q", errorOf(bag), ui.all())
	}
	if got := conclude(bag, nil); got != multistep.ActionContinue || errorOf(bag) != nil {
		t.Errorf("after a retry that worked: %v, %v", got, errorOf(bag))
	}
}

func TestVerdict(t *testing.T) {
	boom := errors.New("image: boom")
	const none, available, whole = 0, 1, 2
	for name, test := range map[string]struct {
		ended    bool // the build's context
		image    int  // none, available, whole
		err      error
		state    string
		artifact bool
		want     string // in the error; "" for none
	}{
		"image":                        {false, whole, nil, "", true, ""},
		"image, then an error":         {false, whole, boom, multistep.StateHalted, true, ""},
		"image, then cancelled":        {true, whole, nil, multistep.StateCancelled, true, ""},
		"error":                        {false, none, boom, multistep.StateHalted, false, "image: boom"},
		"halted without a word":        {false, none, nil, multistep.StateHalted, false, "without saying why"},
		"cancelled":                    {true, none, context.Canceled, "", false, "the build was cancelled"},
		"cancelled, and another error": {true, none, boom, multistep.StateCancelled, false, "image: boom"},
		"available, then an error":     {false, available, boom, multistep.StateHalted, false, "kept, because"},
		"available, then cancelled":    {true, available, context.Canceled, multistep.StateCancelled, false, "ami-1 in us-east-1"},
		"nothing to make":              {false, none, nil, "", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, bag := testBag(t)
			image := []*pending{{target: target{region: "us-east-1", name: "web"}, id: "ami-1"}}
			if test.image != none {
				b.images = image
			}
			if test.image == whole {
				b.final = image
			}
			if test.err != nil {
				bag.Put(stateError, test.err)
			}
			if test.state != "" {
				bag.Put(test.state, true)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if test.ended {
				cancel()
			}
			got, err := new(Builder).verdict(ctx, bag)
			if (got != nil) != test.artifact {
				t.Errorf("artifact %v", got)
			}
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// Cleanup has a context of its own, and its failure is told and changes nothing.
func TestUndo(t *testing.T) {
	_, ui, bag := testBag(t)
	undo(bag, time.Minute, func(ctx context.Context, _ *build) error {
		if _, ok := ctx.Deadline(); !ok || ctx.Err() != nil {
			t.Errorf("context without deadline, or ended: %v", ctx.Err())
		}
		return errors.New("group sg-1: in use; delete it by hand")
	})
	if errorOf(bag) != nil || ui.all() != "error: cleanup: group sg-1: in use; delete it by hand" {
		t.Errorf("stored %v, said %q", errorOf(bag), ui.all())
	}
}

func TestLedgerTellsWhatIsLeft(t *testing.T) {
	var l ledger
	ui := new(recorder)
	l.tell(ui)
	l.enter("role r", "delete %s", "r")
	l.enter("role r", "delete it again")
	l.enter("instance i", "terminate i")
	l.enter("group g", "delete g")
	l.strike("group g")
	l.tell(ui)
	want := []string{
		"error: This build leaves behind, to be removed by hand:",
		"error:   instance i: terminate i",
		"error:   role r: delete r",
	}
	if diff := cmp.Diff(want, ui.said); diff != "" {
		t.Error(diff)
	}
}

func TestAwaitTellsWhatWasSeenLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		err := await(t.Context(), "agent online", 10*time.Minute, func(context.Context) (bool, string, error) {
			return false, "not registered", nil
		})
		if want := "agent online: not within 10m0s; the last thing seen was: not registered"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if took := time.Since(started); took != 10*time.Minute {
			t.Errorf("took %s", took)
		}
	})
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := await(ctx, "x", time.Hour, func(context.Context) (bool, string, error) { return false, "", nil })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// A request that makes something outlives the build's cancellation, and not for ever.
func TestCreatingOutlivesCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		longer, done := creating(ctx)
		defer done()
		cancel()
		time.Sleep(creatingGrace - time.Second)
		synctest.Wait()
		if longer.Err() != nil {
			t.Error("ended early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if longer.Err() == nil {
			t.Error("goes on for ever")
		}
	})
}

func TestRetryProfile(t *testing.T) {
	unseen := &smithy.GenericAPIError{Code: "InvalidParameterValue", Message: "Value (x) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"}
	other := &smithy.GenericAPIError{Code: "InvalidParameterValue", Message: "Value (x) for parameter groupId is invalid"}
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		err := retryProfile(t.Context(), func() error {
			if tries++; tries < 9 {
				return unseen
			}
			return nil
		})
		if err != nil || tries != 9 {
			t.Errorf("%d tries, %v", tries, err)
		}
		tries = 0
		if err := retryProfile(t.Context(), func() error { tries++; return other }); !errors.Is(err, other) || tries != 1 {
			t.Errorf("another parameter: %d tries, %v", tries, err)
		}
		started := time.Now()
		if err := retryProfile(t.Context(), func() error { return unseen }); err == nil || time.Since(started) > profileLimit+2*profilePoll {
			t.Errorf("never seen: %v after %s", err, time.Since(started))
		}
	})
}

func TestArtifact(t *testing.T) {
	images := []regional{{region: "eu-west-1", id: "ami-2"}, {region: "us-east-1", id: "ami-1"}}
	a := &Artifact{images: images, source: "ami-0", data: map[string]any{"SourceAMI": "ami-0"}}
	got := []any{a.BuilderId(), a.Id(), a.String(), a.Files(), a.State("nothing")}
	want := []any{"mitchellh.amazonebs", "eu-west-1:ami-2,us-east-1:ami-1", "AMIs were created:\neu-west-1: ami-2\nus-east-1: ami-1\n", []string(nil), nil}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Copies in other accounts are named, and not handed to those who take what is in the build's own.
func TestArtifactInOtherAccounts(t *testing.T) {
	there := regional{region: "us-east-1", id: "ami-3", account: "210987654321"}
	a := &Artifact{images: []regional{{region: "us-east-1", id: "ami-1"}, there}}
	alone := &Artifact{images: []regional{there}}
	got := []any{a.Id(), a.String(), alone.Id(), a.State("atlas.artifact.metadata")}
	want := []any{
		"us-east-1:ami-1", "AMIs were created:\nus-east-1: ami-1\nus-east-1 of account 210987654321: ami-3\n", "us-east-1:ami-3",
		map[string]string{"region.us-east-1": "ami-1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

//go:build linux

package amazonlinux_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// A provisioner's error is the build's, as it is.
func TestProvisionerFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	boom := errors.New("script exited with non-zero exit status: 3")
	r := w.build(t.Context(), w.template(nil), func(context.Context, packersdk.Communicator, map[string]any) error { return boom })
	if !errors.Is(r.err, boom) || r.artifact != nil {
		t.Errorf("artifact %v, error %v", r.artifact, r.err)
	}
	w.nothingLeft(r)
}

func TestCancelledWhileProvisioning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := w.build(ctx, w.template(nil), func(ctx context.Context, comm packersdk.Communicator, _ map[string]any) error {
		cancel()
		_, err := sh(ctx, comm, "sleep 600")
		return err
	})
	if r.err == nil || r.err.Error() != "the build was cancelled" {
		t.Errorf("error %v", r.err)
	}
	w.nothingLeft(r)
}

// A launch that EC2 carried out and never answered is found by its token.
func TestLaunchHangsAndIsCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	defer w.aws.Inject(localaws.Fault{Action: "RunInstances", Nth: 2, Times: -1, After: true, Hang: true, Before: func(localaws.Call) { cancel() }})()
	r := w.build(ctx, w.template(nil), nil)
	if r.err == nil || !strings.Contains(r.err.Error(), "cancelled") {
		t.Errorf("error %v", r.err)
	}
	if !slices.Contains(w.actions(), "ec2:TerminateInstances") {
		t.Error("the instance was not terminated")
	}
	w.nothingLeft(r)
}

// An instance that ends while its agent is awaited ends the wait, not ssm_timeout.
func TestInstanceDiesBeforeItsAgentIsOnline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{Delays: &localaws.Delays{AgentOnline: time.Hour}})
	defer w.aws.Inject(localaws.Fault{Action: "DescribeInstanceInformation", Before: func(localaws.Call) {
		go w.terminateAll()
	}})()
	r := w.build(t.Context(), w.template(block{"ssm_timeout": "10m"}), nil)
	if r.err == nil || !strings.Contains(r.err.Error(), "connect: instance i-") || !strings.Contains(r.err.Error(), "terminated") {
		t.Errorf("error %v", r.err)
	}
	w.nothingLeft(r)
}

func (w *world) terminateAll() {
	found, err := w.ec2().DescribeInstances(w.Context(), &ec2.DescribeInstancesInput{})
	if err != nil {
		w.Error(err)
		return
	}
	for _, reservation := range found.Reservations {
		for _, i := range reservation.Instances {
			_, err := w.ec2().TerminateInstances(w.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}})
			if err != nil {
				w.Error(err)
			}
		}
	}
}

func TestSkipCreateAMI(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	ran := false
	r := w.build(t.Context(), w.template(block{"skip_create_ami": true}), func(context.Context, packersdk.Communicator, map[string]any) error {
		ran = true
		return nil
	})
	if r.err != nil || r.artifact != nil || !ran {
		t.Errorf("artifact %v, error %v, provisioned %v", r.artifact, r.err, ran)
	}
	w.nothingLeft(r)
}

// -on-error=abort leaves everything, and tells what and how to remove it; only the session ends.
func TestAbortLeavesAndTells(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	r := w.build(t.Context(), w.template(block{"packer_on_error": "abort"}),
		func(context.Context, packersdk.Communicator, map[string]any) error { return errors.New("boom") })
	if r.err == nil {
		t.Fatal("no error")
	}
	said := r.ui.String()
	for _, want := range []string{"leaves behind", "terminate-instances", "delete-role --role-name", "delete-instance-profile"} {
		if !strings.Contains(said, want) {
			t.Errorf("not told: %q\n%s", want, said)
		}
	}
	left := strings.Join(w.aws.Leftovers(), "\n")
	if !strings.Contains(left, "instance") || strings.Contains(left, "session") {
		t.Errorf("left:\n%s", left)
	}
}

// -on-error=ask: a step is tried again, on what is there already.
func TestAskRetries(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"AddRoleToInstanceProfile", "RunInstances", "StartSession", "CreateImage"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, localaws.Options{})
			nth := 1
			if action == "RunInstances" || action == "CreateImage" {
				nth = 2 // the first is a dry run
			}
			defer w.aws.Inject(localaws.Fault{Action: action, Nth: nth, Deny: true})()
			r := w.build(t.Context(), w.template(block{"packer_on_error": "ask"}), touch)
			if r.err != nil {
				t.Errorf("%v\n%s", r.err, r.ui)
			}
			if asked := strings.Count(r.ui.String(), "asked: "); asked != 1 {
				t.Errorf("asked %d times\n%s", asked, r.ui)
			}
			w.nothingLeft(r)
		})
	}
}

func TestBuildsSideBySide(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{Profile: localaws.Demo})
	results := make([]result, 2)
	done := make(chan int)
	for i := range results {
		go func() {
			results[i] = w.build(t.Context(), w.template(block{"ami_name": fmt.Sprintf("web-%d", i)}), touch)
			done <- i
		}()
	}
	for range results {
		<-done
	}
	for _, r := range results {
		if r.err != nil {
			t.Errorf("%v\n%s", r.err, r.ui)
		}
	}
}

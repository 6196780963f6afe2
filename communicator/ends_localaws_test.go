//go:build linux

package communicator_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/communicator"
	"github.com/taccoform/packer-plugin-ssm/session"
)

// TestEnds is the table of what a build does not survive, and how it is told.
func TestEnds(t *testing.T) {
	t.Parallel()
	ended := func(t *testing.T, err error) {
		t.Helper()
		var ended *session.EndedError
		if !errors.As(err, &ended) || ended.Reason != session.ReasonTerminated {
			t.Errorf("error %v", err)
		}
	}
	t.Run("terminated by an operator", func(t *testing.T) {
		t.Parallel()
		x := newCloud(t).through(t, nil, asItIs, 1)
		next, upload := x.end(func() {
			_, err := x.ssm.TerminateSession(t.Context(), &ssm.TerminateSessionInput{SessionId: aws.String(x.wire().ID())})
			if err != nil {
				t.Error(err)
			}
		})
		ended(t, next)
		ended(t, upload)
		x.until("the command has ended too", func() bool {
			out, err := x.run(t.Context(), "pgrep -f 'sleep 471[1]' || :")
			return err == nil && out == ""
		})
	})
	t.Run("instance gone", func(t *testing.T) {
		t.Parallel()
		x := newCloud(t).through(t, nil, asItIs, 1)
		next, upload := x.end(func() {
			_, err := ec2.NewFromConfig(x.config()).TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{x.instance}})
			if err != nil {
				t.Error(err)
			}
		})
		if !errors.Is(next, communicator.ErrPermanent) || !errors.Is(upload, communicator.ErrPermanent) {
			t.Errorf("errors %v, %v", next, upload)
		}
	})
}

// end has something end the build in the middle of a command and of an upload,
// and gives the errors of the next command and of the upload.
func (x *trial) end(how func()) (next, upload error) {
	began := make(chan struct{})
	cmd := &packersdk.RemoteCmd{Command: "echo up; sleep 4711", Stdout: &trigger{due: map[int]func(){3: func() { close(began) }}}}
	if err := x.comm.Start(x.t.Context(), cmd); err != nil {
		x.t.Fatal(err)
	}
	<-began
	begun := x.wire().Stats().FromClient
	var uploading sync.WaitGroup
	uploading.Go(func() { upload = x.comm.Upload("/tmp/f", bytes.NewReader(random(20<<20)), nil) })
	x.until("the upload is under way", func() bool { return x.wire().Stats().FromClient > begun+100 })
	start := time.Now()
	how()
	if status := cmd.Wait(); status != packersdk.CmdDisconnect {
		x.t.Errorf("exit status %d", status)
	}
	next = x.comm.Start(x.t.Context(), &packersdk.RemoteCmd{Command: "exit 0"})
	uploading.Wait()
	x.t.Logf("after %s: %v", time.Since(start).Round(time.Millisecond), next)
	return next, upload
}

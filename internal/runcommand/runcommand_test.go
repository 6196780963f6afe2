package runcommand

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is a Systems Manager that knows one command and moves it along by
// the clock.
type service struct {
	refusals []error       // of SendCommand, in turn
	appears  time.Duration // after sending, until it can be looked up
	troubles []error       // of GetCommandInvocation once it appeared, in turn
	takes    time.Duration // from sending to its end
	ends     ssm.GetCommandInvocationOutput

	sent      time.Time
	sends     int
	polls     int
	input     *ssm.SendCommandInput
	cancelled bool
}

func refusal(code string, fault smithy.ErrorFault) error {
	return &smithy.GenericAPIError{Code: code, Message: "no", Fault: fault}
}

func next(errs *[]error) error {
	if len(*errs) == 0 {
		return nil
	}
	err := (*errs)[0]
	*errs = (*errs)[1:]
	return err
}

func (s *service) SendCommand(ctx context.Context, in *ssm.SendCommandInput, _ ...func(*ssm.Options)) (*ssm.SendCommandOutput, error) {
	s.sends++
	if err := next(&s.refusals); err != nil {
		return nil, err
	}
	s.sent, s.input = time.Now(), in
	return &ssm.SendCommandOutput{Command: &types.Command{CommandId: aws.String("c-1")}}, ctx.Err()
}

func (s *service) GetCommandInvocation(ctx context.Context, in *ssm.GetCommandInvocationInput, _ ...func(*ssm.Options)) (*ssm.GetCommandInvocationOutput, error) {
	s.polls++
	if aws.ToString(in.CommandId) != "c-1" || aws.ToString(in.InstanceId) != "i-1" {
		return nil, refusal("InvalidCommandId", smithy.FaultClient)
	}
	if time.Since(s.sent) < s.appears {
		return nil, refusal("InvocationDoesNotExist", smithy.FaultClient)
	}
	if err := next(&s.troubles); err != nil {
		return nil, err
	}
	if time.Since(s.sent) < s.takes {
		return &ssm.GetCommandInvocationOutput{
			Status: types.CommandInvocationStatusInProgress, StatusDetails: aws.String("InProgress"), ResponseCode: -1,
		}, ctx.Err()
	}
	out := s.ends
	return &out, ctx.Err()
}

func (s *service) CancelCommand(ctx context.Context, in *ssm.CancelCommandInput, _ ...func(*ssm.Options)) (*ssm.CancelCommandOutput, error) {
	s.cancelled = aws.ToString(in.CommandId) == "c-1" && ctx.Err() == nil
	return &ssm.CancelCommandOutput{}, ctx.Err()
}

func ended(status types.CommandInvocationStatus, detail string, code int32) ssm.GetCommandInvocationOutput {
	return ssm.GetCommandInvocationOutput{
		Status: status, StatusDetails: aws.String(detail), ResponseCode: code,
		StandardOutputContent: aws.String("out\n"), StandardErrorContent: aws.String("first\nlast words\n"),
	}
}

func TestRunFollowsToSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{
			refusals: []error{refusal("ThrottlingException", smithy.FaultClient), refusal("InvalidInstanceId", smithy.FaultClient)},
			appears:  3 * time.Second,
			troubles: []error{refusal("InternalServerError", smithy.FaultServer), errors.New("connection reset by peer")},
			takes:    90 * time.Second,
			ends:     ended(types.CommandInvocationStatusSuccess, "Success", 0),
		}
		var seen []Status
		req := Shell("i-1", "echo out", time.Minute)
		req.Comment = strings.Repeat("é", 150)
		req.Progress = func(r Result) { seen = append(seen, r.Status) }
		start := time.Now()
		got, err := Run(t.Context(), s, req)
		if err != nil {
			t.Fatal(err)
		}
		want := Result{CommandID: "c-1", Status: Success, Detail: "Success", Stdout: "out\n", Stderr: "first\nlast words\n"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("result (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]Status{Running, Success}, seen); diff != "" {
			t.Errorf("progress (-want +got):\n%s", diff)
		}
		// Steady polls: the end is seen within a second of it.
		if late := time.Since(start) - 90*time.Second; late > 2*time.Second {
			t.Errorf("the end was seen %s late", late)
		}
		if s.sends != 3 || s.cancelled {
			t.Errorf("sent %d times, cancelled %v", s.sends, s.cancelled)
		}
		checkInput(t, s.input)
	})
}

func checkInput(t *testing.T, in *ssm.SendCommandInput) {
	t.Helper()
	if got := aws.ToString(in.DocumentName); got != ShellDocument {
		t.Errorf("document %q", got)
	}
	want := map[string][]string{"commands": {"echo out"}, "executionTimeout": {"60"}}
	if diff := cmp.Diff(want, in.Parameters); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
	if got := len([]rune(aws.ToString(in.Comment))); got != 100 {
		t.Errorf("comment of %d characters", got)
	}
	if got := aws.ToInt32(in.TimeoutSeconds); got != 30 {
		t.Errorf("delivery timeout %d s", got)
	}
}

func TestRunTellsEndingsApart(t *testing.T) {
	for _, c := range []struct {
		status types.CommandInvocationStatus
		detail string
		code   int32
		want   Status
		exit   bool
	}{
		{types.CommandInvocationStatusFailed, "Failed", 42, Failed, true},
		{types.CommandInvocationStatusFailed, "", 255, Failed, true},
		{types.CommandInvocationStatusFailed, "Undeliverable", -1, Undeliverable, false},
		{types.CommandInvocationStatusFailed, "Execution Timed Out", 137, ExecutionTimedOut, false},
		{types.CommandInvocationStatusTimedOut, "ExecutionTimedOut", -1, ExecutionTimedOut, false},
		{types.CommandInvocationStatusTimedOut, "Delivery Timed Out", -1, DeliveryTimedOut, false},
		{types.CommandInvocationStatusCancelled, "Cancelled", -1, Cancelled, false},
		{types.CommandInvocationStatusCancelled, "Terminated", -1, Terminated, false},
	} {
		t.Run(fmt.Sprint(c.status, c.detail), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &service{takes: time.Second, ends: ended(c.status, c.detail, c.code)}
				got, err := Run(t.Context(), s, Shell("i-1", "hunter2", 0))
				var failure *Error
				if !errors.As(err, &failure) || failure.Result.Status != c.want || got.Status != c.want {
					t.Fatalf("got %v, %v; want %s", got.Status, err, c.want)
				}
				if code, exited := failure.ExitStatus(); exited != c.exit || exited && code != int(c.code) {
					t.Errorf("exit status %d, %v", code, exited)
				}
				if text := err.Error(); strings.Contains(text, "hunter2") || !strings.Contains(text, "first last words") {
					t.Errorf("error %q", text)
				}
				if s.cancelled {
					t.Error("a command that had ended was cancelled")
				}
			})
		})
	}
}

func TestRunGivesUp(t *testing.T) {
	throttled := make([]error, 1000)
	for i := range throttled {
		throttled[i] = refusal("ThrottlingException", smithy.FaultClient)
	}
	for name, c := range map[string]struct {
		service service
		code    string
		cancel  bool
	}{
		"denied":          {service{refusals: []error{refusal("AccessDeniedException", smithy.FaultClient)}}, "AccessDeniedException", false},
		"throttled":       {service{refusals: throttled}, "ThrottlingException", false},
		"look-up denied":  {service{troubles: []error{refusal("AccessDeniedException", smithy.FaultClient)}}, "AccessDeniedException", true},
		"look-up trouble": {service{troubles: throttled}, "ThrottlingException", true},
		"never appears":   {service{appears: time.Hour}, "InvocationDoesNotExist", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, start := c.service, time.Now()
				_, err := Run(t.Context(), &s, Shell("i-1", "true", 0))
				if codeOf(err) != c.code {
					t.Errorf("error %v, want code %s", err, c.code)
				}
				if time.Since(start) > 2*time.Minute {
					t.Errorf("gave up after %s", time.Since(start))
				}
				if s.cancelled != c.cancel {
					t.Errorf("cancelled: %v, want %v", s.cancelled, c.cancel)
				}
			})
		})
	}
}

func TestRunCancelsTheCommandWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{takes: time.Hour}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		got, err := Run(ctx, s, Shell("i-1", "sleep 3600", 0))
		if !errors.Is(err, context.DeadlineExceeded) || got.Status != Running {
			t.Errorf("got %v, %v", got.Status, err)
		}
		if !strings.Contains(err.Error(), "command c-1 (inprogress)") {
			t.Errorf("error %q does not say what was seen last", err)
		}
		if !s.cancelled {
			t.Error("the command was left running")
		}
	})
}

func TestLastLines(t *testing.T) {
	for _, c := range [][2]string{
		{"", ""}, {"one\ntwo\n", "one two"}, {strings.Repeat("x", 600), strings.Repeat("x", 500)},
		{strings.Repeat("y", 600) + "\nend", "end"},
	} {
		if got := lastLines(c[0], 500); got != c[1] {
			t.Errorf("lastLines(%.20q...) = %q, want %q", c[0], got, c[1])
		}
	}
}

// Package runcommand sends one Run Command to one instance, follows it to its
// end and returns what it wrote and how it ended.
//
// A command is sent once. Only a refusal that certainly had no effect
// (throttling, an instance that Systems Manager does not know yet) is tried
// again, for a bounded time. Polls are steady, so that the end of a command is
// seen within a second. Parameters are never logged or put in an error.
package runcommand

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// ShellDocument is the AWS document that runs shell scripts as root.
const ShellDocument = "AWS-RunShellScript"

const (
	firstPoll     = 200 * time.Millisecond
	slowestPoll   = time.Second
	sendLimit     = 30 * time.Second // for refusals of SendCommand that pass
	appearLimit   = 60 * time.Second // until the sent command can be looked up
	troubleLimit  = 60 * time.Second // for look-ups that fail one after another
	cancelLimit   = 5 * time.Second
	shortestLimit = 30 * time.Second // of TimeoutSeconds, by the API
)

// API is what a run needs of *ssm.Client.
type API interface {
	SendCommand(context.Context, *ssm.SendCommandInput, ...func(*ssm.Options)) (*ssm.SendCommandOutput, error)
	GetCommandInvocation(context.Context, *ssm.GetCommandInvocationInput, ...func(*ssm.Options)) (*ssm.GetCommandInvocationOutput, error)
	CancelCommand(context.Context, *ssm.CancelCommandInput, ...func(*ssm.Options)) (*ssm.CancelCommandOutput, error)
}

// Request is one document to run on one instance.
type Request struct {
	InstanceID string              // the target, "i-..."
	Document   string              // name or ARN; ShellDocument when empty
	Version    string              // of the document; its default version when empty
	Parameters map[string][]string // never logged
	Comment    string              // shown in the command history; cut to the API's 100 characters
	Step       string              // whose output is wanted, for documents of several steps
	// Delivery is how long the service may take to hand the command to the
	// agent: 30 s at least, which is also what zero means.
	Delivery time.Duration
	// Progress is called with each status that differs from the one before.
	Progress func(Result)
}

// Shell is the request that runs a shell script as root. The agent kills the
// script after limit; zero leaves that at the document's hour.
func Shell(instanceID, script string, limit time.Duration) Request {
	parameters := map[string][]string{"commands": {script}}
	if limit > 0 {
		parameters["executionTimeout"] = []string{fmt.Sprint(max(1, int(limit.Seconds())))}
	}
	return Request{InstanceID: instanceID, Document: ShellDocument, Parameters: parameters}
}

// Result is how far a command has come, or how it ended.
type Result struct {
	CommandID string
	Status    Status
	Detail    string // the service's own words for the status
	ExitCode  int    // -1 until the script has ended
	Stdout    string // at most 24,000 characters, and only once the command has ended
	Stderr    string // at most 8,000 characters
}

// Run sends the command and returns when it has ended. A command that ended in
// any way but success is an *Error, with the Result filled in beside it. When
// ctx ends first, the command is cancelled on the instance and ctx's error is
// returned with the last status seen.
func Run(ctx context.Context, api API, req Request) (Result, error) {
	r := run{api: api, req: req, sent: time.Now(), last: Result{ExitCode: -1}}
	id, err := r.send(ctx)
	if err != nil {
		return r.last, fmt.Errorf("run %s on %s: %w", req.document(), req.InstanceID, err)
	}
	r.last.CommandID = id
	if err := r.follow(ctx); err != nil {
		r.cancel(ctx)
		return r.last, fmt.Errorf("run %s on %s: command %s (%s): %w",
			req.document(), req.InstanceID, id, r.last.describe(), err)
	}
	if r.last.Status != Success {
		return r.last, &Error{InstanceID: req.InstanceID, Document: req.document(), Result: r.last}
	}
	return r.last, nil
}

func (r Request) document() string {
	if r.Document == "" {
		return ShellDocument
	}
	return r.Document
}

func (r Request) input() *ssm.SendCommandInput {
	in := &ssm.SendCommandInput{
		DocumentName:   aws.String(r.document()),
		InstanceIds:    []string{r.InstanceID},
		Parameters:     r.Parameters,
		TimeoutSeconds: aws.Int32(int32(max(shortestLimit, r.Delivery).Seconds())),
	}
	if r.Version != "" {
		in.DocumentVersion = aws.String(r.Version)
	}
	if r.Comment != "" {
		comment := []rune(r.Comment)
		in.Comment = aws.String(string(comment[:min(len(comment), 100)]))
	}
	return in
}

// run is one command on its way; it belongs to the goroutine that calls Run.
type run struct {
	api  API
	req  Request
	sent time.Time
	last Result
}

func (r *run) send(ctx context.Context) (string, error) {
	for pause := firstPoll; ; pause = slower(pause) {
		out, err := r.api.SendCommand(ctx, r.req.input())
		if err == nil {
			r.sent = time.Now()
			return commandID(out)
		}
		if !refusedForNow(err) || time.Since(r.sent) > sendLimit {
			return "", err
		}
		if ended := wait(ctx, pause); ended != nil {
			return "", fmt.Errorf("%w; last answer: %w", ended, err)
		}
	}
}

func commandID(out *ssm.SendCommandOutput) (string, error) {
	if out == nil || out.Command == nil || aws.ToString(out.Command.CommandId) == "" {
		return "", fmt.Errorf("SendCommand answered without a command id")
	}
	return aws.ToString(out.Command.CommandId), nil
}

// follow polls until the command has ended.
func (r *run) follow(ctx context.Context) error {
	trouble := time.Time{}
	for pause := firstPoll; ; pause = slower(pause) {
		if err := wait(ctx, pause); err != nil {
			return err
		}
		seen, err := r.look(ctx)
		switch {
		case err == nil:
			trouble = time.Time{}
			r.note(seen)
			if seen.Status.Final() {
				return nil
			}
		case ctx.Err() != nil:
			return ctx.Err()
		case notThereYet(err) && time.Since(r.sent) < appearLimit:
		case !passing(err):
			return err
		case trouble.IsZero():
			trouble = time.Now()
		case time.Since(trouble) > troubleLimit:
			return err
		}
	}
}

func (r *run) look(ctx context.Context) (Result, error) {
	in := &ssm.GetCommandInvocationInput{
		CommandId:  aws.String(r.last.CommandID),
		InstanceId: aws.String(r.req.InstanceID),
	}
	if r.req.Step != "" {
		in.PluginName = aws.String(r.req.Step)
	}
	out, err := r.api.GetCommandInvocation(ctx, in)
	if err != nil {
		return Result{}, err
	}
	return Result{
		CommandID: r.last.CommandID,
		Status:    statusOf(out.Status, aws.ToString(out.StatusDetails)),
		Detail:    detailOf(out.Status, aws.ToString(out.StatusDetails)),
		ExitCode:  int(out.ResponseCode),
		Stdout:    aws.ToString(out.StandardOutputContent),
		Stderr:    aws.ToString(out.StandardErrorContent),
	}, nil
}

func (r *run) note(seen Result) {
	changed := seen.Status != r.last.Status || seen.Detail != r.last.Detail
	r.last = seen
	if changed && r.req.Progress != nil {
		r.req.Progress(seen)
	}
}

// cancel stops the command on the instance, whatever became of the caller.
func (r *run) cancel(ctx context.Context) {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), cancelLimit)
	defer done()
	// The caller already has the error that matters, and a command that
	// can't be cancelled ends by its own time limit.
	_, _ = r.api.CancelCommand(ctx, &ssm.CancelCommandInput{
		CommandId:   aws.String(r.last.CommandID),
		InstanceIds: []string{r.req.InstanceID},
	})
}

func (r Result) describe() string {
	if r.Detail == "" {
		return "not yet listed"
	}
	return strings.ToLower(r.Detail)
}

func slower(pause time.Duration) time.Duration {
	return min(pause*3/2, slowestPoll)
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func detailOf(status types.CommandInvocationStatus, detail string) string {
	if detail == "" {
		return string(status)
	}
	return detail
}

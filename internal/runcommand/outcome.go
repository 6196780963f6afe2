package runcommand

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"
)

// Status is where a command stands. The API tells it in two fields that
// contradict each other at times (an undeliverable command is "Failed" in one
// of them); this is the one answer.
type Status int

// Not yet ended: Pending to Cancelling. Ended: Success to Terminated.
const (
	Pending           Status = iota // not yet handed to the agent
	Running                         // handed to the agent
	Cancelling                      // being cancelled
	Success                         // every step exited with 0
	Failed                          // a step exited with another status: Result.ExitCode
	ExecutionTimedOut               // killed by the agent at its time limit
	DeliveryTimedOut                // the agent did not fetch it in time
	Cancelled                       // by CancelCommand
	Undeliverable                   // the instance can't be reached or refused it
	Terminated                      // by the service, along with its parent
)

var statusNames = [...]string{
	Pending: "pending", Running: "running", Cancelling: "cancelling", Success: "success", Failed: "failed",
	ExecutionTimedOut: "execution timed out", DeliveryTimedOut: "delivery timed out", Cancelled: "cancelled",
	Undeliverable: "undeliverable", Terminated: "terminated",
}

// String is the status in words.
func (s Status) String() string {
	if s < 0 || int(s) >= len(statusNames) {
		return fmt.Sprintf("status %d", int(s))
	}
	return statusNames[s]
}

// Final reports whether the command has ended.
func (s Status) Final() bool { return s >= Success }

// statusOf reads the detailed status where it is known, and the plain one
// otherwise. The service writes the former with and without spaces.
func statusOf(status types.CommandInvocationStatus, detail string) Status {
	switch strings.ToLower(strings.ReplaceAll(detail, " ", "")) {
	case "deliverytimedout":
		return DeliveryTimedOut
	case "executiontimedout":
		return ExecutionTimedOut
	case "undeliverable", "invalidplatform", "accessdenied":
		return Undeliverable
	case "terminated":
		return Terminated
	}
	switch status {
	case types.CommandInvocationStatusInProgress:
		return Running
	case types.CommandInvocationStatusSuccess:
		return Success
	case types.CommandInvocationStatusFailed:
		return Failed
	case types.CommandInvocationStatusTimedOut:
		return ExecutionTimedOut
	case types.CommandInvocationStatusCancelled:
		return Cancelled
	case types.CommandInvocationStatusCancelling:
		return Cancelling
	case types.CommandInvocationStatusPending, types.CommandInvocationStatusDelayed:
		return Pending
	default:
		return Pending
	}
}

// Error is a command that ended in any way but success.
type Error struct {
	InstanceID string
	Document   string
	Result     Result
}

// Error names the command, how it ended and the end of what it wrote to
// standard error.
func (e *Error) Error() string {
	text := fmt.Sprintf("run %s on %s: command %s %s", e.Document, e.InstanceID, e.Result.CommandID, e.Result.Status)
	if e.Result.Status == Failed {
		text += fmt.Sprintf(" with exit status %d", e.Result.ExitCode)
	}
	if tail := lastLines(e.Result.Stderr, 500); tail != "" {
		text += ": " + tail
	}
	return text
}

// ExitStatus is the script's own exit status, and ok is false for a command
// that did not end by exiting (timed out, cancelled, not delivered).
func (e *Error) ExitStatus() (status int, ok bool) {
	return e.Result.ExitCode, e.Result.Status == Failed && e.Result.ExitCode > 0
}

// lastLines is the end of text on one line, cut at the start of a line where
// it is longer than limit bytes.
func lastLines(text string, limit int) string {
	text = strings.TrimSpace(text)
	if len(text) > limit {
		text = text[len(text)-limit:]
		if _, after, found := strings.Cut(text, "\n"); found {
			text = after
		}
	}
	return strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "?")
}

// refusedForNow is a refusal to send that had no effect and passes: the rate
// limit, and an instance whose registration has not reached every part of the
// service.
func refusedForNow(err error) bool {
	switch codeOf(err) {
	case "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded",
		"InvalidInstanceId":
		return true
	}
	return false
}

func notThereYet(err error) bool { return codeOf(err) == "InvocationDoesNotExist" }

// passing is a failed look-up that says nothing about the command: the rate
// limit, a fault of the service, a connection that broke.
func passing(err error) bool {
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		return true
	}
	return answer.ErrorFault() == smithy.FaultServer || refusedForNow(err) || answer.ErrorCode() == "InternalServerError"
}

func codeOf(err error) string {
	var answer smithy.APIError
	if errors.As(err, &answer) {
		return answer.ErrorCode()
	}
	return ""
}

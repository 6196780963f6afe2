package awsclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// An Error is what AWS answered to one call, without the SDK's wrapping: the
// operation, the code, the message, and what to do where the code alone tells.
type Error struct {
	Service   string // "ec2", as IAM spells it
	Operation string // "RunInstances"
	Code      string // "UnauthorizedOperation"
	Message   string
	RequestID string
	Encoded   string // an authorization message that sts:DecodeAuthorizationMessage can read, if there is one

	cause error
}

// Error tells operation, code and message, and the missing permission where one is missing.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Operation, e.Code)
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", e.Message)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", e.RequestID)
	}
	b.WriteString(e.remedy())
	return b.String()
}

// Unwrap gives the SDK's own error.
func (e *Error) Unwrap() error { return e.cause }

func (e *Error) remedy() string {
	switch {
	case slices.Contains(deniedCodes, e.Code):
		return "; the caller's IAM policy must allow " + e.missing()
	case slices.Contains(expiredCodes, e.Code):
		return "; the credentials have expired: log in again, or use ones that renew themselves (profile, assume_role)"
	case slices.Contains(invalidCodes, e.Code):
		return "; check the access key, and that this machine's clock is right"
	}
	return ""
}

// missing is the permission that AWS names, which need not be that of the call: a call that
// tags what it makes needs another one for that. Where AWS names none it is the call's.
func (e *Error) missing() string {
	if _, after, named := strings.Cut(e.Message, "is not authorized to perform: "); named {
		if action, _, _ := strings.Cut(after, " "); strings.Contains(action, ":") {
			return action
		}
	}
	return e.Service + ":" + e.Operation
}

// The codes by which the services say the same three things.
var (
	deniedCodes  = []string{"UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "UnauthorizedAccess"}
	expiredCodes = []string{"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
	invalidCodes = []string{
		"AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException",
		"InvalidSignatureException", "IncompleteSignature",
	}
)

// Code is AWS's code for what went wrong ("InvalidGroup.NotFound"), or "" if
// err is nil or did not come from AWS.
func Code(err error) string {
	var told *Error
	if errors.As(err, &told) {
		return told.Code
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// capacityCodes are what EC2 answers where another type, zone or way of paying may help.
var capacityCodes = []string{
	"InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity", "InsufficientCapacity",
	"ReservationCapacityExceeded", "UnfulfillableCapacity", "MaxSpotInstanceCountExceeded", "SpotMaxPriceTooLow",
	"InsufficientFreeAddressesInSubnet", "InstanceLimitExceeded", "VcpuLimitExceeded", "Unsupported",
}

// OutOfCapacity tells whether EC2 refused for want of capacity, quota or
// support in that place, so that another type or zone may do.
func OutOfCapacity(err error) bool { return slices.Contains(capacityCodes, Code(err)) }

// Refusal is an error that AWS told inside of an answer that was none.
func Refusal(service, operation, code, message string) *Error {
	return &Error{Service: service, Operation: operation, Code: code, Message: plain(message), Encoded: encoded(message)}
}

// Message is AWS's own message, or "" if err did not come from AWS.
func Message(err error) string {
	var told *Error
	if errors.As(err, &told) {
		return told.Message
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorMessage()
	}
	return ""
}

// Denied tells whether AWS refused for want of a permission.
func Denied(err error) bool { return slices.Contains(deniedCodes, Code(err)) }

// Err makes an *Error of what the SDK returned, if AWS answered at all. Any
// other error comes back with the operation's name and without the SDK's
// chain of middleware, and with what was said around it; nil stays nil.
func Err(err error) error {
	var told *Error
	if err == nil || errors.As(err, &told) {
		return err
	}
	var op *smithy.OperationError
	if !errors.As(err, &op) {
		return err
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return answered(op, api, err)
	}
	short := fmt.Errorf("%s: %w", op.OperationName, unanswered(op.Err))
	before, after, found := strings.Cut(err.Error(), op.Error())
	if !found {
		return short
	}
	return fmt.Errorf("%s%w%s", before, short, after)
}

func answered(op *smithy.OperationError, api smithy.APIError, cause error) *Error {
	e := &Error{
		Service:   strings.ToLower(op.ServiceID),
		Operation: op.OperationName,
		Code:      api.ErrorCode(),
		Message:   plain(api.ErrorMessage()),
		Encoded:   encoded(api.ErrorMessage()),
		cause:     cause,
	}
	var response *awshttp.ResponseError
	if errors.As(cause, &response) {
		e.RequestID = response.ServiceRequestID()
	}
	return e
}

// unanswered keeps a cancelled context recognisable and, of a request that was not sent, what the network said. A name
// that is not known is mostly that of a region that there is not.
func unanswered(err error) error {
	for _, ended := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ended) {
			return ended
		}
	}
	var unsent *url.Error
	if !errors.As(err, &unsent) {
		return err
	}
	if name := (*net.DNSError)(nil); errors.As(err, &name) && name.IsNotFound {
		return fmt.Errorf("%w; check the region, and that this machine can reach AWS", unsent)
	}
	return unsent
}

const encodedMark = " Encoded authorization failure message"

// plain cuts the encoded authorization message off: two kilobytes that only
// sts:DecodeAuthorizationMessage can read.
func plain(message string) string {
	message, _, _ = strings.Cut(message, encodedMark)
	return strings.TrimRight(message, ". ")
}

// encoded is what plain cuts off.
func encoded(message string) string {
	_, text, _ := strings.Cut(message, encodedMark)
	return strings.TrimSpace(strings.TrimPrefix(text, ":"))
}

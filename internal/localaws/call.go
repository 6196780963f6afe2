package localaws

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"
)

// A call is one API call on its way through: who asks, where, for what.
// Its handler runs with Server.mu held, so it must not block: whatever takes
// time (booting, running a command) goes to a goroutine that the server owns.
type call struct {
	ctx       context.Context
	server    *Server
	service   string // "ec2", "iam", "sts", "ssm", "kms"
	action    string // "RunInstances"
	region    string // from the signature's credential scope
	caller    principal
	requestID string
	now       time.Time

	form url.Values      // query protocol (ec2, iam, sts)
	body json.RawMessage // JSON protocol (ssm, kms)

	needed []Permission // what the policies were asked for
	result []byte       // the answer in the service's form, of a call that succeeded
}

// A principal is who signed the call.
type principal struct {
	account     string // "123456789012"
	arn         string // "arn:aws:iam::123456789012:user/builder"
	userID      string // "AIDA..." or "AROA...:session"
	accessKeyID string

	user     string              // the IAM user's name; empty for a role's session
	role     string              // the assumed role's name
	sessions []*policyDocument   // session policies: they only narrow
	tags     map[string][]string // session tags, by key

	transitive []string // the keys of those that go on to the sessions of further roles
}

// An apiError is an answer that refuses, with AWS's own code, message and HTTP status.
// Each protocol renders it in its own form.
type apiError struct {
	code    string
	message string
	status  int    // 0 means 400
	filter  string // of a Describe call, if that is what the operation does not know
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func refuse(code, format string, args ...any) *apiError {
	return &apiError{code: code, message: fmt.Sprintf(format, args...)}
}

// An operation answers one action. in is decoded strictly: a parameter that In does
// not declare is refused as AWS refuses it, so nothing that a client sends is ignored.
type operation func(c *call) (out any, err error)

// queryOp makes an operation of a handler for the query protocol. Field tags: `query:"ImageId"`; lists and
// structs nest as AWS numbers them (`Filter.1.Value.2`).
func queryOp[In, Out any](handle func(c *call, in *In) (*Out, error)) operation {
	return func(c *call) (any, error) {
		var in In
		if err := decodeQuery(c, &in); err != nil {
			return nil, err
		}
		return handle(c, &in)
	}
}

// jsonOp makes an operation of a handler for the JSON protocol; unknown members are refused.
func jsonOp[In, Out any](handle func(c *call, in *In) (*Out, error)) operation {
	return func(c *call) (any, error) {
		var in In
		if err := decodeJSON(c, &in); err != nil {
			return nil, err
		}
		return handle(c, &in)
	}
}

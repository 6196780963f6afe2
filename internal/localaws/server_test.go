package localaws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"
)

// startServer starts an API without machines, closed when the test ends.
func startServer(t *testing.T, o Options) *Server {
	t.Helper()
	o.NoMachines = true
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// sdkConfig is a client's configuration for the account's builder.
func sdkConfig(t *testing.T, s *Server, account string) aws.Config {
	t.Helper()
	id, secret := s.Credentials(account)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return aws.Config{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(s.URL()),
		Credentials:  credentials.NewStaticCredentialsProvider(id, secret, ""),
		HTTPClient:   &http.Client{Transport: plainBodies{transport}},
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
		},
	}
}

// plainBodies hides that the SDK's bodies can write themselves, for which net/http may close a connection in the
// middle of an answer: then a request that had its effect is made again.
type plainBodies struct{ http.RoundTripper }

// RoundTrip is http.RoundTripper's.
func (p plainBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		plain := *r
		plain.Body = struct{ io.ReadCloser }{r.Body}
		r = &plain
	}
	return p.RoundTripper.RoundTrip(r)
}

// wantAPIError checks the code and that the message has all the words.
func wantAPIError(t *testing.T, err error, code string, words ...string) {
	t.Helper()
	var refusal smithy.APIError
	if !errors.As(err, &refusal) || refusal.ErrorCode() != code {
		t.Errorf("got %v, want %s", err, code)
		return
	}
	for _, word := range words {
		if !strings.Contains(refusal.ErrorMessage(), word) {
			t.Errorf("%s says %q, which has no %q", code, refusal.ErrorMessage(), word)
		}
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const trustEC2 = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

// What AWS has and this server has not is refused in words that are not AWS's; what AWS has not, as AWS does.
func TestUnknownActions(t *testing.T) {
	s := startServer(t, Options{})
	cfg := sdkConfig(t, s, DefaultAccount)
	_, err := iam.NewFromConfig(cfg).ListSigningCertificates(t.Context(), nil)
	wantAPIError(t, err, "NotInLocalaws", "localaws does not have the action iam:ListSigningCertificates")
	_, err = ec2.NewFromConfig(cfg).DescribeTrunkInterfaceAssociations(t.Context(), nil)
	wantAPIError(t, err, "NotInLocalaws", "DescribeTrunkInterfaceAssociations")
	_, err = ssm.NewFromConfig(cfg).ListNodes(t.Context(), nil)
	wantAPIError(t, err, "NotInLocalaws", "ssm:ListNodes")
	if calls := s.Calls(); len(calls) != 3 {
		t.Errorf("a call that is not here was repeated: %d calls", len(calls))
	}
	for _, c := range []*call{{service: "ec2"}, {service: "iam"}, {service: "sts"}} {
		c.action = "MakeCoffee"
		wantCode(t, "InvalidAction", unknownAction(c))
	}
	wantCode(t, "UnknownOperationException", unknownAction(&call{service: "ssm", action: "MakeCoffee"}))
}

func TestRequestIDs(t *testing.T) {
	s := startServer(t, Options{})
	_, err := iam.NewFromConfig(sdkConfig(t, s, DefaultAccount)).GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("none")})
	calls := s.Calls()
	if len(calls) != 1 || !strings.Contains(err.Error(), "RequestID: "+calls[0].RequestID) {
		t.Errorf("%v has not the request id of %+v", err, calls)
	}
	var missing *iamtypes.NoSuchEntityException
	if !errors.As(err, &missing) || calls[0].Code != "NoSuchEntity" {
		t.Errorf("%v is no NoSuchEntityException, log says %q", err, calls[0].Code)
	}
}

func TestCallerPolicyIsEvaluated(t *testing.T) {
	s := startServer(t, Options{CallerPolicy: `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["iam:CreateRole","iam:GetRole"],"Resource":"arn:aws:iam::*:role/packer-*"},
		{"Effect":"Allow","Action":["ssm:StartSession"],"Resource":"arn:aws:ssm:*::document/AWS-StartPortForwardingSession"},
		{"Effect":"Deny","Action":"ssm:SendCommand","Resource":"*"}]}`})
	cfg := sdkConfig(t, s, DefaultAccount)
	roles := iam.NewFromConfig(cfg)
	create := func(name string) error {
		_, err := roles.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(trustEC2)})
		return err
	}
	ok(t, create("packer-a"))
	wantAPIError(t, create("other"), "AccessDenied",
		"User: arn:aws:iam::123456789012:user/builder is not authorized to perform: iam:CreateRole on resource: arn:aws:iam::123456789012:role/other "+
			"because no identity-based policy allows the iam:CreateRole action")
	_, err := ec2.NewFromConfig(cfg).RunInstances(t.Context(), &ec2.RunInstancesInput{MinCount: aws.Int32(1), MaxCount: aws.Int32(1), ImageId: aws.String("ami-12345678")})
	wantAPIError(t, err, "UnauthorizedOperation", "You are not authorized to perform this operation.", "ec2:RunInstances", "Encoded authorization failure message: ")
	systems := ssm.NewFromConfig(cfg)
	_, err = systems.StartSession(t.Context(), &ssm.StartSessionInput{Target: aws.String("i-0123456789abcdef0"), DocumentName: aws.String("AWS-StartPortForwardingSession")})
	wantAPIError(t, err, "AccessDeniedException", "ssm:StartSession on resource: arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0")
	_, err = systems.SendCommand(t.Context(), &ssm.SendCommandInput{InstanceIds: []string{"i-0123456789abcdef0"}, DocumentName: aws.String("AWS-RunShellScript")})
	wantAPIError(t, err, "AccessDeniedException", "with an explicit deny in an identity-based policy")
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), nil)
	ok(t, err)
	if *who.Arn != "arn:aws:iam::123456789012:user/builder" {
		t.Errorf("caller %s", *who.Arn)
	}
}

func TestBadCallerPolicy(t *testing.T) {
	_, err := Start(t.Context(), Options{NoMachines: true, CallerPolicy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ec2"}]}`})
	if err == nil || !strings.Contains(err.Error(), "caller policy: MalformedPolicyDocument") {
		t.Errorf("%v", err)
	}
}

func TestFaults(t *testing.T) {
	s := startServer(t, Options{})
	client := iam.NewFromConfig(sdkConfig(t, s, DefaultAccount))
	get := func(ctx context.Context) error {
		_, err := client.GetUser(ctx, nil)
		return err
	}
	t.Run("throttling is retried", func(t *testing.T) {
		before := len(s.Calls())
		s.Inject(Fault{Service: "iam", Action: "GetUser", Code: "Throttling", Times: 2})
		ok(t, get(t.Context()))
		if n := len(s.Calls()) - before; n != 3 {
			t.Errorf("%d calls, want 3", n)
		}
	})
	t.Run("nth", func(t *testing.T) {
		s.Inject(Fault{Action: "Get*", Nth: 2, Code: "AccessDenied"})
		ok(t, get(t.Context()))
		wantAPIError(t, get(t.Context()), "AccessDenied")
		ok(t, get(t.Context()))
	})
	t.Run("for ever until removed", func(t *testing.T) {
		remove := s.Inject(Fault{Times: -1, Deny: true})
		wantAPIError(t, get(t.Context()), "AccessDenied", "iam:GetUser", "explicit deny")
		wantAPIError(t, get(t.Context()), "AccessDenied")
		remove()
		ok(t, get(t.Context()))
	})
	t.Run("dropped after the effect", func(t *testing.T) {
		s.Inject(Fault{Action: "CreateRole", After: true, Drop: true})
		_, err := client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("lost"), AssumeRolePolicyDocument: aws.String(trustEC2)})
		wantAPIError(t, err, "EntityAlreadyExists") // the retry's
		_, err = client.DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: aws.String("lost")})
		ok(t, err)
	})
	t.Run("hangs until the client gives up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s.Inject(Fault{Action: "GetUser", Hang: true, Before: func(Call) { cancel() }})
		if err := get(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("5xx is retried", func(t *testing.T) {
		s.Inject(Fault{Action: "GetUser", Code: "ServiceFailure", Status: 500})
		ok(t, get(t.Context()))
	})
}

func TestCloseEndsHangingCalls(t *testing.T) {
	s := startServer(t, Options{})
	client := iam.NewFromConfig(sdkConfig(t, s, DefaultAccount), func(o *iam.Options) { o.RetryMaxAttempts = 1 })
	hangs := make(chan struct{})
	s.Inject(Fault{Hang: true, Before: func(Call) { close(hangs) }})
	failed := make(chan error)
	go func() {
		_, err := client.GetUser(context.WithoutCancel(t.Context()), nil)
		failed <- err
	}()
	<-hangs
	ok(t, s.Close())
	if err := <-failed; err == nil {
		t.Error("the call succeeded")
	}
}

func TestTimersEndWithTheServer(t *testing.T) {
	s := startServer(t, Options{})
	s.clock.AfterFunc(time.Hour, func() { t.Error("ran") })
	ran := make(chan struct{})
	s.clock.AfterFunc(0, func() { close(ran) })
	<-ran
	stopped := s.clock.AfterFunc(time.Hour, func() { t.Error("ran") })
	if !stopped.Stop() || stopped.Stop() {
		t.Error("a waiting timer stops once")
	}
	owned := make(chan struct{})
	s.goOwned(func(ctx context.Context) { <-ctx.Done(); close(owned) })
	ok(t, s.Close())
	<-owned
	s.goOwned(func(context.Context) { t.Error("ran after Close") })
	s.clock.AfterFunc(0, func() { t.Error("ran after Close") })
}

func TestCallLogHasNoSecrets(t *testing.T) {
	s := startServer(t, Options{})
	cfg := sdkConfig(t, s, DefaultAccount)
	const secret = "hunter2hunter2"
	_, _ = ec2.NewFromConfig(cfg).RunInstances(t.Context(), &ec2.RunInstancesInput{
		ImageId: aws.String("ami-0123456789abcdef0"), MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		UserData: aws.String(secret), ClientToken: aws.String("token-1"), DryRun: aws.Bool(true),
	})
	systems := ssm.NewFromConfig(cfg)
	_, _ = systems.PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String("/x"), Value: aws.String(secret)})
	_, _ = systems.SendCommand(t.Context(), &ssm.SendCommandInput{
		DocumentName: aws.String("AWS-RunShellScript"), InstanceIds: []string{"i-0123456789abcdef0"},
		Parameters: map[string][]string{"commands": {"echo " + secret}},
	})
	calls := s.Calls()
	if len(calls) != 3 {
		t.Fatalf("%d calls", len(calls))
	}
	for _, c := range calls {
		if strings.Contains(c.Parameters, secret) {
			t.Errorf("%s logs %s", c.Action, c.Parameters)
		}
	}
	run, send := calls[0], calls[2]
	if !run.DryRun || run.Resources[0] != "ami-0123456789abcdef0" || !strings.Contains(run.Parameters, `"UserData":"(14 bytes)"`) {
		t.Errorf("%+v", run)
	}
	if send.Resources[0] != "i-0123456789abcdef0" || !strings.Contains(send.Parameters, `"DocumentName":"AWS-RunShellScript"`) {
		t.Errorf("%+v", send)
	}
}

// Answers are rendered while the state stands still: the race detector says
// so where a result shares memory with what other calls change.
func TestManyAtOnce(t *testing.T) {
	s := startServer(t, Options{})
	client := iam.NewFromConfig(sdkConfig(t, s, DefaultAccount))
	_, err := client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String(trustEC2)})
	ok(t, err)
	var group errgroup.Group
	for i := range 8 {
		group.Go(func() error {
			key := fmt.Sprintf("k%d", i)
			for range 20 {
				_, errTag := client.TagRole(t.Context(), &iam.TagRoleInput{RoleName: aws.String("r"), Tags: []iamtypes.Tag{{Key: &key, Value: &key}}})
				_, errGet := client.GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("r")})
				_, errUntag := client.UntagRole(t.Context(), &iam.UntagRoleInput{RoleName: aws.String("r"), TagKeys: []string{key}})
				if err := errors.Join(errTag, errGet, errUntag); err != nil {
					return err
				}
			}
			return nil
		})
	}
	ok(t, group.Wait())
}

package awsclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// bare takes every source of credentials and region out of the environment.
func bare(t *testing.T) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func TestLoadTellsWhatIsMissing(t *testing.T) {
	for name, test := range map[string]struct {
		o    Options
		want string
	}{
		"region":      {Options{AccessKey: "a", SecretKey: "b"}, "region: none is set"},
		"credentials": {Options{Region: "us-east-1"}, "credentials: none that work"},
		"profile":     {Options{Region: "us-east-1", Profile: "nobody"}, "nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			bare(t)
			_, err := Load(t.Context(), test.o)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestLoadReadsTheGivenCredentialsFile(t *testing.T) {
	bare(t)
	file := filepath.Join(t.TempDir(), "credentials")
	text := "[ci]\naws_access_key_id = AKIAFROMFILE\naws_secret_access_key = s\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(t.Context(), Options{Region: "us-east-1", Profile: "ci", SharedCredentialsFile: file})
	if err != nil {
		t.Fatal(err)
	}
	got, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil || got.AccessKeyID != "AKIAFROMFILE" {
		t.Errorf("got %q, %v", got.AccessKeyID, err)
	}
}

// serve answers every request the same and returns what came.
func serve(t *testing.T, status int, body string) *[]*http.Request {
	t.Helper()
	var came []*http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		came = append(came, r)
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	return &came
}

func TestAssumeRole(t *testing.T) {
	bare(t)
	came := serve(t, 200, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
		<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration>
		</Credentials></AssumeRoleResult></AssumeRoleResponse>`)
	cfg, err := Load(t.Context(), Options{
		Region: "us-east-1", AccessKey: "AKIA", SecretKey: "b", UserAgent: "packer-plugin-ssm/1.2.3",
		AssumeRole: &AssumeRole{RoleARN: "arn:aws:iam::123456789012:role/x", ExternalID: "ext", SessionName: "me", Tags: map[string]string{"k": "v"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil || got.AccessKeyID != "ASIAROLE" {
		t.Errorf("got %q, %v", got.AccessKeyID, err)
	}
	r := (*came)[0]
	for name, want := range map[string]string{
		"RoleArn": "arn:aws:iam::123456789012:role/x", "ExternalId": "ext", "RoleSessionName": "me", "Tags.member.1.Key": "k",
	} {
		if got := r.Form.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if agent := r.UserAgent(); !strings.Contains(agent, "packer-plugin-ssm/1.2.3") {
		t.Errorf("user agent %q", agent)
	}
}

func TestErr(t *testing.T) {
	bare(t)
	serve(t, 403, `<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized to perform this operation. Encoded authorization failure message: AAAA</Message></Error></Errors><RequestID>req-1</RequestID></Response>`)
	cfg, err := Load(t.Context(), Options{Region: "us-east-1", AccessKey: "AKIA", SecretKey: "b"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = ec2.NewFromConfig(cfg).DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{})
	told := Err(fmt.Errorf("wrapped: %w", err))
	want := "DescribeVpcs: UnauthorizedOperation: You are not authorized to perform this operation (request req-1); the caller's IAM policy must allow ec2:DescribeVpcs"
	if told.Error() != want {
		t.Errorf("got  %s\nwant %s", told, want)
	}
	if Code(told) != "UnauthorizedOperation" || !Denied(told) || !errors.Is(Err(told), told) {
		t.Errorf("code %q, denied %v", Code(told), Denied(told))
	}
	if Err(nil) != nil || Code(nil) != "" || Code(errors.New("x")) != "" || Denied(nil) {
		t.Error("nil and other errors are not AWS's")
	}
}

func TestErrKeepsCancellation(t *testing.T) {
	bare(t)
	cfg, err := Load(t.Context(), Options{Region: "us-east-1", AccessKey: "AKIA", SecretKey: "b"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	told := Err(err)
	if !errors.Is(told, context.Canceled) || told.Error() != "GetCallerIdentity: context canceled" {
		t.Errorf("got %v", told)
	}
}

// hosts returns where the calls of the services would go.
func hosts(t *testing.T, o Options) []string {
	t.Helper()
	bare(t)
	o.Region, o.AccessKey, o.SecretKey = "us-east-1", "AKIA", "b"
	cfg, err := Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	cfg.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.URL.Host)
		return nil, errors.New("asked")
	})
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	_, _ = ec2.NewFromConfig(cfg).DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{})
	_, _ = sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	cfg.Region = "eu-west-1"
	_, _ = ec2.NewFromConfig(cfg).DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{})
	return asked
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

func TestEndpoints(t *testing.T) {
	for name, test := range map[string]struct {
		o    Options
		want []string // of ec2, of sts, of ec2 in another region
	}{
		"usual":      {Options{}, []string{"ec2.us-east-1.amazonaws.com", "sts.us-east-1.amazonaws.com", "ec2.eu-west-1.amazonaws.com"}},
		"FIPS":       {Options{FIPS: true}, []string{"ec2-fips.us-east-1.amazonaws.com", "sts-fips.us-east-1.amazonaws.com", "ec2-fips.eu-west-1.amazonaws.com"}},
		"dual stack": {Options{DualStack: true}, []string{"ec2.us-east-1.api.aws", "sts.us-east-1.api.aws", "ec2.eu-west-1.api.aws"}},
		"own":        {Options{EndpointEC2: "https://vpce-0abc.example"}, []string{"vpce-0abc.example", "sts.us-east-1.amazonaws.com", "ec2.eu-west-1.amazonaws.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := hosts(t, test.o); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// The endpoints of the environment hold for a service each.
func TestEndpointsOfTheEnvironment(t *testing.T) {
	bare(t)
	came := serve(t, 200, `<DescribeVpcsResponse/>`)
	cfg, err := Load(t.Context(), Options{Region: "us-east-1", AccessKey: "AKIA", SecretKey: "b", EndpointEC2: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	_, _ = ec2.NewFromConfig(cfg).DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{})
	if len(*came) != 0 {
		t.Error("the template's endpoint does not win over the environment's")
	}
	_, _ = sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if len(*came) != 1 {
		t.Error("the environment's endpoint is not used for STS")
	}
}

// What AWS is out of is asked for once; a failure of AWS's own again.
func TestCapacityIsNotRetried(t *testing.T) {
	for code, want := range map[string]int{"InsufficientInstanceCapacity": 1, "InternalError": 2} {
		bare(t)
		came := serve(t, 500, `<Response><Errors><Error><Code>`+code+`</Code><Message>no</Message></Error></Errors></Response>`)
		cfg, err := Load(t.Context(), Options{Region: "us-east-1", AccessKey: "AKIA", SecretKey: "b", MaxRetries: 2})
		if err != nil {
			t.Fatal(err)
		}
		_, err = ec2.NewFromConfig(cfg).RunInstances(t.Context(), &ec2.RunInstancesInput{MinCount: aws.Int32(1), MaxCount: aws.Int32(1)})
		if Code(err) != code || len(*came) != want || OutOfCapacity(err) != (want == 1) {
			t.Errorf("%s: asked %d times, want %d; %v", code, len(*came), want, err)
		}
	}
}

func TestLoadSkips(t *testing.T) {
	bare(t)
	if _, err := Load(t.Context(), Options{Region: "us-east-1", NoMetadata: true, SkipProof: true}); err != nil {
		t.Errorf("credentials are proved all the same: %v", err)
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	asked := serve(t, 404, "")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", os.Getenv("AWS_ENDPOINT_URL"))
	if _, err := Load(t.Context(), Options{Region: "us-east-1", NoMetadata: true}); err == nil || len(*asked) != 0 {
		t.Errorf("the metadata service was asked %d times; %v", len(*asked), err)
	}
	if _, err := Load(t.Context(), Options{Region: "us-east-1"}); err == nil || len(*asked) == 0 {
		t.Errorf("the metadata service is never asked: %v", err)
	}
}

func TestEncodedMessageIsKept(t *testing.T) {
	e := Refusal("ec2", "CreateFleet", "UnauthorizedOperation", "You are not authorized to perform this operation. Encoded authorization failure message: AAAA")
	if e.Encoded != "AAAA" || strings.Contains(e.Error(), "AAAA") || !Denied(e) || Message(e) != "You are not authorized to perform this operation" {
		t.Errorf("%+v", e)
	}
}

// What was said around an operation that was not answered stays, whoever said it.
func TestErrKeepsWhatIsSaidAround(t *testing.T) {
	op := &smithy.OperationError{ServiceID: "SSM", OperationName: "SendCommand", Err: fmt.Errorf("request send failed: %w", context.DeadlineExceeded)}
	for want, err := range map[string]error{
		"SendCommand: context deadline exceeded":                                     op,
		"no connection within 2s; last: SendCommand: context deadline exceeded":      fmt.Errorf("no connection within 2s; last: %w", op),
		"run a script: SendCommand: context deadline exceeded; raise the limit":      fmt.Errorf("run a script: %w; raise the limit", op),
		"run a script: SendCommand: context deadline exceeded; raise the limit, too": Err(fmt.Errorf("run a script: %w; raise the limit, too", op)),
	} {
		if got := Err(err); got.Error() != want || !errors.Is(got, context.DeadlineExceeded) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A request that was not sent tells what the network said, and a name that is not known that the region may be wrong.
func TestErrOfTheNetwork(t *testing.T) {
	for want, cause := range map[string]error{
		`DescribeImages: Post "https://ec2.us-east-9.amazonaws.com/": lookup ec2.us-east-9.amazonaws.com: no such host; check the region, and that this machine can reach AWS`: &net.DNSError{
			Err: "no such host", Name: "ec2.us-east-9.amazonaws.com", IsNotFound: true,
		},
		`DescribeImages: Post "https://ec2.us-east-9.amazonaws.com/": connection refused`: syscall.ECONNREFUSED,
	} {
		sent := &smithyhttp.RequestSendError{Err: &url.Error{Op: "Post", URL: "https://ec2.us-east-9.amazonaws.com/", Err: cause}}
		op := &smithy.OperationError{ServiceID: "EC2", OperationName: "DescribeImages", Err: &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{Err: sent}}}
		if got := Err(op); got.Error() != want || !errors.Is(got, cause) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

//go:build linux

package amazonlinux_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// A refusal with an encoded message is explained, and one that can't be stays as it is.
func TestDecodeAuthorizationMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	defer w.aws.Inject(localaws.Fault{Action: "RunInstances", Deny: true, Times: -1})()
	_, r := w.launched(block{"decode_authorization_messages": true})
	for _, want := range []string{"plan: RunInstances: UnauthorizedOperation", "must allow ec2:RunInstances", "AWS's reasons: ", " on arn:aws:ec2:"} {
		if r.err == nil || !strings.Contains(r.err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, r.err)
		}
	}
	if _, r := w.launched(nil); r.err == nil || strings.Contains(r.err.Error(), "AWS's reasons") {
		t.Errorf("decoded without being asked: %v", r.err)
	}
	defer w.aws.Inject(localaws.Fault{Action: "DecodeAuthorizationMessage", Deny: true, Times: -1})()
	_, r = w.launched(block{"decode_authorization_messages": true})
	if r.err == nil || !strings.Contains(r.err.Error(), "reasons stay encoded") || !strings.Contains(r.err.Error(), "must allow ec2:RunInstances") {
		t.Errorf("without the permission to decode: %v", r.err)
	}
}

// A caller who can't reach STS builds all the same.
func TestSkipCredentialValidation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	defer w.aws.Inject(localaws.Fault{Service: "sts", Hang: true, Times: -1})()
	r := w.build(t.Context(), w.template(block{"skip_credential_validation": true, "skip_metadata_api_check": true}), touch)
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, r.ui)
	}
	if slices.Contains(w.actions(), "sts:GetCallerIdentity") {
		t.Error("asked who the caller is")
	}
	w.nothingLeft(r)
}

// An endpoint of EC2's own takes EC2's calls, and nobody else's.
func TestCustomEndpointEC2(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	target, err := url.Parse(w.aws.URL())
	if err != nil {
		t.Fatal(err)
	}
	var through atomic.Int64
	forward := httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // which is signed
	}}
	endpoint := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		through.Add(1)
		forward.ServeHTTP(rw, r)
	}))
	t.Cleanup(endpoint.Close)
	if _, r := w.launched(block{"custom_endpoint_ec2": endpoint.URL}); r.err != nil {
		t.Fatal(r.err)
	}
	all := int64(-1) // the test itself describes the instance once, beside the endpoint
	for _, c := range w.aws.Calls() {
		if c.Service == "ec2" {
			all++
		}
	}
	if got := through.Load(); got != all {
		t.Errorf("%d calls went through the endpoint; the build made %d of EC2:\n%s", got, all, strings.Join(w.actions(), "\n"))
	}
}

// The whole build is the role's, with its session's name and under its conditions.
func TestAssumeRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	role, err := w.iam().CreateRole(t.Context(), &iam.CreateRoleInput{
		RoleName: aws.String("ci"),
		AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},
			"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"sts:ExternalId":"ours"}}}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.iam().AttachRolePolicy(t.Context(), &iam.AttachRolePolicyInput{RoleName: aws.String("ci"), PolicyArn: aws.String(w.policy("everything"))})
	if err != nil {
		t.Fatal(err)
	}
	before := len(w.aws.Calls())
	as := block{
		"role_arn": aws.ToString(role.Role.Arn), "session_name": "packer-web", "external_id": "ours", "duration_seconds": 900,
		"policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
		"tags":   block{"Team": "web"}, "transitive_tag_keys": []string{"Team"},
	}
	if _, r := w.launched(block{"assume_role": as}); r.err != nil {
		t.Fatalf("%v\n%s", r.err, r.ui)
	}
	for _, c := range w.aws.Calls()[before:] {
		if c.Action == "RunInstances" && !strings.HasSuffix(c.Caller, "assumed-role/ci/packer-web") {
			t.Errorf("RunInstances by %s", c.Caller)
		}
	}
	as["external_id"] = "theirs"
	if err := w.refused(block{"assume_role": as}); err == nil || !strings.Contains(err.Error(), "credentials: assume role") || !strings.Contains(err.Error(), "must trust the caller") {
		t.Errorf("with another external id: %v", err)
	}
	as["external_id"] = "ours"
	as["policy"] = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ec2:Describe*","Resource":"*"}]}`
	if err := w.refused(block{"assume_role": as}); err == nil || !strings.Contains(err.Error(), "plan: ") {
		t.Errorf("narrowed to looks: %v", err)
	}
}

// refused is the error of a build that is to fail.
func (w *world) refused(more block) error {
	_, r := w.launched(more)
	return r.err
}

package amazonlinux

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// a refusal answers no request, and notes for which host it was.
type refusal struct{ hosts []string }

// Do is the HTTP client's of the SDK.
func (r *refusal) Do(request *http.Request) (*http.Response, error) {
	r.hosts = append(r.hosts, request.URL.Host)
	return nil, errors.New("refused")
}

// Where the calls of a template go: those of each service, and EC2's in another region.
func TestEndpointKinds(t *testing.T) {
	for name, test := range map[string]struct {
		more block
		want []string
	}{
		"usual": {nil, []string{
			"ec2.us-east-1.amazonaws.com", "ssm.us-east-1.amazonaws.com", "iam.amazonaws.com", "sts.us-east-1.amazonaws.com", "ec2.us-west-2.amazonaws.com",
		}},
		"use_fips_endpoint": {block{"use_fips_endpoint": true}, []string{
			"ec2-fips.us-east-1.amazonaws.com", "ssm-fips.us-east-1.amazonaws.com", "iam-fips.amazonaws.com", "sts-fips.us-east-1.amazonaws.com", "ec2-fips.us-west-2.amazonaws.com",
		}},
		"use_dualstack_endpoint": {block{"use_dualstack_endpoint": true}, []string{
			"ec2.us-east-1.api.aws", "ssm.us-east-1.api.aws", "iam.global.api.aws", "sts.us-east-1.api.aws", "ec2.us-west-2.api.aws",
		}},
		"custom_endpoint_ec2": {block{"custom_endpoint_ec2": "https://vpce-0abc.ec2.us-east-1.vpce.amazonaws.com"}, []string{
			"vpce-0abc.ec2.us-east-1.vpce.amazonaws.com", "ssm.us-east-1.amazonaws.com", "iam.amazonaws.com", "sts.us-east-1.amazonaws.com", "ec2.us-west-2.amazonaws.com",
		}},
	} {
		more := block{"access_key": "AKIAXXXXXXXXXXXXXXXX", "secret_key": "not-in-any-other-test"}
		for k, v := range test.more {
			more[k] = v
		}
		b, err := prepare(t, with(more))
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := awsclient.Load(t.Context(), b.config.clientOptions())
		if err != nil {
			t.Fatal(err)
		}
		noted := new(refusal)
		cfg.HTTPClient, cfg.Retryer = noted, func() aws.Retryer { return aws.NopRetryer{} }
		c := newClients(cfg)
		_, _ = c.ec2.DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{})
		_, _ = c.ssm.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/x")})
		_, _ = c.iam.GetInstanceProfile(t.Context(), &iam.GetInstanceProfileInput{InstanceProfileName: aws.String("x")})
		_, _ = c.sts.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		_, _ = c.in("us-west-2").DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{})
		if !slices.Equal(noted.hosts, test.want) {
			t.Errorf("%s: asked %q, want %q", name, noted.hosts, test.want)
		}
	}
}

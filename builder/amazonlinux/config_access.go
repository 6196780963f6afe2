//go:generate packer-sdc struct-markdown

package amazonlinux

import (
	"net/url"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
	"github.com/taccoform/packer-plugin-ssm/version"
)

// AccessConfig says who builds and where. Everything is optional: what is not
// given comes from the environment and the shared files in `~/.aws`, as with
// the AWS CLI, and so do endpoints (`AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_SSM`, ...).
type AccessConfig struct {
	// The region to build in, such as `us-east-1`. Default: `AWS_REGION`, or the profile's region.
	Region string `mapstructure:"region"`
	// The profile of the shared configuration to use, SSO profiles included. Default: `AWS_PROFILE`, or `default`.
	Profile string `mapstructure:"profile"`
	// A static access key. Needs `secret_key`. Prefer a profile or the environment:
	// a key in a template is a key in a repository.
	AccessKey string `mapstructure:"access_key"`
	// The secret of `access_key`. It is filtered from all output.
	SecretKey string `mapstructure:"secret_key"`
	// The session token that belongs to a temporary `access_key`.
	Token string `mapstructure:"token"`
	// A credentials file to read in place of `~/.aws/credentials`.
	SharedCredentialsFile string `mapstructure:"shared_credentials_file"`
	// The role to assume for the whole build. Its credentials are renewed for as
	// long as the build lasts.
	AssumeRole AssumeRole `mapstructure:"assume_role"`
	// How often one request to AWS is tried before its error counts. Default: 10.
	MaxRetries int `mapstructure:"max_retries"`
	// The URL of EC2 in the region, such as that of a VPC endpoint. Those of the other services come from the
	// environment or the profile: `AWS_ENDPOINT_URL_SSM`, `AWS_ENDPOINT_URL_IAM`, `AWS_ENDPOINT_URL_STS`, and
	// `AWS_ENDPOINT_URL` for all. Default: AWS's own.
	CustomEndpointEC2 string `mapstructure:"custom_endpoint_ec2"`
	// Use AWS's endpoints that have IPv6, too. Conflicts with `custom_endpoint_ec2`. Default: `AWS_USE_DUALSTACK_ENDPOINT`, or `false`.
	UseDualstackEndpoint bool `mapstructure:"use_dualstack_endpoint"`
	// Use AWS's endpoints with FIPS 140 validated cryptography. Conflicts with `custom_endpoint_ec2`. Default: `AWS_USE_FIPS_ENDPOINT`, or `false`.
	UseFIPSEndpoint bool `mapstructure:"use_fips_endpoint"`
	// Where AWS refuses a call and gives its reasons in an encoded message, decode it and tell what was
	// refused on what, and by which kind of policy. Needs `sts:DecodeAuthorizationMessage`. Default: `false`.
	DecodeAuthorizationMessages bool `mapstructure:"decode_authorization_messages"`
	// Don't ask STS who the caller is, for callers that can't reach it; credentials that don't work are then
	// told by the first call that needs them. Default: `false`.
	SkipCredentialValidation bool `mapstructure:"skip_credential_validation"`
	// Don't ask the instance metadata service of the machine that Packer runs on for credentials. Default: `false`.
	SkipMetadataAPICheck bool `mapstructure:"skip_metadata_api_check"`
}

// AssumeRole names a role and the conditions on assuming it.
type AssumeRole struct {
	// The ARN of the role. Required in the block.
	RoleARN string `mapstructure:"role_arn"`
	// How long one set of credentials lasts, in seconds: 900 to 43200. Default: 900; they are renewed in time.
	DurationSeconds int `mapstructure:"duration_seconds"`
	// The external id that the role's trust policy asks for.
	ExternalID string `mapstructure:"external_id"`
	// A policy, as JSON, that narrows what the role may do in this build.
	Policy string `mapstructure:"policy"`
	// ARNs of managed policies that narrow what the role may do in this build.
	PolicyARNs []string `mapstructure:"policy_arns"`
	// The name of the session in CloudTrail. Default: one that the SDK makes up.
	SessionName string `mapstructure:"session_name"`
	// Session tags.
	Tags map[string]string `mapstructure:"tags"`
	// The keys of those session tags that are passed on to further roles.
	TransitiveTagKeys []string `mapstructure:"transitive_tag_keys"`
}

const (
	minRoleSeconds = 900
	maxRoleSeconds = 43200
)

func (c *AccessConfig) check(r *report) {
	r.unless(awsRegion.MatchString(c.Region) || c.Region == "", "region", c.Region, `a region's name, such as "us-east-1"`)
	if (c.AccessKey == "") != (c.SecretKey == "") {
		r.addf("access_key and secret_key: only one of them is given; give both, or neither and use a profile or the environment")
	}
	if c.Token != "" && c.AccessKey == "" {
		r.addf("token: given without access_key and secret_key, which it belongs to; give them, or delete it")
	}
	if c.AccessKey != "" && c.Profile != "" {
		r.addf("access_key and profile: both are given; keep one of them")
	}
	r.unless(c.MaxRetries >= 0, "max_retries", c.MaxRetries, "a number of tries, 1 or more")
	if c.CustomEndpointEC2 != "" {
		u, err := url.Parse(c.CustomEndpointEC2)
		r.unless(err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "", "custom_endpoint_ec2", c.CustomEndpointEC2,
			`a URL, such as "https://vpce-0abc.ec2.us-east-1.vpce.amazonaws.com"`)
		for _, o := range []option{{"use_dualstack_endpoint", c.UseDualstackEndpoint}, {"use_fips_endpoint", c.UseFIPSEndpoint}} {
			if o.given {
				r.addf("custom_endpoint_ec2 and %s: an endpoint of your own is used as it is; keep one of them", o.name)
			}
		}
	}
	c.AssumeRole.check(r)
}

func (a *AssumeRole) check(r *report) {
	others := a.DurationSeconds != 0 || a.ExternalID != "" || a.Policy != "" || len(a.PolicyARNs) > 0 ||
		a.SessionName != "" || len(a.Tags) > 0 || len(a.TransitiveTagKeys) > 0
	if a.RoleARN == "" && others {
		r.addf("assume_role: role_arn is missing; give the ARN of the role to assume")
	}
	r.unless(a.RoleARN == "" || roleARN.MatchString(a.RoleARN), "assume_role.role_arn", a.RoleARN,
		`a role's ARN, such as "arn:aws:iam::123456789012:role/packer"`)
	d := a.DurationSeconds
	r.unless(d == 0 || minRoleSeconds <= d && d <= maxRoleSeconds, "assume_role.duration_seconds", d, "900 to 43200 seconds")
	r.unless(a.Policy == "" || isJSON(a.Policy), "assume_role.policy", "(not shown)", "a policy document in JSON")
}

// clientOptions is the access part as awsclient takes it.
func (c *AccessConfig) clientOptions() awsclient.Options {
	o := awsclient.Options{
		Region:                c.Region,
		Profile:               c.Profile,
		AccessKey:             c.AccessKey,
		SecretKey:             c.SecretKey,
		Token:                 c.Token,
		SharedCredentialsFile: c.SharedCredentialsFile,
		MaxRetries:            c.MaxRetries,
		EndpointEC2:           c.CustomEndpointEC2,
		DualStack:             c.UseDualstackEndpoint,
		FIPS:                  c.UseFIPSEndpoint,
		NoMetadata:            c.SkipMetadataAPICheck,
		SkipProof:             c.SkipCredentialValidation,
		UserAgent:             "packer-plugin-ssm/" + version.Plugin().String(),
	}
	if role := c.AssumeRole; role.RoleARN != "" {
		o.AssumeRole = &awsclient.AssumeRole{
			RoleARN:           role.RoleARN,
			Duration:          time.Duration(role.DurationSeconds) * time.Second,
			ExternalID:        role.ExternalID,
			Policy:            role.Policy,
			PolicyARNs:        role.PolicyARNs,
			SessionName:       role.SessionName,
			Tags:              role.Tags,
			TransitiveTagKeys: role.TransitiveTagKeys,
		}
	}
	return o
}

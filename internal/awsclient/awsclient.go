// Package awsclient is the one way from a template's access options to AWS:
// region, credentials, retries, and errors told by their API codes.
//
// Endpoints come from the SDK, which reads AWS_ENDPOINT_URL and
// AWS_ENDPOINT_URL_<SERVICE> by itself; only EC2's can be given in a template.
package awsclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go/middleware"
)

const (
	// DefaultMaxRetries is how often a request is tried when Options say nothing.
	DefaultMaxRetries = 10

	// DefaultAttemptTimeout ends one try of one request, so that a server that went
	// silent costs a retry and not the build.
	DefaultAttemptTimeout = 30 * time.Second

	// credentialsTimeout ends the search for credentials. Off EC2 the last
	// place that is asked, the instance metadata service, never answers.
	credentialsTimeout = 15 * time.Second

	// expiryWindow renews an assumed role this long before it expires, so
	// that no request leaves with credentials that expire on the way.
	expiryWindow = 5 * time.Minute
)

// Options say who asks, and where. The zero value takes everything from the
// environment and the shared files, as the AWS CLI does.
type Options struct {
	Region                string
	Profile               string
	AccessKey             string
	SecretKey             string
	Token                 string
	SharedCredentialsFile string
	MaxRetries            int // tries of one request; 0 means DefaultMaxRetries
	AssumeRole            *AssumeRole
	UserAgent             string        // "name/version", added to the SDK's own
	AttemptTimeout        time.Duration // ends one try of one request; 0 means DefaultAttemptTimeout

	EndpointEC2 string // the URL that stands in for EC2's in Region; empty means the SDK's choice
	DualStack   bool   // endpoints that have IPv6, too
	FIPS        bool   // endpoints with FIPS 140 validated cryptography
	NoMetadata  bool   // don't ask the instance metadata service for credentials
	SkipProof   bool   // don't prove that there are credentials
}

// AssumeRole is the role that is taken before anything else is asked.
type AssumeRole struct {
	RoleARN           string
	Duration          time.Duration // 0 means 15 minutes; it is renewed for as long as the build lasts
	ExternalID        string
	Policy            string
	PolicyARNs        []string
	SessionName       string
	Tags              map[string]string
	TransitiveTagKeys []string
}

// Load finds region and credentials and proves that there are some. It makes
// no request to AWS unless the credentials themselves demand it (SSO,
// AssumeRole).
func Load(ctx context.Context, o Options) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, loadOptions(o)...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("aws configuration: %w; check profile and the files in ~/.aws", err)
	}
	if cfg.Region == "" {
		return aws.Config{}, errors.New(`region: none is set; set region = "us-east-1" (or another) in the source, or AWS_REGION in the environment`)
	}
	if o.AssumeRole != nil && o.AssumeRole.RoleARN != "" {
		cfg = As(cfg, *o.AssumeRole)
	}
	if o.EndpointEC2 != "" {
		cfg.ServiceOptions = append(cfg.ServiceOptions, endpointEC2(cfg.Region, o.EndpointEC2))
	}
	if o.SkipProof {
		return cfg, nil
	}
	return cfg, proveCredentials(ctx, cfg, o)
}

// endpointEC2 sets EC2's endpoint. It is that of one region, so clients of others keep their own.
func endpointEC2(region, url string) func(string, any) {
	return func(_ string, options any) {
		if o, ok := options.(*ec2.Options); ok && o.Region == region {
			o.BaseEndpoint = aws.String(url)
		}
	}
}

func loadOptions(o Options) []func(*config.LoadOptions) error {
	tries := o.MaxRetries
	if tries <= 0 {
		tries = DefaultMaxRetries
	}
	list := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer { return retryer(tries) }),
		config.WithAPIOptions([]func(*middleware.Stack) error{plainBodies}),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(cmp.Or(o.AttemptTimeout, DefaultAttemptTimeout))),
	}
	if o.Region != "" {
		list = append(list, config.WithRegion(o.Region))
	}
	if o.Profile != "" {
		list = append(list, config.WithSharedConfigProfile(o.Profile))
	}
	if o.DualStack {
		list = append(list, config.WithUseDualStackEndpoint(aws.DualStackEndpointStateEnabled))
	}
	if o.FIPS {
		list = append(list, config.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled))
	}
	if o.NoMetadata {
		list = append(list, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	}
	if o.SharedCredentialsFile != "" {
		list = append(list, config.WithSharedCredentialsFiles([]string{o.SharedCredentialsFile}))
	}
	if o.AccessKey != "" {
		static := credentials.NewStaticCredentialsProvider(o.AccessKey, o.SecretKey, o.Token)
		list = append(list, config.WithCredentialsProvider(static))
	}
	if name, number, ok := strings.Cut(o.UserAgent, "/"); ok {
		agent := awsmiddleware.AddUserAgentKeyValue(name, number)
		list = append(list, config.WithAPIOptions([]func(*middleware.Stack) error{agent}))
	}
	return list
}

// retryer is the SDK's standard one, which would also ask again and again for
// what AWS is out of: EC2 says so with status 500. Another type or zone helps
// sooner, and that is the caller's to choose.
func retryer(tries int) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = tries
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(notForCapacity)}, o.Retryables...)
	})
}

func notForCapacity(err error) aws.Ternary {
	if OutOfCapacity(err) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}

// As is cfg with the credentials of a role, which cfg's own assume. They are
// renewed for as long as they are used.
func As(cfg aws.Config, role AssumeRole) aws.Config {
	as := cfg.Copy()
	as.Credentials = assume(cfg, role)
	return as
}

func assume(cfg aws.Config, role AssumeRole) aws.CredentialsProvider {
	provider := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), role.RoleARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = role.SessionName
		o.Duration = role.Duration
		o.ExternalID = optional(role.ExternalID)
		o.Policy = optional(role.Policy)
		o.TransitiveTagKeys = role.TransitiveTagKeys
		for _, arn := range role.PolicyARNs {
			o.PolicyARNs = append(o.PolicyARNs, types.PolicyDescriptorType{Arn: aws.String(arn)})
		}
		for key, value := range role.Tags {
			o.Tags = append(o.Tags, types.Tag{Key: aws.String(key), Value: aws.String(value)})
		}
	})
	return aws.NewCredentialsCache(provider, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = expiryWindow })
}

func proveCredentials(ctx context.Context, cfg aws.Config, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, credentialsTimeout)
	defer cancel()
	_, err := cfg.Credentials.Retrieve(ctx)
	if err == nil {
		return nil
	}
	if o.AssumeRole != nil && o.AssumeRole.RoleARN != "" {
		return fmt.Errorf("credentials: assume role %s: %w; the caller needs sts:AssumeRole on it, and the role must trust the caller",
			o.AssumeRole.RoleARN, Err(err))
	}
	return fmt.Errorf("credentials: none that work: %w; set profile in the source, or AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or log in again with aws sso login", Err(err))
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

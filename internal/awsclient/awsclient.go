// Package awsclient is the one way from a template's access options to AWS:
// region, credentials, retries, and errors told by their API codes.
//
// Endpoints are not its business: the SDK reads AWS_ENDPOINT_URL and
// AWS_ENDPOINT_URL_<SERVICE> by itself.
package awsclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go/middleware"
)

const (
	// DefaultMaxRetries is how often a request is tried when Options say nothing.
	DefaultMaxRetries = 10

	// attemptTimeout ends one try of one request, so that a server that went
	// silent costs a retry and not the build.
	attemptTimeout = 30 * time.Second

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
	UserAgent             string // "name/version", added to the SDK's own
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
		cfg.Credentials = assume(cfg, *o.AssumeRole)
	}
	return cfg, proveCredentials(ctx, cfg, o)
}

func loadOptions(o Options) []func(*config.LoadOptions) error {
	tries := o.MaxRetries
	if tries <= 0 {
		tries = DefaultMaxRetries
	}
	list := []func(*config.LoadOptions) error{
		config.WithRetryMode(aws.RetryModeStandard),
		config.WithRetryMaxAttempts(tries),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(attemptTimeout)),
	}
	if o.Region != "" {
		list = append(list, config.WithRegion(o.Region))
	}
	if o.Profile != "" {
		list = append(list, config.WithSharedConfigProfile(o.Profile))
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

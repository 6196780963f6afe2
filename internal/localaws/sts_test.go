package localaws

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// makeRole makes a role that trusts who the statement says.
func makeRole(t *testing.T, cfg aws.Config, name, principal, condition string, actions string) {
	t.Helper()
	client := iam.NewFromConfig(cfg)
	trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":%s,"Action":%s,"Condition":%s}]}`, principal, actions, condition)
	_, err := client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	ok(t, err)
	_, err = client.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{
		RoleName: &name, PolicyName: aws.String("all"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["iam:Get*","iam:List*","sts:*"],"Resource":"*"}}`),
	})
	ok(t, err)
}

func TestAssumeRole(t *testing.T) {
	s := startServer(t, Options{})
	cfg := sdkConfig(t, s, DefaultAccount)
	const root, builder = `{"AWS":"arn:aws:iam::123456789012:root"}`, `{"AWS":"arn:aws:iam::123456789012:user/builder"}`
	const assume = `"sts:AssumeRole"`
	makeRole(t, cfg, "open", root, `{}`, assume)
	makeRole(t, cfg, "tagged", builder, `{}`, `["sts:AssumeRole","sts:TagSession"]`)
	makeRole(t, cfg, "external", root, `{"StringEquals":{"sts:ExternalId":"4711"}}`, assume)
	makeRole(t, cfg, "service", `{"Service":"ec2.amazonaws.com"}`, `{}`, assume)
	client := sts.NewFromConfig(cfg)
	input := func(role string) *sts.AssumeRoleInput {
		return &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::123456789012:role/" + role), RoleSessionName: aws.String("packer")}
	}
	got, err := client.AssumeRole(t.Context(), input("open"))
	ok(t, err)
	if *got.AssumedRoleUser.Arn != "arn:aws:sts::123456789012:assumed-role/open/packer" {
		t.Errorf("session %s", *got.AssumedRoleUser.Arn)
	}
	const denied = "User: arn:aws:iam::123456789012:user/builder is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/"
	for _, role := range []string{"external", "service", "absent"} {
		_, err = client.AssumeRole(t.Context(), input(role))
		wantAPIError(t, err, "AccessDenied", denied+role)
	}
	with := input("external")
	with.ExternalId = aws.String("4711")
	_, err = client.AssumeRole(t.Context(), with)
	ok(t, err)

	tagged := input("open")
	tagged.Tags = []ststypes.Tag{{Key: aws.String("k"), Value: aws.String("v")}}
	_, err = client.AssumeRole(t.Context(), tagged)
	wantAPIError(t, err, "AccessDenied", "sts:TagSession")
	tagged.RoleArn = aws.String("arn:aws:iam::123456789012:role/tagged")
	tagged.TransitiveTagKeys = []string{"k"}
	_, err = client.AssumeRole(t.Context(), tagged)
	ok(t, err)

	for seconds, code := range map[int32]string{60: "ValidationError", 7200: "ValidationError", 50000: "ValidationError"} {
		long := input("open")
		long.DurationSeconds = &seconds
		_, err = client.AssumeRole(t.Context(), long)
		wantAPIError(t, err, code)
	}
}

func TestAssumedRolesPolicies(t *testing.T) {
	s := startServer(t, Options{})
	cfg := sdkConfig(t, s, DefaultAccount)
	makeRole(t, cfg, "reader", `{"AWS":"123456789012"}`, `{}`, `"sts:AssumeRole"`)
	assumed := cfg.Copy()
	assumed.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), "arn:aws:iam::123456789012:role/reader"))
	_, err := iam.NewFromConfig(assumed).GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("reader")})
	ok(t, err)
	_, err = iam.NewFromConfig(assumed).DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: aws.String("reader"), PolicyName: aws.String("all")})
	wantAPIError(t, err, "AccessDenied", "assumed-role/reader/", "iam:DeleteRolePolicy")

	narrow := cfg.Copy()
	narrow.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), "arn:aws:iam::123456789012:role/reader", func(o *stscreds.AssumeRoleOptions) {
		o.Policy = aws.String(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:ListRoles","Resource":"*"}}`)
	}))
	_, err = iam.NewFromConfig(narrow).ListRoles(t.Context(), nil)
	ok(t, err)
	_, err = iam.NewFromConfig(narrow).GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("reader")})
	wantAPIError(t, err, "AccessDenied", "because no session policy allows the iam:GetRole action")

	client := iam.NewFromConfig(cfg)
	_, err = client.PutRolePermissionsBoundary(t.Context(), &iam.PutRolePermissionsBoundaryInput{
		RoleName: aws.String("reader"), PermissionsBoundary: aws.String("arn:aws:iam::aws:policy/AmazonEC2ReadOnlyAccess"),
	})
	ok(t, err)
	_, err = iam.NewFromConfig(assumed).GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("reader")})
	wantAPIError(t, err, "AccessDenied", "because no permissions boundary allows the iam:GetRole action")
}

func TestOtherAccount(t *testing.T) {
	s := startServer(t, Options{})
	cfg := sdkConfig(t, s, DefaultAccount)
	far := cfg.Copy()
	far.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), "arn:aws:iam::210987654321:role/OrganizationAccountAccessRole"))
	who, err := sts.NewFromConfig(far).GetCallerIdentity(t.Context(), nil)
	ok(t, err)
	if *who.Account != OtherAccount {
		t.Errorf("account %s", *who.Account)
	}
	_, err = sts.NewFromConfig(sdkConfig(t, s, OtherAccount)).AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:aws:iam::210987654321:role/OrganizationAccountAccessRole"), RoleSessionName: aws.String("me"),
	})
	wantAPIError(t, err, "AccessDenied")
}

func TestSessionTokensAndExpiry(t *testing.T) {
	s := startServer(t, Options{})
	cfg := sdkConfig(t, s, DefaultAccount)
	got, err := sts.NewFromConfig(cfg).GetSessionToken(t.Context(), &sts.GetSessionTokenInput{DurationSeconds: aws.Int32(900)})
	ok(t, err)
	temporary := cfg.Copy()
	temporary.Credentials = credentials.NewStaticCredentialsProvider(*got.Credentials.AccessKeyId, *got.Credentials.SecretAccessKey, *got.Credentials.SessionToken)
	_, err = sts.NewFromConfig(temporary).GetCallerIdentity(t.Context(), nil)
	ok(t, err)
	_, err = iam.NewFromConfig(temporary).GetUser(t.Context(), nil)
	wantAPIError(t, err, "InvalidClientTokenId")
	_, err = sts.NewFromConfig(temporary).GetSessionToken(t.Context(), nil)
	wantAPIError(t, err, "AccessDenied")
	s.mu.Lock()
	s.iam.credentials[*got.Credentials.AccessKeyId].expires = time.Now().Add(-time.Second)
	s.mu.Unlock()
	_, err = sts.NewFromConfig(temporary).GetCallerIdentity(t.Context(), nil)
	wantAPIError(t, err, "ExpiredToken", "The security token included in the request is expired")
}

func TestRefusalsAreDecoded(t *testing.T) {
	s := startServer(t, Options{CallerPolicy: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:*","Resource":"*"}}`})
	cfg := sdkConfig(t, s, DefaultAccount)
	_, err := ec2.NewFromConfig(cfg).DescribeRegions(t.Context(), nil)
	wantAPIError(t, err, "UnauthorizedOperation")
	_, encoded, _ := strings.Cut(err.Error(), "Encoded authorization failure message: ")
	got, err := sts.NewFromConfig(cfg).DecodeAuthorizationMessage(t.Context(), &sts.DecodeAuthorizationMessageInput{EncodedMessage: &encoded})
	ok(t, err)
	for _, word := range []string{`"allowed":false`, `"explicitDeny":false`, `"action":"ec2:DescribeRegions"`} {
		if !strings.Contains(*got.DecodedMessage, word) {
			t.Errorf("%s has no %s", *got.DecodedMessage, word)
		}
	}
}

package localaws

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// deniedOn is the resource that a dry run's refusal names; empty when the launch would have been allowed.
func deniedOn(t *testing.T, err error) string {
	t.Helper()
	var refusal smithy.APIError
	if !errors.As(err, &refusal) {
		t.Fatal(err)
	}
	switch refusal.ErrorCode() {
	case "DryRunOperation":
		return ""
	case "UnauthorizedOperation":
		_, rest, _ := strings.Cut(refusal.ErrorMessage(), "is not authorized to perform: ")
		action, rest, _ := strings.Cut(rest, " on resource: ")
		resource, _, _ := strings.Cut(rest, " ")
		return action + " " + resource[strings.LastIndexByte(resource, ':')+1:]
	}
	return refusal.ErrorCode()
}

func ebs(e types.EbsBlockDevice) func(*ec2.RunInstancesInput) {
	return func(in *ec2.RunInstancesInput) {
		in.BlockDeviceMappings = []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/xvda"), Ebs: &e}}
	}
}

func tagged(kinds ...types.ResourceType) func(*ec2.RunInstancesInput) {
	return func(in *ec2.RunInstancesInput) {
		for _, kind := range kinds {
			in.TagSpecifications = append(in.TagSpecifications, types.TagSpecification{ResourceType: kind, Tags: []types.Tag{{Key: aws.String("Owner"), Value: aws.String("me")}}})
		}
	}
}

// A launch needs ec2:RunInstances on each resource that it uses or makes, with that resource's own condition keys.
func TestLaunchIsAllowedResourceByResource(t *testing.T) {
	t.Parallel()
	const all = `{"Effect":"Allow","Action":"*","Resource":"*"},`
	deny := func(kind, condition string) string {
		return all + `{"Effect":"Deny","Action":"ec2:RunInstances","Resource":"arn:aws:ec2:*:*:` + kind + `/*","Condition":{` + condition + `}}`
	}
	metadata := func(tokens types.HttpTokensState) func(*ec2.RunInstancesInput) {
		return func(in *ec2.RunInstancesInput) {
			in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpTokens: tokens}
		}
	}
	requireTags := `{"Effect":"Allow","Action":["ec2:RunInstances","ec2:CreateTags","ec2:Describe*","ssm:*"],"Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/Owner":"me"}}},
		{"Effect":"Allow","Action":"ec2:RunInstances","Resource":["arn:aws:ec2:*::image/*","arn:aws:ec2:*:*:subnet/*","arn:aws:ec2:*:*:security-group/*","arn:aws:ec2:*:*:network-interface/*"]},
		{"Effect":"Allow","Action":["ec2:Describe*","ssm:*"],"Resource":"*"}`
	for name, test := range map[string]struct {
		statements string
		change     func(*ec2.RunInstancesInput)
		want       string // refusals begin with
	}{
		"all":                {strings.TrimSuffix(all, ","), func(*ec2.RunInstancesInput) {}, ""},
		"tokens optional":    {deny("instance", `"StringNotEquals":{"ec2:MetadataHttpTokens":"required"}`), metadata("optional"), "ec2:RunInstances instance/*"},
		"tokens required":    {deny("instance", `"StringNotEquals":{"ec2:MetadataHttpTokens":"required"}`), metadata("required"), ""},
		"plain volume":       {deny("volume", `"Bool":{"ec2:Encrypted":"false"}`), func(*ec2.RunInstancesInput) {}, "ec2:RunInstances volume/*"},
		"encrypted volume":   {deny("volume", `"Bool":{"ec2:Encrypted":"false"}`), ebs(types.EbsBlockDevice{Encrypted: aws.Bool(true)}), ""},
		"large volume":       {deny("volume", `"NumericGreaterThan":{"ec2:VolumeSize":"20"}`), ebs(types.EbsBlockDevice{VolumeSize: aws.Int32(21)}), "ec2:RunInstances volume/*"},
		"small volume":       {deny("volume", `"NumericGreaterThan":{"ec2:VolumeSize":"20"}`), ebs(types.EbsBlockDevice{VolumeSize: aws.Int32(20)}), ""},
		"the default subnet": {deny("subnet", `"StringLike":{"ec2:Vpc":"arn:aws:ec2:us-east-1:123456789012:vpc/*"}`), func(*ec2.RunInstancesInput) {}, "ec2:RunInstances subnet/subnet-"},
		"the default group":  {deny("security-group", `"StringLike":{"ec2:Vpc":"*"}`), func(*ec2.RunInstancesInput) {}, "ec2:RunInstances security-group/sg-"},
		"Amazon's image":     {deny("image", `"StringNotEquals":{"ec2:Owner":"amazon"}`), func(*ec2.RunInstancesInput) {}, ""},
		"no public address":  {deny("network-interface", `"Bool":{"ec2:AssociatePublicIpAddress":"true"}`), func(*ec2.RunInstancesInput) {}, "ec2:RunInstances network-interface/*"},
		"type":               {deny("instance", `"StringNotLike":{"ec2:InstanceType":"t4g.*"}`), func(*ec2.RunInstancesInput) {}, "ec2:RunInstances instance/*"},
		"spot": {deny("instance", `"StringEquals":{"ec2:InstanceMarketType":"spot"}`), func(in *ec2.RunInstancesInput) {
			in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: "spot"}
		}, "ec2:RunInstances instance/*"},
		"tags on both":           {requireTags, tagged("instance", "volume"), ""},
		"tags on one":            {requireTags, tagged("instance"), "ec2:RunInstances volume/*"},
		"other tags than wanted": {all + `{"Effect":"Deny","Action":"ec2:CreateTags","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"aws:TagKeys":"Owner"}}}`, tagged("volume"), "ec2:CreateTags volume/*"},
		"tags only at creation":  {all + `{"Effect":"Deny","Action":"ec2:CreateTags","Resource":"*","Condition":{"StringNotEquals":{"ec2:CreateAction":"RunInstances"}}}`, tagged("volume"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := ec2Client(t, startServer(t, Options{CallerPolicy: `{"Version":"2012-10-17","Statement":[` + test.statements + `]}`}), DefaultAccount)
			_, err := runOne(t, c, func(in *ec2.RunInstancesInput) {
				in.DryRun = aws.Bool(true)
				test.change(in)
			})
			if got := deniedOn(t, err); got != test.want && (test.want == "" || !strings.HasPrefix(got, test.want)) {
				t.Errorf("denied on %q, want %q", got, test.want)
			}
		})
	}
}

// What a launch template brings is asked about like what the request names.
func TestLaunchTemplatesPassNoRoleUnasked(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{CallerPolicy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotAction":"iam:PassRole","Resource":"*"}]}`})
	cfg := sdkConfig(t, s, DefaultAccount)
	other := iam.NewFromConfig(cfg)
	_, err := other.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String(trustEC2)})
	ok(t, err)
	_, err = other.CreateInstanceProfile(t.Context(), &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String("p")})
	ok(t, err)
	_, err = other.AddRoleToInstanceProfile(t.Context(), &iam.AddRoleToInstanceProfileInput{InstanceProfileName: aws.String("p"), RoleName: aws.String("r")})
	wantAPIError(t, err, "AccessDenied", "iam:PassRole", "role/r")
	s.mu.Lock()
	account := s.iam.accounts[DefaultAccount]
	account.profile("p").role = account.role("r")
	s.mu.Unlock()
	c := ec2Client(t, s, DefaultAccount)
	_, err = c.CreateLaunchTemplate(t.Context(), &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String("template"), LaunchTemplateData: &types.RequestLaunchTemplateData{
		IamInstanceProfile: &types.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: aws.String("p")},
	}})
	ok(t, err)
	_, err = runOne(t, c, func(in *ec2.RunInstancesInput) {
		in.DryRun = aws.Bool(true)
		in.LaunchTemplate = &types.LaunchTemplateSpecification{LaunchTemplateName: aws.String("template")}
	})
	if got := deniedOn(t, err); got != "iam:PassRole role/r" {
		t.Errorf("denied on %q", got)
	}
}

func TestDecodedRefusalsSayWhatWasAsked(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{CallerPolicy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ec2:Describe*","ssm:*","sts:*"],"Resource":"*"}]}`})
	_, err := runOne(t, ec2Client(t, s, DefaultAccount), func(*ec2.RunInstancesInput) {})
	wantAPIError(t, err, "UnauthorizedOperation", "Encoded authorization failure message: ")
	encoded := err.Error()[strings.LastIndexByte(err.Error(), ' ')+1:]
	decoded, err := sts.NewFromConfig(sdkConfig(t, s, DefaultAccount)).DecodeAuthorizationMessage(t.Context(), &sts.DecodeAuthorizationMessageInput{EncodedMessage: &encoded})
	ok(t, err)
	for _, words := range []string{`"allowed":false`, `"explicitDeny":false`, `"action":"ec2:RunInstances"`, `{"key":"ec2:region","values":{"items":[{"value":"us-east-1"}]}}`} {
		if !strings.Contains(*decoded.DecodedMessage, words) {
			t.Errorf("no %s in %s", words, *decoded.DecodedMessage)
		}
	}
}

// AWS's documented policy for one's own sessions goes by the session's tags.
func TestSessionsHaveTheirOwnersTag(t *testing.T) {
	s := quietServer(t, Options{CallerPolicy: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ssm:TerminateSession","Resource":"*",
		"Condition":{"StringLike":{"ssm:resourceTag/aws:ssmmessages:session-id":["${aws:userid}"]}}}}`})
	c := &call{server: s, service: "ssm", action: "TerminateSession", region: "us-east-1", caller: s.iam.keyOf(DefaultAccount).who, now: s.clock.Now()}
	for id, owner := range map[string]string{"builder-1": c.caller.userID, "mallory-1": "AIDAMALLORY"} {
		s.ssmPlace(DefaultAccount, "us-east-1").sessions[id] = &ssmSession{id: id, ownerID: owner}
		c.body = fmt.Appendf(nil, `{"SessionId":%q}`, id)
		if err := s.permit(c); (err == nil) != (owner == c.caller.userID) {
			t.Errorf("%s of %s: %v", id, owner, err)
		}
	}
}

package localaws

import (
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func TestPolicyVersions(t *testing.T) {
	t.Parallel()
	c := iam.NewFromConfig(sdkConfig(t, startServer(t, Options{}), DefaultAccount))
	text := func(action string) *string {
		return aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"*"}]}`)
	}
	made, err := c.CreatePolicy(t.Context(), &iam.CreatePolicyInput{PolicyName: aws.String("p"), PolicyDocument: text("s3:GetObject")})
	ok(t, err)
	arn := made.Policy.Arn
	for _, action := range []string{"s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "s3:CreateBucket"} {
		_, err = c.CreatePolicyVersion(t.Context(), &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: text(action), SetAsDefault: action == "s3:PutObject"})
		ok(t, err)
	}
	_, err = c.CreatePolicyVersion(t.Context(), &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: text("s3:*")})
	wantAPIError(t, err, "LimitExceeded", "up to 5 versions")
	got, err := c.GetPolicyVersion(t.Context(), &iam.GetPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v2")})
	ok(t, err)
	if plain, _ := url.QueryUnescape(*got.PolicyVersion.Document); !got.PolicyVersion.IsDefaultVersion || !strings.Contains(plain, "s3:PutObject") {
		t.Errorf("%+v", got.PolicyVersion)
	}
	_, err = c.DeletePolicyVersion(t.Context(), &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v2")})
	wantAPIError(t, err, "DeleteConflict", "default version")
	_, err = c.DeletePolicy(t.Context(), &iam.DeletePolicyInput{PolicyArn: arn})
	wantAPIError(t, err, "DeleteConflict", "more than one version")
	_, err = c.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String(trustEC2)})
	ok(t, err)
	_, err = c.AttachRolePolicy(t.Context(), &iam.AttachRolePolicyInput{RoleName: aws.String("r"), PolicyArn: aws.String(strings.Repeat("x", 20))})
	wantAPIError(t, err, "InvalidInput", "is not valid")
	_, err = c.AttachRolePolicy(t.Context(), &iam.AttachRolePolicyInput{RoleName: aws.String("r"), PolicyArn: arn})
	ok(t, err)
	who, err := c.ListEntitiesForPolicy(t.Context(), &iam.ListEntitiesForPolicyInput{PolicyArn: arn, EntityFilter: types.EntityTypeRole})
	ok(t, err)
	if len(who.PolicyRoles) != 1 || *who.PolicyRoles[0].RoleName != "r" || len(who.PolicyUsers) != 0 {
		t.Errorf("%+v", who)
	}
	_, err = c.DeletePolicyVersion(t.Context(), &iam.DeletePolicyVersionInput{PolicyArn: aws.String("arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"), VersionId: aws.String("v1")})
	wantAPIError(t, err, "AccessDenied")
}

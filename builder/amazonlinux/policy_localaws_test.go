//go:build linux

package amazonlinux_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// What the template allows the temporary role is its policy, in IAM's form, conditions included.
func TestTemporaryRolePolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	var got []map[string]any
	w.during(block{"skip_create_ami": true, "temporary_iam_instance_profile_policy_document": block{
		"Version": "2012-10-17",
		"Statement": []block{{
			"Effect": "Deny", "Action": []string{"s3:*"}, "Resource": []string{"arn:aws:s3:::web/*"},
			"Condition": []block{
				{"Test": "StringEquals", "Variable": "aws:PrincipalTag/Team", "Values": []string{"web", "ops"}},
				{"Test": "StringEquals", "Variable": "aws:SourceVpc", "Values": []string{"vpc-1"}},
				{"Test": "Bool", "Variable": "aws:SecureTransport", "Values": []string{"false"}},
			},
		}},
	}}, func(id string) {
		role := aws.String(roleOf(aws.ToString(w.instance(id).IamInstanceProfile.Arn)))
		names, err := w.iam().ListRolePolicies(t.Context(), &iam.ListRolePoliciesInput{RoleName: role})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names.PolicyNames {
			policy, err := w.iam().GetRolePolicy(t.Context(), &iam.GetRolePolicyInput{RoleName: role, PolicyName: aws.String(name)})
			if err != nil {
				t.Fatal(err)
			}
			text, err := url.QueryUnescape(aws.ToString(policy.PolicyDocument))
			if err != nil {
				t.Fatal(err)
			}
			var doc map[string]any
			if err := json.Unmarshal([]byte(text), &doc); err != nil {
				t.Fatal(err)
			}
			got = append(got, doc)
		}
	})
	want := `{"Statement":[{"Action":["s3:*"],"Condition":{"Bool":{"aws:SecureTransport":["false"]},` +
		`"StringEquals":{"aws:PrincipalTag/Team":["web","ops"],"aws:SourceVpc":["vpc-1"]}},"Effect":"Deny","Resource":["arn:aws:s3:::web/*"]}],"Version":"2012-10-17"}`
	if !slices.ContainsFunc(got, func(doc map[string]any) bool {
		text, err := json.Marshal(doc)
		return err == nil && string(text) == want
	}) {
		t.Errorf("policies of the role: %v\nwant one that is %s", got, want)
	}
	if len(got) != 2 {
		t.Errorf("%d policies, want the agent's and the template's", len(got))
	}
}

package localaws

import (
	"fmt"
	"testing"
)

func TestEvaluate(t *testing.T) {
	const all = `"Resource":"*"`
	for _, test := range []struct {
		name, statements, action, resource string
		want                               verdict
	}{
		{"exact", `{"Effect":"Allow","Action":"ec2:RunInstances",` + all + `}`, "ec2:RunInstances", "*", allowed},
		{"action has no case", `{"Effect":"Allow","Action":"EC2:runinstances",` + all + `}`, "ec2:RunInstances", "*", allowed},
		{"action pattern", `{"Effect":"Allow","Action":["ec2:Describe*","ssm:?et*"],` + all + `}`, "ssm:GetParameter", "*", allowed},
		{"other service", `{"Effect":"Allow","Action":"ec2:*",` + all + `}`, "ssm:GetParameter", "*", silent},
		{"star", `{"Effect":"Allow","Action":"*",` + all + `}`, "ssm:GetParameter", "arn:aws:ssm:::x", allowed},
		{"resource pattern", `{"Effect":"Allow","Action":"*","Resource":"arn:aws:iam::*:role/packer-*"}`, "iam:GetRole", "arn:aws:iam::1:role/packer-x", allowed},
		{"resource has case", `{"Effect":"Allow","Action":"*","Resource":"arn:aws:iam::*:role/Packer-*"}`, "iam:GetRole", "arn:aws:iam::1:role/packer-x", silent},
		{"all resources asked, some allowed", `{"Effect":"Allow","Action":"*","Resource":"arn:aws:iam::*:role/x"}`, "iam:ListRoles", "*", silent},
		{"deny wins", `{"Effect":"Allow","Action":"*",` + all + `},{"Effect":"Deny","Action":"ec2:RunInstances",` + all + `}`, "ec2:RunInstances", "*", denied},
		{"deny first wins", `{"Effect":"Deny","Action":"ec2:*",` + all + `},{"Effect":"Allow","Action":"*",` + all + `}`, "ec2:RunInstances", "*", denied},
		{"not action", `{"Effect":"Allow","NotAction":"iam:*",` + all + `}`, "ec2:RunInstances", "*", allowed},
		{"not action, that one", `{"Effect":"Allow","NotAction":"iam:*",` + all + `}`, "iam:GetRole", "*", silent},
		{"not resource", `{"Effect":"Deny","Action":"*","NotResource":"arn:aws:iam::1:role/x"}`, "iam:GetRole", "arn:aws:iam::1:role/y", denied},
		{"variable", `{"Effect":"Allow","Action":"*","Resource":"arn:aws:ssm:*:*:session/${aws:username}-*"}`, "ssm:TerminateSession", "arn:aws:ssm:r:a:session/builder-1", allowed},
		{"unset variable", `{"Effect":"Allow","Action":"*","Resource":"arn:aws:ssm:*:*:session/${aws:none}*"}`, "ssm:TerminateSession", "arn:aws:ssm:r:a:session/builder-1", silent},
	} {
		t.Run(test.name, func(t *testing.T) {
			doc, err := parsePolicy(`{"Version":"2012-10-17","Statement":[` + test.statements + `]}`)
			if err != nil {
				t.Fatal(err)
			}
			q := question{action: test.action, resource: test.resource, context: map[string][]string{"aws:username": {"builder"}}}
			if got := evaluate(q, []*policyDocument{doc}); got != test.want {
				t.Errorf("verdict %d, want %d", got, test.want)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	context := map[string][]string{
		"aws:requestedregion": {"us-east-1"},
		"aws:tagkeys":         {"Name", "Owner"},
		"aws:principalarn":    {"arn:aws:iam::123456789012:role/deep/er/x"},
		"aws:sourceip":        {"127.0.0.1"},
		"aws:currenttime":     {"2026-06-01T00:00:00Z"},
		"aws:multifactor":     {"true"},
		"ec2:volumesize":      {"20"},
	}
	for condition, want := range map[string]bool{
		`{}`: true,
		`{"StringEquals":{"aws:RequestedRegion":"us-east-1"}}`:                                    true,
		`{"StringEquals":{"aws:RequestedRegion":["eu-west-1","us-east-1"]}}`:                      true,
		`{"StringEquals":{"aws:RequestedRegion":"US-EAST-1"}}`:                                    false,
		`{"StringEqualsIgnoreCase":{"aws:RequestedRegion":"US-EAST-1"}}`:                          true,
		`{"StringNotEquals":{"aws:RequestedRegion":["eu-west-1","us-east-1"]}}`:                   false,
		`{"StringNotEquals":{"aws:RequestedRegion":"eu-west-1"}}`:                                 true,
		`{"StringLike":{"aws:RequestedRegion":"us-*"}}`:                                           true,
		`{"StringNotLike":{"aws:RequestedRegion":"us-*"}}`:                                        false,
		`{"StringEquals":{"aws:Absent":"x"}}`:                                                     false,
		`{"StringNotEquals":{"aws:Absent":"x"}}`:                                                  true,
		`{"StringEqualsIfExists":{"aws:Absent":"x"}}`:                                             true,
		`{"Null":{"aws:Absent":"true"}}`:                                                          true,
		`{"Null":{"aws:RequestedRegion":"true"}}`:                                                 false,
		`{"Null":{"aws:RequestedRegion":false}}`:                                                  true,
		`{"ForAllValues:StringEquals":{"aws:TagKeys":["Name","Owner","Cost"]}}`:                   true,
		`{"ForAllValues:StringEquals":{"aws:TagKeys":["Name"]}}`:                                  false,
		`{"ForAllValues:StringEquals":{"aws:Absent":["Name"]}}`:                                   true,
		`{"ForAnyValue:StringEquals":{"aws:TagKeys":["Owner"]}}`:                                  true,
		`{"ForAnyValue:StringEquals":{"aws:Absent":["Owner"]}}`:                                   false,
		`{"ForAnyValue:StringNotEquals":{"aws:Absent":["Owner"]}}`:                                false,
		`{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/deep/*"}}`:                           true,
		`{"ArnLike":{"aws:PrincipalArn":"arn:*"}}`:                                                false,
		`{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/deep/*"}}`:                        false,
		`{"Bool":{"aws:MultiFactor":true}}`:                                                       true,
		`{"Bool":{"aws:MultiFactor":"false"}}`:                                                    false,
		`{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}`:                                            true,
		`{"NotIpAddress":{"aws:SourceIp":["10.0.0.0/8","127.0.0.1"]}}`:                            false,
		`{"NumericLessThanEquals":{"ec2:VolumeSize":20}}`:                                         true,
		`{"NumericGreaterThan":{"ec2:VolumeSize":"20"}}`:                                          false,
		`{"DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}}`:                          true,
		`{"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}}`:                             false,
		`{"StringEquals":{"aws:RequestedRegion":"us-east-1"},"Bool":{"aws:MultiFactor":"false"}}`: false,
		`{"StringSounds":{"aws:RequestedRegion":"us-east-1"}}`:                                    false,
	} {
		doc, err := parsePolicy(fmt.Sprintf(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":%s}}`, condition))
		if err != nil {
			t.Fatal(err)
		}
		got := evaluate(question{action: "a:B", resource: "*", context: context}, []*policyDocument{doc}) == allowed
		if got != want {
			t.Errorf("%s: %v, want %v", condition, got, want)
		}
	}
}

func TestPolicyGrammar(t *testing.T) {
	s := quietServer(t, Options{})
	for text, want := range map[string]string{
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:B","Resource":"*"}}`: "",
		`nonsense`: "This policy contains invalid Json",
		`{"Version":"2012-10-17","Statement":[]}`:                                                                                                                      "Syntax errors in policy.",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"a:B","Resource":"*","X":1}]}`:                                                                "Syntax errors in policy.",
		`{"Version":"2012-10-17","Statement":[{"Effect":"allow","Action":"a:B","Resource":"*"}]}`:                                                                      "Syntax errors in policy.",
		`{"Version":"2012","Statement":[{"Effect":"Allow","Action":"a:B","Resource":"*"}]}`:                                                                            "Syntax errors in policy.",
		`{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Action":"a:B","Resource":"*"}]}`:                                                                      "Policy document must be version 2012-10-17 or greater.",
		`{"Statement":[{"Effect":"Allow","Action":"a:B","Resource":"*"}]}`:                                                                                             "Policy document must be version 2012-10-17 or greater.",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Resource":"*"}]}`:                                                                                     "Policy statement must contain actions.",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"a:B"}]}`:                                                                                     "Policy statement must contain resources.",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"B","Resource":"*"}]}`:                                                                        "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"a:B","Resource":"bucket"}]}`:                                                                 `Resource bucket must be in ARN format or "*".`,
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"a:B","Resource":"*","Principal":"*"}]}`:                                                      "Policy document should not specify a principal.",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"a:B","Resource":"*","Condition":{"StringSounds":{"a":"b"}}}]}`:                               "Invalid Condition type : StringSounds.",
		`{"Version":"2012-10-17","Statement":[{"Sid":"A","Effect":"Allow","Action":"a:B","Resource":"*"},{"Sid":"A","Effect":"Allow","Action":"a:B","Resource":"*"}]}`: "Statement IDs (SID) in a single policy must be unique.",
	} {
		doc, err := parsePolicy(text)
		if err == nil {
			err = doc.checkIdentity()
		}
		wantMalformed(t, text, want, err)
	}
	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":%s,"Action":"%s"%s}]}`
	for text, want := range map[string]string{
		fmt.Sprintf(trust, `{"Service":"ec2.amazonaws.com"}`, "sts:AssumeRole", ""):                        "",
		fmt.Sprintf(trust, `{"AWS":"123456789012"}`, "sts:AssumeRole", ""):                                 "",
		fmt.Sprintf(trust, `{"AWS":["arn:aws:iam::123456789012:user/builder","*"]}`, "sts:AssumeRole", ""): "",
		fmt.Sprintf(trust, `{"AWS":"arn:aws:iam::999999999999:role/far"}`, "sts:AssumeRole", ""):           "",
		fmt.Sprintf(trust, `{"AWS":"arn:aws:iam::123456789012:user/nobody"}`, "sts:AssumeRole", ""):        `Invalid principal in policy: "AWS":"arn:aws:iam::123456789012:user/nobody"`,
		fmt.Sprintf(trust, `{"Service":"ec2"}`, "sts:AssumeRole", ""):                                      `Invalid principal in policy: "SERVICE":"ec2"`,
		fmt.Sprintf(trust, `{"Service":"ec2.amazonaws.com"}`, "ec2:RunInstances", ""):                      "AssumeRole policy may only specify STS AssumeRole actions.",
		fmt.Sprintf(trust, `{"Service":"ec2.amazonaws.com"}`, "sts:AssumeRole", `,"Resource":"*"`):         "Has prohibited field Resource",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole"}]}`:              "Missing required field Principal",
	} {
		doc, err := parsePolicy(text)
		if err == nil {
			err = doc.checkTrust(s.iam)
		}
		wantMalformed(t, text, want, err)
	}
}

func wantMalformed(t *testing.T, text, want string, err error) {
	t.Helper()
	if want == "" && err == nil {
		return
	}
	if err == nil || err.Error() != "MalformedPolicyDocument: "+want {
		t.Errorf("%s: %v, want %q", text, err, want)
	}
}

func TestManagedPoliciesAreWellFormed(t *testing.T) {
	for arn, policy := range awsPolicies() {
		if err := policy.doc.checkIdentity(); err != nil {
			t.Errorf("%s: %v", arn, err)
		}
	}
}

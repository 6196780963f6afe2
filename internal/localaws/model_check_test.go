package localaws

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

// refusedForm is how a query call's parameters are refused before anything is looked up; empty when they are taken.
func refusedForm(service, action, parameters string) string {
	form, err := url.ParseQuery(parameters)
	if err != nil {
		return err.Error()
	}
	c := &call{service: service, action: action, form: form}
	return refusedAs(c.checkModel(c.formTree().structure("", models()[service].input(action))))
}

func refusedAs(err error) string {
	var refusal *apiError
	if errors.As(err, &refusal) {
		return refusal.Error()
	}
	return ""
}

func TestModelRefusesAsIAMDoes(t *testing.T) {
	const one = "ValidationError: 1 validation error detected: "
	for parameters, want := range map[string]string{
		"GetRole RoleName=a":                     "",
		"GetRole RoleName=a%20b":                 "ValidationError: The specified value for roleName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-",
		"GetRole ":                               one + "Value null at 'roleName' failed to satisfy constraint: Member must not be null",
		"ListRoles PathPrefix=x":                 "ValidationError: The specified value for pathPrefix is invalid. It must begin with / and contain only alphanumeric characters and/or / characters.",
		"ListRoles MaxItems=1001":                one + "Value '1001' at 'maxItems' failed to satisfy constraint: Member must have value less than or equal to 1000",
		"CreateRole Description=x":               "ValidationError: 2 validation errors detected: Value null at 'assumeRolePolicyDocument' failed to satisfy constraint: Member must not be null; Value null at 'roleName' failed to satisfy constraint: Member must not be null",
		"TagRole RoleName=a&Tags.member.1.Key=k": one + "Value null at 'tags.1.member.value' failed to satisfy constraint: Member must not be null",
		"TagRole RoleName=a&Tags.member.1.Key=k&Tags.member.1.Value=v":               "",
		"TagRole RoleName=a&Tags.member.1.Key=k!&Tags.member.1.Value=v":              one + `Value 'k!' at 'tags.1.member.key' failed to satisfy constraint: Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+`,
		"UntagRole RoleName=a&TagKeys.member.1=k!":                                   one + `Value '[k!]' at 'tagKeys' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+, Member must not be null]`,
		"CreateRole RoleName=a&AssumeRolePolicyDocument=%7B%7D&MaxSessionDuration=1": one + "Value '1' at 'maxSessionDuration' failed to satisfy constraint: Member must have value greater than or equal to 3600",
		"ListPolicies Scope=Mine":                                                    one + "Value 'Mine' at 'scope' failed to satisfy constraint: Member must satisfy enum value set: [All, AWS, Local]",
		"AttachRolePolicy RoleName=a&PolicyArn=" + strings.Repeat("x", 19):           one + "Value 'xxxxxxxxxxxxxxxxxxx' at 'policyArn' failed to satisfy constraint: Member must have length greater than or equal to 20",
	} {
		action, form, _ := strings.Cut(parameters, " ")
		if got := refusedForm("iam", action, form); got != want {
			t.Errorf("%s:\n got %s\nwant %s", parameters, got, want)
		}
	}
}

func TestModelRefusesAsSSMDoes(t *testing.T) {
	const one = "ValidationException: 1 validation error detected: "
	for sent, want := range map[string]struct {
		body   map[string]any
		refuse string
	}{
		"GetCommandInvocation": {map[string]any{"CommandId": "x", "InstanceId": "i-0123456789abcdef0"},
			one + "Value 'x' at 'commandId' failed to satisfy constraint: Member must have length greater than or equal to 36"},
		"SendCommand": {map[string]any{"DocumentName": "AWS-RunShellScript", "InstanceIds": []any{"foo"}},
			one + `Value '[foo]' at 'instanceIds' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy regular expression pattern: (^i-(\w{8}|\w{17})$)|(^mi-\w{17}$), Member must not be null]`},
		"ListCommands": {map[string]any{"Filters": []any{map[string]any{"key": "Foo", "value": "x"}}},
			one + "Value 'Foo' at 'filters.1.member.key' failed to satisfy constraint: Member must satisfy enum value set: [InvokedAfter, InvokedBefore, Status, ExecutionStage, DocumentName]"},
		"GetParameters": {map[string]any{"Names": []any{}},
			one + "Value '[]' at 'names' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		"DescribeInstanceInformation": {map[string]any{"MaxResults": 4.0},
			one + "Value '4' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal to 5"},
		"CancelCommand": {map[string]any{"CommandId": strings.Repeat("0", 37)},
			one + "Value '" + strings.Repeat("0", 37) + "' at 'commandId' failed to satisfy constraint: Member must have length less than or equal to 36"},
		"ListCommandInvocations": {map[string]any{"MaxResults": 1e7},
			one + "Value '10000000' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 50"},
		"PutParameter": {map[string]any{"Name": "n", "Value": "secret", "Type": "Odd"},
			one + "Value 'Odd' at 'type' failed to satisfy constraint: Member must satisfy enum value set: [String, StringList, SecureString]"},
	} {
		if got := refusedAs((&call{service: "ssm", action: sent}).checkModel(want.body)); got != want.refuse {
			t.Errorf("%s:\n got %s\nwant %s", sent, got, want.refuse)
		}
	}
}

func TestModelRefusesAsEC2Does(t *testing.T) {
	for parameters, want := range map[string]string{
		"RunInstances MinCount=1": "MissingParameter: The request must contain the parameter MaxCount",
		"RunInstances MinCount=1&MaxCount=1&MetadataOptions.HttpTokens=maybe":                "InvalidParameterValue: Value (maybe) for parameter httpTokens is invalid. Valid values: optional, required.",
		"RunInstances MinCount=1&MaxCount=1&InstanceType=t9.huge":                            "", // the handler has words of its own
		"CreateVolume AvailabilityZone=a&VolumeType=gp3&TagSpecification.1.ResourceType=odd": "",
	} {
		action, form, _ := strings.Cut(parameters, " ")
		if got := refusedForm("ec2", action, form); got != want {
			t.Errorf("%s:\n got %s\nwant %s", parameters, got, want)
		}
	}
}

func TestUnknownParameters(t *testing.T) {
	for name, want := range map[string]string{
		"ec2 RunInstances ElasticInferenceAccelerator.1.Type": "NotInLocalaws",
		"ec2 RunInstances ElasticInferenceAccelerator.1.Odd":  "UnknownParameter",
		"ec2 RunInstances Odd":                                "UnknownParameter",
		"iam GetRole Odd":                                     "NotInLocalaws",
	} {
		service, rest, _ := strings.Cut(name, " ")
		action, parameter, _ := strings.Cut(rest, " ")
		c := &call{service: service, action: action}
		if got := c.unknownParameter(parameter, strings.Split(parameter, ".")); got.code != want {
			t.Errorf("%s: %v, want %s", name, got, want)
		}
	}
}

//go:generate packer-sdc struct-markdown

package amazonlinux

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
)

// ProfileConfig says who the instance is to AWS: what its agent and its provisioners may do there.
type ProfileConfig struct {
	// Where the agent has its permissions from:
	//
	// - `auto`: `iam_instance_profile` or `shared_iam_instance_profile` where one
	//   is given, else a temporary role and profile.
	// - `temporary`: a role and profile with just what the agent needs, removed after the build.
	// - `existing`: `iam_instance_profile`.
	// - `default_host_management`: no profile at all; Systems Manager's Default
	//   Host Management Configuration of the region gives every instance its
	//   permissions. It must be switched on, and takes agent 3.2.582 or newer.
	//
	// Default: `auto`.
	IAMMode string `mapstructure:"iam_mode"`
	// The instance profile to launch with, by name or ARN. Its role needs what
	// the agent needs (`AmazonSSMManagedInstanceCore` has it). Conflicts with
	// every `temporary_iam_instance_profile_...`. Default: a temporary
	// role and profile with just what the agent needs, removed after the build.
	IAMInstanceProfile string `mapstructure:"iam_instance_profile"`
	// The name of a role and instance profile that builds share: made with just what the
	// agent needs by the first build that misses it, used by all, and never removed. It spares each build the seconds
	// that IAM takes to make a new profile known. Several builds may make it
	// at once. Conflicts with `iam_instance_profile`,
	// `temporary_iam_instance_profile_policy_document` and `temporary_iam_instance_profile_policy_arns`.
	SharedIAMInstanceProfile string `mapstructure:"shared_iam_instance_profile"`
	// Don't look `iam_instance_profile` or `shared_iam_instance_profile` up before the launch, for callers that
	// may not call `iam:GetInstanceProfile`. Default: `false`.
	SkipProfileValidation bool `mapstructure:"skip_profile_validation"`
	// What provisioners may do on AWS from the instance: statements added to the
	// temporary role. What the agent needs is always there and need not be
	// listed. Conflicts with `iam_instance_profile`.
	//
	// ```hcl
	// temporary_iam_instance_profile_policy_document {
	//   Version = "2012-10-17"
	//   Statement {
	//     Effect   = "Allow"
	//     Action   = ["s3:GetObject"]
	//     Resource = ["arn:aws:s3:::my-bucket/*"]
	//   }
	// }
	// ```
	TemporaryIAMInstanceProfilePolicyDocument *PolicyDocument `mapstructure:"temporary_iam_instance_profile_policy_document"`
	// ARNs of managed policies for the temporary role, beside what the agent needs: at most 10. Default: none.
	TemporaryIAMInstanceProfilePolicyARNs []string `mapstructure:"temporary_iam_instance_profile_policy_arns"`
	// The ARN of the managed policy that bounds the temporary (or shared) role,
	// where the account demands one. It must allow what the agent needs. Default: none.
	TemporaryIAMInstanceProfilePermissionsBoundary string `mapstructure:"temporary_iam_instance_profile_permissions_boundary"`
	// The path of the temporary (or shared) role and profile, such as `/packer/`, by which
	// the caller's own policy can be narrowed. Default: `/`.
	TemporaryIAMInstanceProfilePath string `mapstructure:"temporary_iam_instance_profile_path"`
}

// PolicyDocument is an IAM policy, in IAM's own words.
type PolicyDocument struct {
	// The version of the policy language. Default: `2012-10-17`.
	Version string `mapstructure:"Version"`
	// What is allowed or denied; one block each.
	Statement []Statement `mapstructure:"Statement"`
}

// Statement allows or denies actions on resources.
type Statement struct {
	// `Allow` or `Deny`.
	Effect string `mapstructure:"Effect"`
	// The actions, such as `s3:GetObject`.
	Action []string `mapstructure:"Action"`
	// The ARNs of the resources, or `*`.
	Resource []string `mapstructure:"Resource"`
	// When the statement applies: all of the blocks must be met.
	//
	// ```hcl
	// Condition {
	//   Test     = "StringEquals"
	//   Variable = "aws:ResourceTag/Team"
	//   Values   = ["web"]
	// }
	// ```
	Condition []Condition `mapstructure:"Condition"`
}

// Condition is one condition of a statement: a test of a variable against values.
type Condition struct {
	// IAM's operator, such as `StringEquals`, `ArnLike`, `NumericLessThan`, with `ForAnyValue:` or `ForAllValues:` before
	// it and `IfExists` after it where they are needed.
	Test string `mapstructure:"Test"`
	// The condition key, such as `aws:SourceVpc` or `s3:prefix`.
	Variable string `mapstructure:"Variable"`
	// The values, of which one must match.
	Values []string `mapstructure:"Values"`
}

// The values of iam_mode.
const (
	iamAuto           = "auto"
	iamTemporary      = "temporary"
	iamExisting       = "existing"
	iamHostManagement = "default_host_management"

	maxPolicyARNs = 10
)

var (
	iamName = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
	iamPath = regexp.MustCompile(`^/([\x21-\x7e]{1,510}/)?$`)
	// operators with their quantifier and suffix; what they are called in full, IAM itself checks.
	conditionTest = regexp.MustCompile(`^(ForAnyValue:|ForAllValues:)?(String|Numeric|Date|Bool|Binary|IpAddress|NotIpAddress|Arn|Null)[A-Za-z]*$`)
	conditionKey  = regexp.MustCompile(`^[A-Za-z0-9-]+:\S+$`)
	policyARN     = regexp.MustCompile(`^arn:aws[a-z-]*:iam::(\d{12}|aws):policy/.+$`)
)

func (c *ProfileConfig) setDefaults() {
	if p := c.TemporaryIAMInstanceProfilePolicyDocument; p != nil && p.Version == "" {
		p.Version = policyVersion
	}
	if c.IAMMode == "" {
		c.IAMMode = iamAuto
	}
}

func (c *ProfileConfig) check(r *report) {
	r.oneOf("iam_mode", c.IAMMode, iamAuto, iamTemporary, iamExisting, iamHostManagement)
	r.unless(c.IAMInstanceProfile == "" || profileRef.MatchString(c.IAMInstanceProfile),
		"iam_instance_profile", c.IAMInstanceProfile, "an instance profile's name or ARN")
	r.unless(c.SharedIAMInstanceProfile == "" || iamName.MatchString(c.SharedIAMInstanceProfile),
		"shared_iam_instance_profile", c.SharedIAMInstanceProfile, "a name of at most 64 letters, digits and + = , . @ - _")
	r.oneGiven("the instance profile", option{"iam_instance_profile", c.IAMInstanceProfile != ""},
		option{"shared_iam_instance_profile", c.SharedIAMInstanceProfile != ""})
	c.checkMode(r)
	c.checkTemporary(r)
	if p := c.TemporaryIAMInstanceProfilePolicyDocument; p != nil {
		p.check(r, "temporary_iam_instance_profile_policy_document")
	}
}

func (c *ProfileConfig) checkMode(r *report) {
	named := []option{
		{"iam_instance_profile", c.IAMInstanceProfile != ""},
		{"shared_iam_instance_profile", c.SharedIAMInstanceProfile != ""},
	}
	switch c.IAMMode {
	case iamExisting:
		if c.IAMInstanceProfile == "" {
			r.addf(`iam_mode: "existing" needs iam_instance_profile; give its name or ARN`)
		}
		return
	case iamTemporary, iamHostManagement:
		for _, o := range named {
			if o.given {
				r.addf(`iam_mode: %q uses no %s; delete one of them`, c.IAMMode, o.name)
			}
		}
	}
}

// checkTemporary reports what is said of a temporary role where there is to be none.
func (c *ProfileConfig) checkTemporary(r *report) {
	const prefix = "temporary_iam_instance_profile_"
	instead := ""
	switch {
	case c.IAMInstanceProfile != "":
		instead = "iam_instance_profile"
	case c.IAMMode == iamHostManagement:
		instead = "iam_mode"
	case c.SharedIAMInstanceProfile != "":
		instead = "shared_iam_instance_profile"
	}
	for _, o := range []struct {
		option
		shared bool // a shared role takes it, too
	}{
		{option{"policy_document", c.TemporaryIAMInstanceProfilePolicyDocument != nil}, false},
		{option{"policy_arns", len(c.TemporaryIAMInstanceProfilePolicyARNs) > 0}, false},
		{option{"permissions_boundary", c.TemporaryIAMInstanceProfilePermissionsBoundary != ""}, true},
		{option{"path", c.TemporaryIAMInstanceProfilePath != ""}, true},
	} {
		if o.shared && c.SharedIAMInstanceProfile != "" {
			continue
		}
		if o.given && instead != "" {
			r.addf("%s and %s%s: this is for the temporary role, which %[1]s replaces; keep one of them", instead, prefix, o.name)
		}
	}
	for i, arn := range c.TemporaryIAMInstanceProfilePolicyARNs {
		r.unless(policyARN.MatchString(arn), fmt.Sprintf("%spolicy_arns[%d]", prefix, i), arn,
			`a managed policy's ARN, such as "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"`)
	}
	r.unless(len(c.TemporaryIAMInstanceProfilePolicyARNs) <= maxPolicyARNs, prefix+"policy_arns",
		len(c.TemporaryIAMInstanceProfilePolicyARNs), "at most 10 policies")
	boundary, path := c.TemporaryIAMInstanceProfilePermissionsBoundary, c.TemporaryIAMInstanceProfilePath
	r.unless(boundary == "" || policyARN.MatchString(boundary), prefix+"permissions_boundary", boundary,
		`a managed policy's ARN, such as "arn:aws:iam::123456789012:policy/boundary"`)
	r.unless(path == "" || iamPath.MatchString(path), prefix+"path", path, `a path that begins and ends with /, such as "/packer/"`)
}

func (p *PolicyDocument) check(r *report, option string) {
	r.oneOf(option+".Version", p.Version, policyVersion) // IAM takes no older one
	if len(p.Statement) == 0 {
		r.addf("%s: it has no Statement; add one, or delete the block", option)
	}
	for i, s := range p.Statement {
		where := fmt.Sprintf("%s.Statement[%d]", option, i)
		r.unless(s.Effect == "Allow" || s.Effect == "Deny", where+".Effect", s.Effect, `"Allow" or "Deny"`)
		if len(s.Action) == 0 || len(s.Resource) == 0 {
			r.addf(`%s: Action or Resource is missing; give both, such as Action = ["s3:GetObject"] and Resource = ["*"]`, where)
		}
		checkConditions(r, where, s.Condition)
	}
}

func checkConditions(r *report, statement string, list []Condition) {
	for i, c := range list {
		where := fmt.Sprintf("%s.Condition[%d]", statement, i)
		r.unless(conditionTest.MatchString(c.Test), where+".Test", c.Test, `an operator of IAM's, such as "StringEquals" or "ForAnyValue:ArnLike"`)
		r.unless(conditionKey.MatchString(c.Variable), where+".Variable", c.Variable, `a condition key, such as "aws:SourceVpc"`)
		if len(c.Values) == 0 {
			r.addf(`%s.Values: it is missing; give at least one value`, where)
		}
		same := func(other Condition) bool { return other.Test == c.Test && other.Variable == c.Variable }
		if slices.IndexFunc(list, same) < i {
			r.addf("%s: there is a block for %s and %s already; put all values in one", where, c.Test, c.Variable)
		}
	}
}

// MarshalJSON is the statement as IAM takes it.
func (s Statement) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Effect           string
		Action, Resource []string
		Condition        map[string]map[string][]string `json:",omitempty"`
	}{s.Effect, s.Action, s.Resource, s.conditions()})
}

// conditions are a statement's as IAM takes them: by test, then by variable.
func (s *Statement) conditions() map[string]map[string][]string {
	var all map[string]map[string][]string
	for _, c := range s.Condition {
		if all == nil {
			all = map[string]map[string][]string{}
		}
		if all[c.Test] == nil {
			all[c.Test] = map[string][]string{}
		}
		all[c.Test][c.Variable] = c.Values
	}
	return all
}

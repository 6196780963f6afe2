package localaws

import (
	"regexp"
	"slices"
	"strings"
)

// checkIdentity refuses what IAM refuses in a policy of a user or a role.
func (doc *policyDocument) checkIdentity() error {
	if err := doc.checkCommon(); err != nil {
		return err
	}
	if doc.Version != "2012-10-17" {
		return malformedPolicy("Policy document must be version 2012-10-17 or greater.")
	}
	for i := range doc.Statement {
		st := &doc.Statement[i]
		if st.Principal != nil || st.NotPrincipal != nil {
			return malformedPolicy("Policy document should not specify a principal.")
		}
		if len(st.Resource) == 0 && len(st.NotResource) == 0 {
			return malformedPolicy("Policy statement must contain resources.")
		}
		for _, resource := range slices.Concat(st.Resource, st.NotResource) {
			if resource != "*" && strings.Count(resource, ":") < 5 || resource != "*" && !strings.HasPrefix(resource, "arn:") {
				return malformedPolicy("Resource %s must be in ARN format or \"*\".", resource)
			}
		}
	}
	return nil
}

// checkTrust refuses what IAM refuses in a role's trust policy.
func (doc *policyDocument) checkTrust(st *iamState) error {
	if err := doc.checkCommon(); err != nil {
		return err
	}
	for i := range doc.Statement {
		s := &doc.Statement[i]
		if len(s.Resource) > 0 || len(s.NotResource) > 0 {
			return malformedPolicy("Has prohibited field Resource")
		}
		if s.Principal == nil && s.NotPrincipal == nil {
			return malformedPolicy("Missing required field Principal")
		}
		for _, action := range slices.Concat(s.Action, s.NotAction) {
			if !strings.HasPrefix(strings.ToLower(action), "sts:") && action != "*" {
				return malformedPolicy("AssumeRole policy may only specify STS AssumeRole actions.")
			}
		}
		if err := s.Principal.check(st); err != nil {
			return err
		}
	}
	return nil
}

var (
	actionPattern  = regexp.MustCompile(`^(\*|[a-zA-Z0-9-]+:[a-zA-Z0-9*?]+)$`)
	servicePattern = regexp.MustCompile(`^[a-z0-9.-]+\.amazonaws\.com(\.cn)?$`)
)

func (doc *policyDocument) checkCommon() error {
	if doc.Version != "" && doc.Version != "2012-10-17" && doc.Version != "2008-10-17" {
		return malformedPolicy("Syntax errors in policy.")
	}
	if len(doc.Statement) == 0 {
		return malformedPolicy("Syntax errors in policy.")
	}
	seen := map[string]bool{}
	for i := range doc.Statement {
		st := &doc.Statement[i]
		if st.Sid != "" && seen[st.Sid] {
			return malformedPolicy("Statement IDs (SID) in a single policy must be unique.")
		}
		seen[st.Sid] = true
		if err := st.check(); err != nil {
			return err
		}
	}
	return nil
}

func (st *statement) check() error {
	if st.Effect != "Allow" && st.Effect != "Deny" {
		return malformedPolicy("Syntax errors in policy.")
	}
	if len(st.Action) == 0 && len(st.NotAction) == 0 {
		return malformedPolicy("Policy statement must contain actions.")
	}
	if len(st.Action) > 0 && len(st.NotAction) > 0 || len(st.Resource) > 0 && len(st.NotResource) > 0 {
		return malformedPolicy("Syntax errors in policy.")
	}
	for _, action := range slices.Concat(st.Action, st.NotAction) {
		if !strings.Contains(action, ":") && action != "*" {
			return malformedPolicy("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
		}
		if !actionPattern.MatchString(action) {
			return malformedPolicy("Vendor %s is not valid", action)
		}
	}
	for operator := range st.Condition {
		if _, known := conditionOperator(operator); !known {
			return malformedPolicy("Invalid Condition type : %s.", operator)
		}
	}
	return nil
}

func (p *principalSet) check(st *iamState) error {
	if p == nil {
		return nil
	}
	for kind, names := range p.byType {
		for _, name := range names {
			if !p.known(st, kind, name) {
				return malformedPolicy("Invalid principal in policy: \"%s\":\"%s\"", strings.ToUpper(kind), name)
			}
		}
	}
	return nil
}

// known says whether a principal exists: IAM refuses a trust in one that does not.
func (p *principalSet) known(st *iamState, kind, name string) bool {
	switch kind {
	case "Service":
		return servicePattern.MatchString(name)
	case "Federated":
		return true
	case "AWS":
	default:
		return false
	}
	if name == "*" || accountPattern.MatchString(name) {
		return true
	}
	parts := strings.SplitN(name, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" {
		return false
	}
	account, here := st.accounts[parts[4]]
	if !here {
		return accountPattern.MatchString(parts[4]) && (parts[5] == "root" || strings.Contains(parts[5], "/"))
	}
	switch {
	case parts[5] == "root", parts[2] == "sts":
		return true
	case strings.HasPrefix(parts[5], "user/"):
		u := account.users[nameOf(name)]
		return u != nil && u.arn == name
	case strings.HasPrefix(parts[5], "role/"):
		r := account.roles[nameOf(name)]
		return r != nil && r.arn == name
	}
	return false
}

var accountPattern = regexp.MustCompile(`^[0-9]{12}$`)

package localaws

import (
	"slices"
	"strings"
)

// A truster says whether a name in a trust policy's principal is the one who asks.
type truster func(kind, name string) bool

func trustService(service string) truster {
	return func(kind, name string) bool { return kind == "Service" && name == service }
}

// trustPrincipal: an account, its root, the user or role by ARN, or anyone.
func trustPrincipal(who principal) truster {
	names := []string{"*", who.account, "arn:aws:iam::" + who.account + ":root", who.arn}
	return func(kind, name string) bool {
		if kind != "AWS" {
			return false
		}
		return slices.Contains(names, name) || who.role != "" && isRoleOf(name, who)
	}
}

// isRoleOf says whether an ARN is the role, with any path, of a session.
func isRoleOf(arn string, who principal) bool {
	return strings.HasPrefix(arn, "arn:aws:iam::"+who.account+":role/") && nameOf(arn) == who.role
}

// trusts says whether the role's trust policy lets the one who asks assume it.
func (r *iamRole) trusts(q question, asks truster) bool {
	result := false
	for i := range r.trust.Statement {
		st := &r.trust.Statement[i]
		if !st.Principal.includes(asks) || st.NotPrincipal != nil && st.NotPrincipal.includes(asks) {
			continue
		}
		if !st.applies(q) {
			continue
		}
		if st.Effect == "Deny" {
			return false
		}
		result = true
	}
	return result
}

func (p *principalSet) includes(asks truster) bool {
	if p == nil {
		return true // the statement has NotPrincipal
	}
	if p.everyone {
		return true
	}
	for kind, names := range p.byType {
		if slices.ContainsFunc(names, func(name string) bool { return asks(kind, name) }) {
			return true
		}
	}
	return false
}

// names says whether the set has a principal by its own ARN rather than by
// its account: then the trust alone is enough within the account.
func (p *principalSet) names(arn string) bool {
	return p != nil && slices.Contains(p.byType["AWS"], arn)
}

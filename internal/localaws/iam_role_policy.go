package localaws

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// The limits of a role's policies.
const (
	maxInlineBytes = 10240
	maxAttached    = 10
)

func (s *Server) iamRolePolicyOperations() map[string]operation {
	return map[string]operation{
		"PutRolePolicy":            queryOp(putRolePolicy),
		"GetRolePolicy":            queryOp(getRolePolicy),
		"DeleteRolePolicy":         queryOp(deleteRolePolicy),
		"ListRolePolicies":         queryOp(listRolePolicies),
		"AttachRolePolicy":         queryOp(attachRolePolicy),
		"DetachRolePolicy":         queryOp(detachRolePolicy),
		"ListAttachedRolePolicies": queryOp(listAttachedRolePolicies),
	}
}

type putRolePolicyIn struct {
	RoleName       string `query:"RoleName,required"`
	PolicyName     string `query:"PolicyName,required"`
	PolicyDocument string `query:"PolicyDocument,required"`
}

func putRolePolicy(c *call, in *putRolePolicyIn) (*struct{}, error) {
	role, err := c.roleNamed(in.RoleName)
	if err != nil {
		return nil, err
	}
	if err := c.checkName("policyName", in.PolicyName, 128); err != nil {
		return nil, err
	}
	doc, err := parsePolicy(in.PolicyDocument)
	if err != nil {
		return nil, err
	}
	if err := doc.checkIdentity(); err != nil {
		return nil, err
	}
	size := policySize(in.PolicyDocument)
	for name, policy := range role.inline {
		if name != in.PolicyName {
			size += policySize(policy.text)
		}
	}
	if size > maxInlineBytes {
		return nil, conflict("LimitExceeded", "Maximum policy size of %d bytes exceeded for role %s", maxInlineBytes, role.name)
	}
	role.inline[in.PolicyName] = &inlinePolicy{text: in.PolicyDocument, doc: doc, since: c.now}
	return nil, nil
}

// policySize is a document's length as IAM counts it: without white space.
func policySize(text string) int { return len(strings.Join(strings.Fields(text), "")) }

type rolePolicyIn struct {
	RoleName   string `query:"RoleName,required"`
	PolicyName string `query:"PolicyName,required"`
}

type getRolePolicyOut struct {
	RoleName       string
	PolicyName     string
	PolicyDocument string
}

func getRolePolicy(c *call, in *rolePolicyIn) (*getRolePolicyOut, error) {
	role, policy, err := c.rolePolicy(in)
	if err != nil {
		return nil, err
	}
	return &getRolePolicyOut{role.name, in.PolicyName, encodePolicy(policy.text)}, nil
}

func deleteRolePolicy(c *call, in *rolePolicyIn) (*struct{}, error) {
	role, _, err := c.rolePolicy(in)
	if err != nil {
		return nil, err
	}
	delete(role.inline, in.PolicyName)
	return nil, nil
}

func (c *call) rolePolicy(in *rolePolicyIn) (*iamRole, *inlinePolicy, error) {
	role, err := c.roleNamed(in.RoleName)
	if err != nil {
		return nil, nil, err
	}
	policy := role.inline[in.PolicyName]
	if policy == nil {
		return nil, nil, noSuchEntity("The role policy with name %s cannot be found.", in.PolicyName)
	}
	return role, policy, nil
}

type roleListIn struct {
	RoleName   string `query:"RoleName,required"`
	PathPrefix string `query:"PathPrefix"`
	iamPage
}

type listRolePoliciesOut struct {
	PolicyNames []string `xml:"PolicyNames>member"`
	iamMore
}

func listRolePolicies(c *call, in *roleListIn) (*listRolePoliciesOut, error) {
	role, err := c.roleNamed(in.RoleName)
	if err != nil {
		return nil, err
	}
	names, more, err := iamPaginate(c, slices.Sorted(maps.Keys(role.inline)), in.iamPage)
	return &listRolePoliciesOut{names, more}, err
}

type roleAttachmentIn struct {
	RoleName  string `query:"RoleName,required"`
	PolicyArn string `query:"PolicyArn,required"`
}

func attachRolePolicy(c *call, in *roleAttachmentIn) (*struct{}, error) {
	role, err := c.roleNamed(in.RoleName)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(in.PolicyArn, "arn:aws:iam::") {
		return nil, refuse("InvalidInput", "ARN %s is not valid.", in.PolicyArn)
	}
	policy := c.server.iam.policy(in.PolicyArn)
	if policy == nil || !policy.aws && policy.account != c.caller.account {
		return nil, noSuchEntity("Policy %s does not exist or is not attachable.", in.PolicyArn)
	}
	if _, has := role.attached[in.PolicyArn]; has {
		return nil, nil
	}
	if len(role.attached) >= maxAttached {
		return nil, conflict("LimitExceeded", "Cannot exceed quota for PoliciesPerRole: %d", maxAttached)
	}
	role.attached[in.PolicyArn] = c.now
	return nil, nil
}

func detachRolePolicy(c *call, in *roleAttachmentIn) (*struct{}, error) {
	role, err := c.roleNamed(in.RoleName)
	if err != nil {
		return nil, err
	}
	if _, has := role.attached[in.PolicyArn]; !has {
		return nil, noSuchEntity("Policy %s was not found.", in.PolicyArn)
	}
	delete(role.attached, in.PolicyArn)
	return nil, nil
}

type attachedPolicy struct {
	PolicyName string
	PolicyArn  string
}

type listAttachedRolePoliciesOut struct {
	AttachedPolicies []attachedPolicy `xml:"AttachedPolicies>member"`
	iamMore
}

func listAttachedRolePolicies(c *call, in *roleListIn) (*listAttachedRolePoliciesOut, error) {
	role, err := c.roleNamed(in.RoleName)
	if err != nil {
		return nil, err
	}
	var all []attachedPolicy
	for _, arn := range slices.Sorted(maps.Keys(role.attached)) {
		if policy := c.server.iam.policy(arn); strings.HasPrefix(policy.path, in.PathPrefix) {
			all = append(all, attachedPolicy{policy.name, arn})
		}
	}
	attached, more, err := iamPaginate(c, all, in.iamPage)
	return &listAttachedRolePoliciesOut{attached, more}, err
}

// documents are the policies in effect at a time: those put or attached at
// least delay before. Zero delay means all of them.
func (g *grants) documents(st *iamState, now time.Time, delay time.Duration) []*policyDocument {
	var docs []*policyDocument
	for _, policy := range g.inline {
		if !now.Before(policy.since.Add(delay)) {
			docs = append(docs, policy.doc)
		}
	}
	for arn, since := range g.attached {
		if policy := st.policy(arn); policy != nil && !now.Before(since.Add(delay)) {
			docs = append(docs, policy.doc)
		}
	}
	return docs
}

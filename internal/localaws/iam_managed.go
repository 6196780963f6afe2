package localaws

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

const maxManagedBytes = 6144

// A managedPolicy is a policy that can be attached to several roles. text and
// doc are those of its default version.
type managedPolicy struct {
	account, name, path, arn, id string
	description                  string
	created                      time.Time
	text                         string
	doc                          *policyDocument
	tags                         iamTags
	aws                          bool

	versions         []*policyVersion // newest first
	latest, standard int
}

// policy finds a managed policy, AWS's own included.
func (st *iamState) policy(arn string) *managedPolicy {
	if strings.HasPrefix(arn, awsPolicyPrefix) {
		return awsPolicies()[arn]
	}
	for _, account := range st.accounts {
		if policy := account.policies[arn]; policy != nil {
			return policy
		}
	}
	return nil
}

// attachments counts the roles and users of a policy's account that have it.
func (st *iamState) attachments(account, arn string) (attached, bounds int64) {
	count := func(g *grants) {
		if _, ok := g.attached[arn]; ok {
			attached++
		}
		if g.boundary == arn {
			bounds++
		}
	}
	for _, role := range st.accounts[account].roles {
		count(&role.grants)
	}
	for _, user := range st.accounts[account].users {
		count(&user.grants)
	}
	return attached, bounds
}

func (s *Server) iamManagedOperations() map[string]operation {
	return map[string]operation{
		"CreatePolicy": queryOp(createPolicy),
		"GetPolicy":    queryOp(getPolicy),
		"DeletePolicy": queryOp(deletePolicy),
		"ListPolicies": queryOp(listPolicies),
	}
}

type policyView struct {
	PolicyName                    string
	PolicyID                      string `xml:"PolicyId"`
	Arn                           string
	Path                          string
	DefaultVersionID              string `xml:"DefaultVersionId"`
	AttachmentCount               int64
	PermissionsBoundaryUsageCount int64
	IsAttachable                  bool
	Description                   string `xml:",omitempty"`
	CreateDate                    time.Time
	UpdateDate                    time.Time
	Tags                          []iamTag `xml:"Tags>member,omitempty"`
}

func (p *managedPolicy) view(c *call) policyView {
	attached, bounds := c.server.iam.attachments(c.caller.account, p.arn)
	return policyView{
		PolicyName:                    p.name,
		PolicyID:                      p.id,
		Arn:                           p.arn,
		Path:                          p.path,
		DefaultVersionID:              "v" + strconv.Itoa(p.standard),
		AttachmentCount:               attached,
		PermissionsBoundaryUsageCount: bounds,
		IsAttachable:                  true,
		Description:                   p.description,
		CreateDate:                    p.created.Truncate(time.Second),
		UpdateDate:                    p.versions[0].created.Truncate(time.Second),
		Tags:                          p.tags,
	}
}

type createPolicyIn struct {
	PolicyName     string   `query:"PolicyName,required"`
	PolicyDocument string   `query:"PolicyDocument,required"`
	Path           string   `query:"Path"`
	Description    string   `query:"Description"`
	Tags           []iamTag `query:"Tags"`
}

type policyOut struct{ Policy policyView }

func createPolicy(c *call, in *createPolicyIn) (*policyOut, error) {
	path, err := c.checkNamed("policyName", in.PolicyName, 128, in.Path)
	if err != nil {
		return nil, err
	}
	doc, err := checkedManaged(in.PolicyDocument)
	if err != nil {
		return nil, err
	}
	account := c.account()
	for _, known := range account.policies {
		if strings.EqualFold(known.name, in.PolicyName) {
			return nil, conflict("EntityAlreadyExists", "A policy called %s already exists. Duplicate names are not allowed.", in.PolicyName)
		}
	}
	p := &managedPolicy{
		account:     account.id,
		name:        in.PolicyName,
		path:        path,
		arn:         "arn:aws:iam::" + account.id + ":policy" + path + in.PolicyName,
		id:          newUniqueID("ANPA"),
		description: in.Description,
		created:     c.now,
		text:        in.PolicyDocument,
		doc:         doc,
	}
	if p.tags, err = c.checkTags(nil, in.Tags); err != nil {
		return nil, err
	}
	p.begin()
	account.policies[p.arn] = p
	return &policyOut{p.view(c)}, nil
}

type policyArnIn struct {
	PolicyArn string `query:"PolicyArn,required"`
}

// policyWith finds the managed policy that a call is about.
func (c *call) policyWith(arn string) (*managedPolicy, error) {
	policy := c.server.iam.policy(arn)
	if policy == nil || !policy.aws && policy.account != c.caller.account {
		return nil, noSuchEntity("Policy %s was not found.", arn)
	}
	return policy, nil
}

func getPolicy(c *call, in *policyArnIn) (*policyOut, error) {
	policy, err := c.policyWith(in.PolicyArn)
	if err != nil {
		return nil, err
	}
	return &policyOut{policy.view(c)}, nil
}

func deletePolicy(c *call, in *policyArnIn) (*struct{}, error) {
	policy, err := c.policyWith(in.PolicyArn)
	if err != nil {
		return nil, err
	}
	if policy.aws {
		e := refuse("AccessDenied", "Policy %s is managed by AWS", in.PolicyArn)
		e.status = 403
		return nil, e
	}
	if len(policy.versions) > 1 {
		return nil, conflict("DeleteConflict", "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
	}
	if attached, bounds := c.server.iam.attachments(policy.account, policy.arn); attached+bounds > 0 {
		return nil, conflict("DeleteConflict", "Cannot delete a policy attached to entities.")
	}
	delete(c.account().policies, policy.arn)
	return nil, nil
}

type listPoliciesIn struct {
	Scope             string `query:"Scope"`
	OnlyAttached      bool   `query:"OnlyAttached"`
	PathPrefix        string `query:"PathPrefix"`
	PolicyUsageFilter string `query:"PolicyUsageFilter"`
	iamPage
}

type listPoliciesOut struct {
	Policies []policyView `xml:"Policies>member"`
	iamMore
}

func listPolicies(c *call, in *listPoliciesIn) (*listPoliciesOut, error) {
	known := map[string]*managedPolicy{}
	if in.Scope != "Local" {
		maps.Copy(known, awsPolicies())
	}
	if in.Scope != "AWS" {
		maps.Copy(known, c.account().policies)
	}
	var all []policyView
	for _, arn := range slices.Sorted(maps.Keys(known)) {
		v := known[arn].view(c)
		v.Description, v.Tags = "", nil
		if in.OnlyAttached && v.AttachmentCount == 0 || !strings.HasPrefix(v.Path, in.PathPrefix) {
			continue
		}
		if in.PolicyUsageFilter == "PermissionsBoundary" && v.PermissionsBoundaryUsageCount == 0 {
			continue
		}
		all = append(all, v)
	}
	policies, more, err := iamPaginate(c, all, in.iamPage)
	return &listPoliciesOut{policies, more}, err
}

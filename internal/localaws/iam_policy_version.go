package localaws

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// A policyVersion is one text of a managed policy.
type policyVersion struct {
	number  int // of v1, v2, ...
	created time.Time
	text    string
	doc     *policyDocument
}

func (v *policyVersion) id() string { return "v" + strconv.Itoa(v.number) }

// maxPolicyVersions is how many versions a managed policy can have.
const maxPolicyVersions = 5

func (s *Server) iamPolicyVersionOperations() map[string]operation {
	return map[string]operation{
		"CreatePolicyVersion":     queryOp(createPolicyVersion),
		"DeletePolicyVersion":     queryOp(deletePolicyVersion),
		"SetDefaultPolicyVersion": queryOp(setDefaultPolicyVersion),
		"GetPolicyVersion":        queryOp(getPolicyVersion),
		"ListPolicyVersions":      queryOp(listPolicyVersions),
		"ListEntitiesForPolicy":   queryOp(listEntitiesForPolicy),
		"TagPolicy":               queryOp(tagPolicy),
		"UntagPolicy":             queryOp(untagPolicy),
		"ListPolicyTags":          queryOp(listPolicyTags),
	}
}

// begin makes the first version of what the policy says.
func (p *managedPolicy) begin() {
	p.versions = []*policyVersion{{number: 1, created: p.created, text: p.text, doc: p.doc}}
	p.latest, p.standard = 1, 1
}

func (p *managedPolicy) version(id string) (*policyVersion, error) {
	for _, v := range p.versions {
		if v.id() == id {
			return v, nil
		}
	}
	return nil, noSuchEntity("Policy %s version %s does not exist or is not attachable.", p.arn, id)
}

func (p *managedPolicy) use(v *policyVersion) { p.standard, p.text, p.doc = v.number, v.text, v.doc }

// changeable finds a policy that the caller's account may change.
func (c *call) changeable(arn string) (*managedPolicy, error) {
	policy, err := c.policyWith(arn)
	if err == nil && policy.aws {
		err = &apiError{code: "AccessDenied", message: "Policy " + arn + " is managed by AWS", status: 403}
	}
	return policy, err
}

type createPolicyVersionIn struct {
	PolicyArn      string `query:"PolicyArn"`
	PolicyDocument string `query:"PolicyDocument"`
	SetAsDefault   bool   `query:"SetAsDefault"`
}

func createPolicyVersion(c *call, in *createPolicyVersionIn) (*policyVersionOut, error) {
	policy, err := c.changeable(in.PolicyArn)
	if err != nil {
		return nil, err
	}
	doc, err := checkedManaged(in.PolicyDocument)
	if err != nil {
		return nil, err
	}
	if len(policy.versions) >= maxPolicyVersions {
		return nil, conflict("LimitExceeded", "A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", maxPolicyVersions)
	}
	policy.latest++
	v := &policyVersion{number: policy.latest, created: c.now, text: in.PolicyDocument, doc: doc}
	policy.versions = append([]*policyVersion{v}, policy.versions...)
	if in.SetAsDefault {
		policy.use(v)
	}
	return &policyVersionOut{policy.viewOf(v, false)}, nil
}

// checkedManaged reads the text of a managed policy.
func checkedManaged(text string) (*policyDocument, error) {
	doc, err := parsePolicy(text)
	if err != nil {
		return nil, err
	}
	if err := doc.checkIdentity(); err != nil {
		return nil, err
	}
	if policySize(text) > maxManagedBytes {
		return nil, conflict("LimitExceeded", "Cannot exceed quota for PolicySize: %d", maxManagedBytes)
	}
	return doc, nil
}

type policyVersionIn struct {
	PolicyArn string `query:"PolicyArn"`
	VersionID string `query:"VersionId"`
}

func deletePolicyVersion(c *call, in *policyVersionIn) (*struct{}, error) {
	policy, err := c.changeable(in.PolicyArn)
	if err != nil {
		return nil, err
	}
	v, err := policy.version(in.VersionID)
	if err != nil {
		return nil, err
	}
	if v.number == policy.standard {
		return nil, conflict("DeleteConflict", "Cannot delete the default version of a policy.")
	}
	policy.versions = slices.DeleteFunc(policy.versions, func(other *policyVersion) bool { return other == v })
	return nil, nil
}

func setDefaultPolicyVersion(c *call, in *policyVersionIn) (*struct{}, error) {
	policy, err := c.changeable(in.PolicyArn)
	if err != nil {
		return nil, err
	}
	v, err := policy.version(in.VersionID)
	if err != nil {
		return nil, err
	}
	policy.use(v)
	return nil, nil
}

type policyVersionView struct {
	Document         string `xml:",omitempty"`
	VersionID        string `xml:"VersionId"`
	IsDefaultVersion bool
	CreateDate       time.Time
}

type policyVersionOut struct{ PolicyVersion policyVersionView }

func (p *managedPolicy) viewOf(v *policyVersion, text bool) policyVersionView {
	view := policyVersionView{VersionID: v.id(), IsDefaultVersion: v.number == p.standard, CreateDate: v.created.Truncate(time.Second)}
	if text {
		view.Document = encodePolicy(v.text)
	}
	return view
}

func getPolicyVersion(c *call, in *policyVersionIn) (*policyVersionOut, error) {
	policy, err := c.policyWith(in.PolicyArn)
	if err != nil {
		return nil, err
	}
	v, err := policy.version(in.VersionID)
	if err != nil {
		return nil, err
	}
	return &policyVersionOut{policy.viewOf(v, true)}, nil
}

type listPolicyVersionsIn struct {
	PolicyArn string `query:"PolicyArn"`
	iamPage
}

type listPolicyVersionsOut struct {
	Versions []policyVersionView `xml:"Versions>member"`
	iamMore
}

func listPolicyVersions(c *call, in *listPolicyVersionsIn) (*listPolicyVersionsOut, error) {
	policy, err := c.policyWith(in.PolicyArn)
	if err != nil {
		return nil, err
	}
	var views []policyVersionView
	for _, v := range policy.versions {
		views = append(views, policy.viewOf(v, false))
	}
	versions, more, err := iamPaginate(c, views, in.iamPage)
	return &listPolicyVersionsOut{versions, more}, err
}

type policyEntitiesIn struct {
	PolicyArn         string `query:"PolicyArn"`
	EntityFilter      string `query:"EntityFilter"`
	PathPrefix        string `query:"PathPrefix"`
	PolicyUsageFilter string `query:"PolicyUsageFilter"`
	iamPage
}

type policyEntity struct {
	RoleName string `xml:",omitempty"`
	RoleID   string `xml:"RoleId,omitempty"`
	UserName string `xml:",omitempty"`
	UserID   string `xml:"UserId,omitempty"`
}

type policyEntitiesOut struct {
	PolicyGroups []policyEntity `xml:"PolicyGroups>member"`
	PolicyUsers  []policyEntity `xml:"PolicyUsers>member"`
	PolicyRoles  []policyEntity `xml:"PolicyRoles>member"`
	iamMore
}

// listEntitiesForPolicy says who has a policy, as a permission or as a boundary.
func listEntitiesForPolicy(c *call, in *policyEntitiesIn) (*policyEntitiesOut, error) {
	if _, err := c.policyWith(in.PolicyArn); err != nil {
		return nil, err
	}
	has := func(g *grants, kind, path string) bool {
		_, attached := g.attached[in.PolicyArn]
		switch {
		case in.EntityFilter != "" && in.EntityFilter != kind, !strings.HasPrefix(path, in.PathPrefix):
			return false
		case in.PolicyUsageFilter == "PermissionsBoundary":
			return g.boundary == in.PolicyArn
		case in.PolicyUsageFilter == "PermissionsPolicy":
			return attached
		}
		return attached || g.boundary == in.PolicyArn
	}
	out := &policyEntitiesOut{}
	account := c.account()
	for _, u := range sorted(account.users) {
		if has(&u.grants, "User", "/") {
			out.PolicyUsers = append(out.PolicyUsers, policyEntity{UserName: u.name, UserID: u.id})
		}
	}
	roles := []policyEntity{}
	for _, r := range sorted(account.roles) {
		if has(&r.grants, "Role", r.path) {
			roles = append(roles, policyEntity{RoleName: r.name, RoleID: r.id})
		}
	}
	var err error
	out.PolicyRoles, out.iamMore, err = iamPaginate(c, roles, in.iamPage)
	return out, err
}

type tagPolicyIn struct {
	PolicyArn string   `query:"PolicyArn"`
	Tags      []iamTag `query:"Tags"`
}

func tagPolicy(c *call, in *tagPolicyIn) (*struct{}, error) {
	policy, err := c.changeable(in.PolicyArn)
	if err != nil {
		return nil, err
	}
	return nil, c.addTags(&policy.tags, in.Tags)
}

type untagPolicyIn struct {
	PolicyArn string   `query:"PolicyArn"`
	TagKeys   []string `query:"TagKeys"`
}

func untagPolicy(c *call, in *untagPolicyIn) (*struct{}, error) {
	policy, err := c.changeable(in.PolicyArn)
	if err != nil {
		return nil, err
	}
	policy.tags.remove(in.TagKeys)
	return nil, nil
}

func listPolicyTags(c *call, in *struct {
	policyArnIn
	iamPage
}) (*listTagsOut, error) {
	policy, err := c.policyWith(in.PolicyArn)
	if err != nil {
		return nil, err
	}
	tags, more, err := iamPaginate(c, policy.tags, in.iamPage)
	return &listTagsOut{tags, more}, err
}

package localaws

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

type iamRole struct {
	grants
	account, name, path, arn, id string
	description                  string
	maxSession                   int64 // seconds
	created                      time.Time
	visibleAt                    time.Time // when other services see it
	trust                        *policyDocument
	trustText                    string
	tags                         iamTags
}

func newRole(account, name, path string, now time.Time) *iamRole {
	return &iamRole{
		grants:     newGrants(),
		account:    account,
		name:       name,
		path:       path,
		arn:        "arn:aws:iam::" + account + ":role" + path + name,
		id:         newUniqueID("AROA"),
		maxSession: 3600,
		created:    now,
	}
}

// roleView is a role as IAM shows it.
type roleView struct {
	Path                     string
	RoleName                 string
	RoleID                   string `xml:"RoleId"`
	Arn                      string
	CreateDate               time.Time
	AssumeRolePolicyDocument string
	Description              string `xml:",omitempty"`
	MaxSessionDuration       int64
	PermissionsBoundary      *boundaryView
	Tags                     []iamTag `xml:"Tags>member,omitempty"`
	RoleLastUsed             *struct{}
}

type boundaryView struct {
	PermissionsBoundaryType string
	PermissionsBoundaryArn  string
}

func (r *iamRole) view() roleView {
	v := roleView{
		Path:                     r.path,
		RoleName:                 r.name,
		RoleID:                   r.id,
		Arn:                      r.arn,
		CreateDate:               r.created.Truncate(time.Second),
		AssumeRolePolicyDocument: encodePolicy(r.trustText),
		Description:              r.description,
		MaxSessionDuration:       r.maxSession,
		Tags:                     r.tags,
	}
	if r.boundary != "" {
		v.PermissionsBoundary = &boundaryView{"Policy", r.boundary}
	}
	return v
}

// listed is a role as ListRoles shows it: without tags and boundary.
func (r *iamRole) listed() roleView {
	v := r.view()
	v.Tags, v.PermissionsBoundary = nil, nil
	return v
}

// encodePolicy percent-encodes a document, as IAM returns them all.
func encodePolicy(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}

func (s *Server) iamRoleOperations() map[string]operation {
	return map[string]operation{
		"CreateRole":                    queryOp(createRole),
		"GetRole":                       queryOp(getRole),
		"DeleteRole":                    queryOp(deleteRole),
		"ListRoles":                     queryOp(listRoles),
		"UpdateRole":                    queryOp(updateRole),
		"UpdateAssumeRolePolicy":        queryOp(updateAssumeRolePolicy),
		"PutRolePermissionsBoundary":    queryOp(putRoleBoundary),
		"DeleteRolePermissionsBoundary": queryOp(deleteRoleBoundary),
	}
}

type createRoleIn struct {
	RoleName                 string   `query:"RoleName,required"`
	AssumeRolePolicyDocument string   `query:"AssumeRolePolicyDocument,required"`
	Path                     string   `query:"Path"`
	Description              string   `query:"Description"`
	MaxSessionDuration       *int64   `query:"MaxSessionDuration"`
	PermissionsBoundary      string   `query:"PermissionsBoundary"`
	TagList                  []iamTag `query:"Tags"`
}

type roleOut struct{ Role roleView }

func createRole(c *call, in *createRoleIn) (*roleOut, error) {
	path, err := c.checkNamed("roleName", in.RoleName, 64, in.Path)
	if err != nil {
		return nil, err
	}
	if in.MaxSessionDuration != nil && (*in.MaxSessionDuration < 3600 || *in.MaxSessionDuration > 43200) {
		return nil, c.unfit("Value '%d' at 'maxSessionDuration' failed to satisfy constraint: "+
			"Member must be between 3600 and 43200", *in.MaxSessionDuration)
	}
	account := c.account()
	if account.role(in.RoleName) != nil {
		return nil, conflict("EntityAlreadyExists", "Role with name %s already exists.", in.RoleName)
	}
	doc, err := c.trustPolicy(in.AssumeRolePolicyDocument)
	if err != nil {
		return nil, err
	}
	role := newRole(account.id, in.RoleName, path, c.now)
	role.visibleAt = c.now.Add(c.server.delays.IAMPropagation)
	role.trust, role.trustText, role.description = doc, in.AssumeRolePolicyDocument, in.Description
	if in.MaxSessionDuration != nil {
		role.maxSession = *in.MaxSessionDuration
	}
	if role.tags, err = c.checkTags(nil, in.TagList); err != nil {
		return nil, err
	}
	if err := c.setBoundary(&role.grants, in.PermissionsBoundary); err != nil {
		return nil, err
	}
	account.roles[in.RoleName] = role
	return &roleOut{role.view()}, nil
}

func (c *call) trustPolicy(text string) (*policyDocument, error) {
	if len(text) > 2048 {
		return nil, conflict("LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048")
	}
	doc, err := parsePolicy(text)
	if err != nil {
		return nil, err
	}
	return doc, doc.checkTrust(c.server.iam)
}

// role finds a role by name; names differ by more than case.
func (a *iamAccount) role(name string) *iamRole {
	for known, role := range a.roles {
		if strings.EqualFold(known, name) {
			return role
		}
	}
	return nil
}

type roleNameIn struct {
	RoleName string `query:"RoleName,required"`
}

// roleNamed finds the role that a call is about.
func (c *call) roleNamed(name string) (*iamRole, error) {
	role := c.account().role(name)
	if role == nil {
		return nil, noSuchEntity("The role with name %s cannot be found.", name)
	}
	return role, nil
}

func getRole(c *call, in *roleNameIn) (*roleOut, error) {
	role, err := c.roleNamed(in.RoleName)
	if err != nil {
		return nil, err
	}
	v := role.view()
	v.RoleLastUsed = &struct{}{}
	return &roleOut{v}, nil
}

func deleteRole(c *call, in *roleNameIn) (*struct{}, error) {
	role, err := c.roleNamed(in.RoleName)
	if err != nil {
		return nil, err
	}
	for _, profile := range c.account().profiles {
		if profile.role == role {
			return nil, conflict("DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
		}
	}
	if len(role.attached) > 0 {
		return nil, conflict("DeleteConflict", "Cannot delete entity, must detach all policies first.")
	}
	if len(role.inline) > 0 {
		return nil, conflict("DeleteConflict", "Cannot delete entity, must delete policies first.")
	}
	delete(c.account().roles, role.name)
	return nil, nil
}

type listIn struct {
	PathPrefix string `query:"PathPrefix"`
	iamPage
}

type listRolesOut struct {
	Roles []roleView `xml:"Roles>member"`
	iamMore
}

func listRoles(c *call, in *listIn) (*listRolesOut, error) {
	var all []roleView
	for _, name := range slices.Sorted(maps.Keys(c.account().roles)) {
		if role := c.account().roles[name]; strings.HasPrefix(role.path, in.PathPrefix) {
			all = append(all, role.listed())
		}
	}
	roles, more, err := iamPaginate(c, all, in.iamPage)
	return &listRolesOut{roles, more}, err
}

type updateRoleIn struct {
	RoleName           string  `query:"RoleName,required"`
	Description        *string `query:"Description"`
	MaxSessionDuration *int64  `query:"MaxSessionDuration"`
}

type updateRoleOut struct {
	Ignored *string `xml:"-"`
}

func updateRole(c *call, in *updateRoleIn) (*updateRoleOut, error) {
	role, err := c.roleNamed(in.RoleName)
	if err != nil {
		return nil, err
	}
	if in.Description != nil {
		role.description = *in.Description
	}
	if in.MaxSessionDuration != nil {
		role.maxSession = *in.MaxSessionDuration
	}
	return &updateRoleOut{}, nil
}

type updateAssumeRolePolicyIn struct {
	RoleName       string `query:"RoleName,required"`
	PolicyDocument string `query:"PolicyDocument,required"`
}

func updateAssumeRolePolicy(c *call, in *updateAssumeRolePolicyIn) (*struct{}, error) {
	role, err := c.roleNamed(in.RoleName)
	if err != nil {
		return nil, err
	}
	doc, err := c.trustPolicy(in.PolicyDocument)
	if err != nil {
		return nil, err
	}
	role.trust, role.trustText = doc, in.PolicyDocument
	return nil, nil
}

type putRoleBoundaryIn struct {
	RoleName            string `query:"RoleName,required"`
	PermissionsBoundary string `query:"PermissionsBoundary,required"`
}

func putRoleBoundary(c *call, in *putRoleBoundaryIn) (*struct{}, error) {
	role, err := c.roleNamed(in.RoleName)
	if err != nil {
		return nil, err
	}
	return nil, c.setBoundary(&role.grants, in.PermissionsBoundary)
}

func (c *call) setBoundary(g *grants, arn string) error {
	if arn != "" && c.server.iam.policy(arn) == nil {
		return noSuchEntity("Scope ARN: %s does not exist or is not attachable.", arn)
	}
	g.boundary = arn
	return nil
}

func deleteRoleBoundary(c *call, in *roleNameIn) (*struct{}, error) {
	role, err := c.roleNamed(in.RoleName)
	if err != nil {
		return nil, err
	}
	role.boundary = ""
	return nil, nil
}

package localaws

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// An instanceProfile carries a role to instances.
type instanceProfile struct {
	server                       *Server
	account, name, path, arn, id string
	created                      time.Time
	visibleAt                    time.Time // when EC2 sees it, with its role
	role                         *iamRole
	tags                         iamTags
}

// instanceProfile finds a profile by name or ARN as EC2 sees it: nil while it,
// or its role in it, is still too new. Server.mu is held.
func (s *Server) instanceProfile(account, nameOrARN string) *instanceProfile {
	a := s.iam.accounts[account]
	if a == nil {
		return nil
	}
	for _, p := range a.profiles {
		if p.arn == nameOrARN || p.name == nameOrARN {
			if p.role == nil || s.clock.Now().Before(p.visibleAt) {
				return nil
			}
			return p
		}
	}
	return nil
}

// allows says whether the profile's role may do an action on a resource, as
// the services see its policies now. Server.mu is held. A profile that has
// been deleted or has lost its role allows nothing.
func (p *instanceProfile) allows(action, resource string) bool {
	st := p.server.iam
	if p.role == nil || st.accounts[p.account].profiles[p.name] != p {
		return false
	}
	who := principal{
		account: p.account,
		arn:     "arn:aws:sts::" + p.account + ":assumed-role/" + p.role.name + "/instance",
		userID:  p.role.id + ":instance",
		role:    p.role.name,
	}
	now := p.server.clock.Now()
	if !p.role.trusts(question{action: "sts:AssumeRole"}, trustService("ec2.amazonaws.com")) {
		return false
	}
	q := question{action: action, resource: resource, context: contextOf(who, now)}
	if evaluate(q, p.role.documents(st, now, p.server.delays.IAMPropagation)) != allowed {
		return false
	}
	return p.role.boundary == "" || evaluate(q, st.boundaryOf(&p.role.grants)) == allowed
}

type profileView struct {
	Path                string
	InstanceProfileName string
	InstanceProfileID   string `xml:"InstanceProfileId"`
	Arn                 string
	CreateDate          time.Time
	Roles               []roleView `xml:"Roles>member"`
	Tags                []iamTag   `xml:"Tags>member,omitempty"`
}

func (p *instanceProfile) view() profileView {
	v := profileView{
		Path:                p.path,
		InstanceProfileName: p.name,
		InstanceProfileID:   p.id,
		Arn:                 p.arn,
		CreateDate:          p.created.Truncate(time.Second),
		Tags:                p.tags,
	}
	if p.role != nil {
		v.Roles = []roleView{p.role.listed()}
	}
	return v
}

func (s *Server) iamProfileOperations() map[string]operation {
	return map[string]operation{
		"CreateInstanceProfile":         queryOp(createInstanceProfile),
		"GetInstanceProfile":            queryOp(getInstanceProfile),
		"DeleteInstanceProfile":         queryOp(deleteInstanceProfile),
		"ListInstanceProfiles":          queryOp(listInstanceProfiles),
		"ListInstanceProfilesForRole":   queryOp(listInstanceProfilesForRole),
		"AddRoleToInstanceProfile":      queryOp(addRoleToInstanceProfile),
		"RemoveRoleFromInstanceProfile": queryOp(removeRoleFromInstanceProfile),
	}
}

type createInstanceProfileIn struct {
	InstanceProfileName string   `query:"InstanceProfileName,required"`
	Path                string   `query:"Path"`
	Tags                []iamTag `query:"Tags"`
}

type profileOut struct{ InstanceProfile profileView }

func createInstanceProfile(c *call, in *createInstanceProfileIn) (*profileOut, error) {
	path, err := c.checkNamed("instanceProfileName", in.InstanceProfileName, 128, in.Path)
	if err != nil {
		return nil, err
	}
	account := c.account()
	if account.profile(in.InstanceProfileName) != nil {
		return nil, conflict("EntityAlreadyExists", "Instance Profile %s already exists.", in.InstanceProfileName)
	}
	p := &instanceProfile{
		server:    c.server,
		account:   account.id,
		name:      in.InstanceProfileName,
		path:      path,
		arn:       "arn:aws:iam::" + account.id + ":instance-profile" + path + in.InstanceProfileName,
		id:        newUniqueID("AIPA"),
		created:   c.now,
		visibleAt: c.now.Add(c.server.delays.IAMPropagation),
	}
	if p.tags, err = c.checkTags(nil, in.Tags); err != nil {
		return nil, err
	}
	account.profiles[p.name] = p
	return &profileOut{p.view()}, nil
}

func (a *iamAccount) profile(name string) *instanceProfile {
	for known, profile := range a.profiles {
		if strings.EqualFold(known, name) {
			return profile
		}
	}
	return nil
}

type profileNameIn struct {
	InstanceProfileName string `query:"InstanceProfileName,required"`
}

// profileNamed finds the instance profile that a call is about.
func (c *call) profileNamed(name string) (*instanceProfile, error) {
	profile := c.account().profile(name)
	if profile == nil {
		return nil, noSuchEntity("Instance Profile %s cannot be found.", name)
	}
	return profile, nil
}

func getInstanceProfile(c *call, in *profileNameIn) (*profileOut, error) {
	profile, err := c.profileNamed(in.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	return &profileOut{profile.view()}, nil
}

func deleteInstanceProfile(c *call, in *profileNameIn) (*struct{}, error) {
	profile, err := c.profileNamed(in.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	if profile.role != nil {
		return nil, conflict("DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
	}
	delete(c.account().profiles, profile.name)
	return nil, nil
}

type listProfilesOut struct {
	InstanceProfiles []profileView `xml:"InstanceProfiles>member"`
	iamMore
}

func listInstanceProfiles(c *call, in *listIn) (*listProfilesOut, error) {
	return listProfiles(c, in.iamPage, func(p *instanceProfile) bool { return strings.HasPrefix(p.path, in.PathPrefix) })
}

func listInstanceProfilesForRole(c *call, in *roleListIn) (*listProfilesOut, error) {
	role, err := c.roleNamed(in.RoleName)
	if err != nil {
		return nil, err
	}
	return listProfiles(c, in.iamPage, func(p *instanceProfile) bool { return p.role == role })
}

func listProfiles(c *call, page iamPage, keep func(*instanceProfile) bool) (*listProfilesOut, error) {
	var all []profileView
	for _, name := range slices.Sorted(maps.Keys(c.account().profiles)) {
		if p := c.account().profiles[name]; keep(p) {
			v := p.view()
			v.Tags = nil
			all = append(all, v)
		}
	}
	profiles, more, err := iamPaginate(c, all, page)
	return &listProfilesOut{profiles, more}, err
}

type profileRoleIn struct {
	InstanceProfileName string `query:"InstanceProfileName,required"`
	RoleName            string `query:"RoleName,required"`
}

func addRoleToInstanceProfile(c *call, in *profileRoleIn) (*struct{}, error) {
	profile, err := c.profileNamed(in.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	role, err := c.roleNamed(in.RoleName)
	if err != nil {
		return nil, err
	}
	if profile.role != nil {
		return nil, conflict("LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
	}
	profile.role = role
	profile.visibleAt = c.now.Add(c.server.delays.IAMPropagation)
	return nil, nil
}

func removeRoleFromInstanceProfile(c *call, in *profileRoleIn) (*struct{}, error) {
	profile, err := c.profileNamed(in.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	if profile.role == nil || !strings.EqualFold(profile.role.name, in.RoleName) {
		return nil, noSuchEntity("The role with name %s cannot be found.", in.RoleName)
	}
	profile.role = nil
	return nil, nil
}

package localaws

import "slices"

func (s *Server) iamTagOperations() map[string]operation {
	return map[string]operation{
		"TagRole":                 queryOp(tagRole),
		"UntagRole":               queryOp(untagRole),
		"ListRoleTags":            queryOp(listRoleTags),
		"TagInstanceProfile":      queryOp(tagProfile),
		"UntagInstanceProfile":    queryOp(untagProfile),
		"ListInstanceProfileTags": queryOp(listProfileTags),
	}
}

type tagRoleIn struct {
	RoleName string   `query:"RoleName,required"`
	Tags     []iamTag `query:"Tags,required"`
}

func tagRole(c *call, in *tagRoleIn) (*struct{}, error) {
	role, err := c.roleNamed(in.RoleName)
	if err != nil {
		return nil, err
	}
	return nil, c.addTags(&role.tags, in.Tags)
}

func (c *call) addTags(tags *iamTags, add []iamTag) error {
	all, err := c.checkTags(*tags, add)
	if err == nil {
		*tags = all
	}
	return err
}

type untagRoleIn struct {
	RoleName string   `query:"RoleName,required"`
	TagKeys  []string `query:"TagKeys,required"`
}

func untagRole(c *call, in *untagRoleIn) (*struct{}, error) {
	role, err := c.roleNamed(in.RoleName)
	if err != nil {
		return nil, err
	}
	role.tags.remove(in.TagKeys)
	return nil, nil
}

func (t *iamTags) remove(keys []string) {
	*t = slices.DeleteFunc(*t, func(tag iamTag) bool { return slices.Contains(keys, tag.Key) })
}

type listTagsOut struct {
	Tags []iamTag `xml:"Tags>member"`
	iamMore
}

func listRoleTags(c *call, in *struct {
	roleNameIn
	iamPage
}) (*listTagsOut, error) {
	role, err := c.roleNamed(in.RoleName)
	if err != nil {
		return nil, err
	}
	tags, more, err := iamPaginate(c, role.tags, in.iamPage)
	return &listTagsOut{tags, more}, err
}

type tagProfileIn struct {
	InstanceProfileName string   `query:"InstanceProfileName,required"`
	Tags                []iamTag `query:"Tags,required"`
}

func tagProfile(c *call, in *tagProfileIn) (*struct{}, error) {
	profile, err := c.profileNamed(in.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	return nil, c.addTags(&profile.tags, in.Tags)
}

type untagProfileIn struct {
	InstanceProfileName string   `query:"InstanceProfileName,required"`
	TagKeys             []string `query:"TagKeys,required"`
}

func untagProfile(c *call, in *untagProfileIn) (*struct{}, error) {
	profile, err := c.profileNamed(in.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	profile.tags.remove(in.TagKeys)
	return nil, nil
}

func listProfileTags(c *call, in *struct {
	profileNameIn
	iamPage
}) (*listTagsOut, error) {
	profile, err := c.profileNamed(in.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	tags, more, err := iamPaginate(c, profile.tags, in.iamPage)
	return &listTagsOut{tags, more}, err
}

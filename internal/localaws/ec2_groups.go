package localaws

import (
	"net/netip"
	"regexp"
	"slices"
)

// A securityGroup is a set of rules for the traffic of the interfaces in it.
type securityGroup struct {
	id, name, description, vpcID string
	rules                        []*groupRule
}

// A groupRule allows one protocol and range of ports to or from one peer.
type groupRule struct {
	id          string
	egress      bool
	protocol    string // "-1" for all
	from, to    int64  // -1 for all; of ICMP the type and code
	cidr        string // one of cidr, cidr6, group and prefixList is set
	cidr6       string
	group       string
	groupOwner  string
	prefixList  string
	description string
}

func everythingOut(id string) *groupRule {
	return &groupRule{id: "sgr" + id[len("sgr"):], egress: true, protocol: "-1", from: -1, to: -1, cidr: "0.0.0.0/0"}
}

// same says whether two rules allow the same; descriptions don't count.
func (r *groupRule) same(o *groupRule) bool {
	a, b := *r, *o
	a.id, b.id, a.description, b.description = "", "", "", ""
	a.groupOwner, b.groupOwner = "", ""
	return a == b
}

// covers says whether the rule speaks of a TCP port.
func (r *groupRule) covers(port int64) bool {
	return r.protocol == "-1" || r.protocol == "tcp" && r.from <= port && port <= r.to
}

// letsOut says whether the group allows TCP to the port: everywhere, or into the network of the VPC.
func (g *securityGroup) letsOut(port int64, within *vpc) (everywhere, inside bool) {
	for _, r := range g.rules {
		if !r.egress || !r.covers(port) {
			continue
		}
		inside = inside || r.group != "" || r.prefixList != ""
		if cidr, err := netip.ParsePrefix(r.cidr); err == nil {
			everywhere = everywhere || cidr.Bits() == 0
			inside = inside || cidr.Overlaps(within.cidr)
		}
	}
	return everywhere, inside || everywhere
}

// letsIn says whether the group allows TCP to the port from the interface.
func (g *securityGroup) letsIn(port int64, from *networkInterface, within *vpc) bool {
	return slices.ContainsFunc(g.rules, func(r *groupRule) bool {
		if r.egress || !r.covers(port) {
			return false
		}
		if r.group != "" {
			return slices.Contains(from.groupIDs, r.group)
		}
		cidr, err := netip.ParsePrefix(r.cidr)
		return err == nil && within != nil && cidr.Contains(from.privateIP)
	})
}

func (p *ec2Place) findGroup(id string) (*securityGroup, error) {
	if g := p.groups[id]; g != nil {
		return g, nil
	}
	if !validID("sg", id) {
		return nil, refuse("InvalidGroupId.Malformed", "Invalid id: \"%s\" (expecting \"sg-...\")", id)
	}
	return nil, refuse("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
}

// findGroupByName looks in the default VPC, as calls that name a group do.
func (p *ec2Place) findGroupByName(name string) (*securityGroup, error) {
	v := p.defaultVPC()
	if v == nil {
		return nil, refuse("VPCIdNotSpecified", "No default VPC for this user")
	}
	for _, g := range p.groups {
		if g.name == name && g.vpcID == v.id {
			return g, nil
		}
	}
	return nil, refuse("InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC '%s'", name, v.id)
}

func (p *ec2Place) defaultGroup(vpcID string) *securityGroup {
	for _, g := range p.groups {
		if g.vpcID == vpcID && g.name == "default" {
			return g
		}
	}
	return nil
}

type groupName struct {
	ID   string `xml:"groupId"`
	Name string `xml:"groupName"`
}

func (p *ec2Place) groupNames(ids []string) set[groupName] {
	return setFrom(ids, func(id string) groupName {
		if g := p.groups[id]; g != nil {
			return groupName{id, g.name}
		}
		return groupName{ID: id}
	})
}

type createGroupInput struct {
	dryRun
	tagSpecs
	Name        string `query:"GroupName"`
	Description string `query:"GroupDescription"`
	VPCID       string `query:"VpcId"`
}

type createGroupOutput struct {
	Return  bool     `xml:"return"`
	GroupID string   `xml:"groupId"`
	ARN     string   `xml:"securityGroupArn"`
	Tags    set[tag] `xml:"tagSet"`
}

// groupText is what names and descriptions of groups in a VPC are made of.
var groupText = regexp.MustCompile(`^[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]*$`)

func (s *Server) createSecurityGroup(c *call, in *createGroupInput) (*createGroupOutput, error) {
	p := c.place()
	g, err := p.plannedGroup(in)
	if err != nil {
		return nil, err
	}
	tags, err := in.forTypes("security-group")
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	p.groups[g.id] = g
	p.setTags(g.id, tags["security-group"])
	return &createGroupOutput{true, g.id, p.arn("security-group", g.id), p.tagSet(g.id)}, nil
}

func (p *ec2Place) plannedGroup(in *createGroupInput) (*securityGroup, error) {
	vpcID := in.VPCID
	if vpcID == "" {
		v := p.defaultVPC()
		if v == nil {
			return nil, refuse("VPCIdNotSpecified", "No default VPC for this user")
		}
		vpcID = v.id
	}
	if _, err := p.findVPC(vpcID); err != nil {
		return nil, err
	}
	switch {
	case in.Name == "":
		return nil, missing("groupName")
	case in.Description == "":
		return nil, missing("groupDescription")
	case len(in.Name) > 255 || !groupText.MatchString(in.Name):
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter GroupName is invalid. Character sets beyond ASCII are not supported.", in.Name)
	case len(in.Name) >= 3 && in.Name[:3] == "sg-":
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter groupName is invalid. Group names may not be in the format sg-*", in.Name)
	case in.Name == "default":
		return nil, refuse("InvalidParameterValue", "Cannot use reserved security group name: default")
	case len(in.Description) > 255 || !groupText.MatchString(in.Description):
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter GroupDescription is invalid. Character sets beyond ASCII are not supported.", in.Description)
	}
	for _, g := range p.groups {
		if g.vpcID == vpcID && g.name == in.Name {
			return nil, refuse("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", in.Name, vpcID)
		}
	}
	return &securityGroup{
		id: newID("sg"), name: in.Name, description: in.Description, vpcID: vpcID,
		rules: []*groupRule{everythingOut(newID("sgr"))},
	}, nil
}

type groupInput struct {
	dryRun
	ID   string `query:"GroupId"`
	Name string `query:"GroupName"`
}

// of finds the group by id or, in the default VPC, by name.
func (in groupInput) of(p *ec2Place) (*securityGroup, error) {
	switch {
	case in.ID != "" && in.Name != "":
		return nil, refuse("InvalidParameterCombination", "The parameters groupName and groupId cannot be used together")
	case in.ID != "":
		return p.findGroup(in.ID)
	case in.Name != "":
		return p.findGroupByName(in.Name)
	default:
		return nil, refuse("MissingParameter", "The request must contain the parameter groupName or groupId")
	}
}

type deleteGroupOutput struct {
	Return  bool   `xml:"return"`
	GroupID string `xml:"groupId"`
}

func (s *Server) deleteSecurityGroup(c *call, in *groupInput) (*deleteGroupOutput, error) {
	p := c.place()
	g, err := in.of(p)
	if err != nil {
		return nil, err
	}
	if g.name == "default" {
		return nil, refuse("CannotDelete", "the specified group: \"%s\" name: \"default\" cannot be deleted by a user", g.id)
	}
	if p.groupInUse(g) {
		return nil, refuse("DependencyViolation", "resource %s has a dependent object", g.id)
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	delete(p.groups, g.id)
	delete(p.tags, g.id)
	return &deleteGroupOutput{true, g.id}, nil
}

// groupInUse says whether an interface is in the group or another group's rule names it.
func (p *ec2Place) groupInUse(g *securityGroup) bool {
	for _, n := range p.interfaces {
		if slices.Contains(n.groupIDs, g.id) {
			return true
		}
	}
	for _, other := range p.groups {
		if other != g && slices.ContainsFunc(other.rules, func(r *groupRule) bool { return r.group == g.id }) {
			return true
		}
	}
	return false
}

type describeGroupsInput struct {
	dryRun
	page
	IDs     []string `query:"GroupId"`
	Names   []string `query:"GroupName"`
	Filters []filter `query:"Filter"`
}

type groupDescription struct {
	OwnerID     string          `xml:"ownerId"`
	ID          string          `xml:"groupId"`
	Name        string          `xml:"groupName"`
	Description string          `xml:"groupDescription"`
	VPCID       string          `xml:"vpcId"`
	ARN         string          `xml:"securityGroupArn"`
	Ingress     set[permission] `xml:"ipPermissions"`
	Egress      set[permission] `xml:"ipPermissionsEgress"`
	Tags        set[tag]        `xml:"tagSet"`
}

type describeGroupsOutput struct {
	Groups    set[groupDescription] `xml:"securityGroupInfo"`
	NextToken string                `xml:"nextToken,omitempty"`
}

func (p *ec2Place) describeGroup(g *securityGroup) groupDescription {
	return groupDescription{
		OwnerID: p.account, ID: g.id, Name: g.name, Description: g.description, VPCID: g.vpcID, ARN: p.arn("security-group", g.id),
		Ingress: g.permissions(false), Egress: g.permissions(true), Tags: p.tagSet(g.id),
	}
}

func (s *Server) describeSecurityGroups(c *call, in *describeGroupsInput) (*describeGroupsOutput, error) {
	p := c.place()
	if err := in.notBoth(in.IDs, "groupIds"); err != nil {
		return nil, err
	}
	ids := slices.Clone(in.IDs)
	for _, name := range in.Names {
		g, err := p.findGroupByName(name)
		if err != nil {
			return nil, err
		}
		ids = append(ids, g.id)
	}
	all, err := byID(ids, p.groups, p.findGroup)
	if err != nil {
		return nil, err
	}
	all, err = p.groupFilters().keep(in.Filters, func(g *securityGroup) map[string]string { return p.tags[g.id] }, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &describeGroupsOutput{setFrom(part, p.describeGroup), next}, err
}

func (p *ec2Place) groupFilters() filterTable[*securityGroup] {
	table := filterTable[*securityGroup]{
		"description": one(func(g *securityGroup) string { return g.description }),
		"group-id":    one(func(g *securityGroup) string { return g.id }),
		"group-name":  one(func(g *securityGroup) string { return g.name }),
		"owner-id":    one(func(*securityGroup) string { return p.account }),
		"vpc-id":      one(func(g *securityGroup) string { return g.vpcID }),
	}
	properties := map[string]func(*groupRule) string{
		"cidr":           func(r *groupRule) string { return r.cidr },
		"ipv6-cidr":      func(r *groupRule) string { return r.cidr6 },
		"from-port":      func(r *groupRule) string { return number(r.from) },
		"to-port":        func(r *groupRule) string { return number(r.to) },
		"protocol":       func(r *groupRule) string { return r.protocol },
		"group-id":       func(r *groupRule) string { return r.group },
		"prefix-list-id": func(r *groupRule) string { return r.prefixList },
	}
	for name, property := range properties {
		for _, egress := range []bool{false, true} {
			prefix := "ip-permission."
			if egress {
				prefix = "egress.ip-permission."
			}
			table[prefix+name] = func(g *securityGroup) []string {
				return nonEmpty(g.rules, func(r *groupRule) string {
					if r.egress != egress {
						return ""
					}
					return property(r)
				})
			}
		}
	}
	return table
}

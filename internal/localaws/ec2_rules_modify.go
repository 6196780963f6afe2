package localaws

import "slices"

type modifyRulesInput struct {
	dryRun
	GroupID string       `query:"GroupId"`
	Rules   []ruleUpdate `query:"SecurityGroupRule"`
}

type ruleUpdate struct {
	ID   string      `query:"SecurityGroupRuleId"`
	Rule ruleRequest `query:"SecurityGroupRule"`
}

type ruleRequest struct {
	Protocol    string `query:"IpProtocol"`
	From        *int64 `query:"FromPort"`
	To          *int64 `query:"ToPort"`
	Cidr        string `query:"CidrIpv4"`
	Cidr6       string `query:"CidrIpv6"`
	PrefixList  string `query:"PrefixListId"`
	Group       string `query:"ReferencedGroupId"`
	Description string `query:"Description"`
}

// permission is the request as the older calls word it.
func (r ruleRequest) permission() permission {
	perm := permission{Protocol: r.Protocol, From: r.From, To: r.To}
	if r.Cidr != "" {
		perm.Ranges = []permittedRange{{r.Cidr, r.Description}}
	}
	if r.Cidr6 != "" {
		perm.Ranges6 = []permittedIPv6{{r.Cidr6, r.Description}}
	}
	if r.Group != "" {
		perm.Groups = []permittedGroup{{GroupID: r.Group, Description: r.Description}}
	}
	if r.PrefixList != "" {
		perm.Lists = []permittedList{{r.PrefixList, r.Description}}
	}
	return perm
}

// modifyRules gives rules other contents and leaves their ids.
func (s *Server) modifyRules(c *call, in *modifyRulesInput) (*done, error) {
	p := c.place()
	g, err := p.findGroup(in.GroupID)
	if err != nil {
		return nil, err
	}
	next := map[*groupRule]groupRule{}
	for _, update := range in.Rules {
		old, err := g.rule(update.ID)
		if err != nil {
			return nil, err
		}
		rules, err := update.Rule.permission().rules(p, old.egress)
		if err != nil {
			return nil, err
		}
		if len(rules) != 1 {
			return nil, refuse("InvalidParameterCombination", "A security group rule has exactly one of cidrIpv4, cidrIpv6, prefixListId and referencedGroupId")
		}
		rules[0].id = old.id
		next[old] = *rules[0]
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	for old, rule := range next {
		*old = rule
	}
	return succeeded, nil
}

func (g *securityGroup) rule(id string) (*groupRule, error) {
	i := slices.IndexFunc(g.rules, func(r *groupRule) bool { return r.id == id })
	if i < 0 {
		return nil, refuse("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%s' does not exist", id)
	}
	return g.rules[i], nil
}

type ruleDescriptionsInput struct {
	dryRun
	GroupID      string            `query:"GroupId"`
	GroupName    string            `query:"GroupName"`
	Permissions  []permission      `query:"IpPermissions"`
	Descriptions []ruleAndItsWords `query:"SecurityGroupRuleDescription"`
}

type ruleAndItsWords struct {
	ID          string `query:"SecurityGroupRuleId"`
	Description string `query:"Description"`
}

// describeRulesAnew changes the descriptions of rules of one direction.
func (s *Server) describeRulesAnew(egress bool) func(*call, *ruleDescriptionsInput) (*done, error) {
	return func(c *call, in *ruleDescriptionsInput) (*done, error) {
		p := c.place()
		g, err := groupInput{ID: in.GroupID, Name: in.GroupName}.of(p)
		if err != nil {
			return nil, err
		}
		words, err := in.words(p, g, egress)
		if err != nil {
			return nil, err
		}
		if err := in.check(); err != nil {
			return nil, err
		}
		for rule, description := range words {
			rule.description = description
		}
		return succeeded, nil
	}
}

func (in *ruleDescriptionsInput) words(p *ec2Place, g *securityGroup, egress bool) (map[*groupRule]string, error) {
	words := map[*groupRule]string{}
	if (len(in.Permissions) == 0) == (len(in.Descriptions) == 0) {
		return nil, refuse("InvalidParameterCombination", "Either ipPermissions or securityGroupRuleDescriptions must be given")
	}
	for _, d := range in.Descriptions {
		rule, err := g.rule(d.ID)
		if err != nil {
			return nil, err
		}
		words[rule] = d.Description
	}
	for _, perm := range in.Permissions {
		rules, err := perm.rules(p, egress)
		if err != nil {
			return nil, err
		}
		for _, asked := range rules {
			i := slices.IndexFunc(g.rules, asked.same)
			if i < 0 {
				return nil, refuse("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
			}
			words[g.rules[i]] = asked.description
		}
	}
	return words, nil
}

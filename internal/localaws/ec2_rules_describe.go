package localaws

import (
	"slices"
)

type describeRulesInput struct {
	dryRun
	page
	IDs     []string `query:"SecurityGroupRuleId"`
	Filters []filter `query:"Filter"`
}

type ruleDescription struct {
	ID          string     `xml:"securityGroupRuleId"`
	ARN         string     `xml:"securityGroupRuleArn"`
	GroupID     string     `xml:"groupId"`
	GroupOwner  string     `xml:"groupOwnerId"`
	IsEgress    bool       `xml:"isEgress"`
	Protocol    string     `xml:"ipProtocol"`
	From        int64      `xml:"fromPort"`
	To          int64      `xml:"toPort"`
	Cidr        string     `xml:"cidrIpv4,omitempty"`
	Cidr6       string     `xml:"cidrIpv6,omitempty"`
	PrefixList  string     `xml:"prefixListId,omitempty"`
	Peer        *rulesPeer `xml:"referencedGroupInfo"`
	Description string     `xml:"description,omitempty"`
	Tags        set[tag]   `xml:"tagSet"`
}

type rulesPeer struct {
	GroupID string `xml:"groupId"`
	UserID  string `xml:"userId"`
}

type describeRulesOutput struct {
	Rules     set[ruleDescription] `xml:"securityGroupRuleSet"`
	NextToken string               `xml:"nextToken,omitempty"`
}

func (p *ec2Place) describeRule(g *securityGroup, r *groupRule) ruleDescription {
	d := ruleDescription{
		ID: r.id, ARN: p.arn("security-group-rule", r.id), GroupID: g.id, GroupOwner: p.account, IsEgress: r.egress,
		Protocol: r.protocol, From: r.from, To: r.to, Cidr: r.cidr, Cidr6: r.cidr6, PrefixList: r.prefixList,
		Description: r.description, Tags: p.tagSet(r.id),
	}
	if r.group != "" {
		d.Peer = &rulesPeer{r.group, r.groupOwner}
	}
	return d
}

var ruleFilters = filterTable[ruleDescription]{
	"group-id":               one(func(r ruleDescription) string { return r.GroupID }),
	"security-group-rule-id": one(func(r ruleDescription) string { return r.ID }),
}

func (s *Server) describeSecurityGroupRules(c *call, in *describeRulesInput) (*describeRulesOutput, error) {
	p := c.place()
	var all []ruleDescription
	for _, g := range sorted(p.groups) {
		for _, r := range g.rules {
			if len(in.IDs) == 0 || slices.Contains(in.IDs, r.id) {
				all = append(all, p.describeRule(g, r))
			}
		}
	}
	for _, id := range in.IDs {
		if !slices.ContainsFunc(all, func(r ruleDescription) bool { return r.ID == id }) {
			return nil, refuse("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%s' does not exist", id)
		}
	}
	all, err := ruleFilters.keep(in.Filters, func(r ruleDescription) map[string]string { return p.tags[r.ID] }, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &describeRulesOutput{setOf(part), next}, err
}

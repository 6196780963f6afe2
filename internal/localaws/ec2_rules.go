package localaws

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A permission is how calls speak of rules: one protocol and range of ports, many peers.
type permission struct {
	Protocol string           `query:"IpProtocol" xml:"ipProtocol"`
	From     *int64           `query:"FromPort" xml:"fromPort,omitempty"`
	To       *int64           `query:"ToPort" xml:"toPort,omitempty"`
	Groups   []permittedGroup `query:"Groups" xml:"groups>item"`
	Ranges   []permittedRange `query:"IpRanges" xml:"ipRanges>item"`
	Ranges6  []permittedIPv6  `query:"Ipv6Ranges" xml:"ipv6Ranges>item"`
	Lists    []permittedList  `query:"PrefixListIds" xml:"prefixListIds>item"`
}

type permittedGroup struct {
	UserID      string `query:"UserId" xml:"userId,omitempty"`
	GroupID     string `query:"GroupId" xml:"groupId,omitempty"`
	GroupName   string `query:"GroupName" xml:"-"`
	VPCID       string `query:"VpcId" xml:"-"`
	Description string `query:"Description" xml:"description,omitempty"`
}

type permittedRange struct {
	CidrIP      string `query:"CidrIp" xml:"cidrIp"`
	Description string `query:"Description" xml:"description,omitempty"`
}

type permittedIPv6 struct {
	CidrIP      string `query:"CidrIpv6" xml:"cidrIpv6"`
	Description string `query:"Description" xml:"description,omitempty"`
}

type permittedList struct {
	ID          string `query:"PrefixListId" xml:"prefixListId"`
	Description string `query:"Description" xml:"description,omitempty"`
}

// permissions are the group's rules of one direction, gathered by protocol and ports.
func (g *securityGroup) permissions(egress bool) set[permission] {
	var all []permission
	for _, r := range g.rules {
		if r.egress != egress {
			continue
		}
		i := slices.IndexFunc(all, func(p permission) bool {
			return p.Protocol == r.protocol && valueOr(p.From, -1) == r.from && valueOr(p.To, -1) == r.to
		})
		if i < 0 {
			next := permission{Protocol: r.protocol}
			if r.protocol != "-1" {
				next.From, next.To = &r.from, &r.to
			}
			all = append(all, next)
			i = len(all) - 1
		}
		all[i].add(r)
	}
	return setOf(all)
}

func (perm *permission) add(r *groupRule) {
	switch {
	case r.cidr != "":
		perm.Ranges = append(perm.Ranges, permittedRange{r.cidr, r.description})
	case r.cidr6 != "":
		perm.Ranges6 = append(perm.Ranges6, permittedIPv6{r.cidr6, r.description})
	case r.group != "":
		perm.Groups = append(perm.Groups, permittedGroup{UserID: r.groupOwner, GroupID: r.group, Description: r.description})
	default:
		perm.Lists = append(perm.Lists, permittedList{r.prefixList, r.description})
	}
}

type ruleInput struct {
	dryRun
	tagSpecs
	GroupID     string       `query:"GroupId"`
	GroupName   string       `query:"GroupName"`
	RuleIDs     []string     `query:"SecurityGroupRuleId"`
	Protocol    string       `query:"IpProtocol"`
	From        *int64       `query:"FromPort"`
	To          *int64       `query:"ToPort"`
	CidrIP      string       `query:"CidrIp"`
	SourceGroup string       `query:"SourceSecurityGroupName"`
	SourceOwner string       `query:"SourceSecurityGroupOwnerId"`
	Permissions []permission `query:"IpPermissions"`
}

// rules are the rules that a request speaks of, each with one peer.
func (in *ruleInput) rules(p *ec2Place, egress bool) ([]*groupRule, error) {
	permissions := in.Permissions
	if in.Protocol != "" || in.CidrIP != "" || in.SourceGroup != "" {
		if len(permissions) > 0 {
			return nil, refuse("InvalidParameterCombination", "The parameter ipPermissions may not be used with the parameters ipProtocol, fromPort, toPort, cidrIp")
		}
		single := permission{Protocol: in.Protocol, From: in.From, To: in.To}
		if in.CidrIP != "" {
			single.Ranges = []permittedRange{{CidrIP: in.CidrIP}}
		}
		if in.SourceGroup != "" {
			single = permission{Protocol: "-1", Groups: []permittedGroup{{GroupName: in.SourceGroup, UserID: in.SourceOwner}}}
		}
		permissions = []permission{single}
	}
	if len(permissions) == 0 {
		return nil, missing("ipPermissions")
	}
	var all []*groupRule
	for _, perm := range permissions {
		rules, err := perm.rules(p, egress)
		if err != nil {
			return nil, err
		}
		all = append(all, rules...)
	}
	return all, nil
}

func (perm permission) rules(p *ec2Place, egress bool) ([]*groupRule, error) {
	base := groupRule{egress: egress}
	var err error
	if base.protocol, base.from, base.to, err = perm.ports(); err != nil {
		return nil, err
	}
	var all []*groupRule
	add := func(change func(r *groupRule)) {
		r := base
		r.id = newID("sgr")
		change(&r)
		all = append(all, &r)
	}
	for _, r := range perm.Ranges {
		cidr, err := netip.ParsePrefix(r.CidrIP)
		if err != nil || !cidr.Addr().Is4() {
			return nil, refuse("InvalidParameterValue", "CIDR block %s is malformed", r.CidrIP)
		}
		add(func(g *groupRule) { g.cidr, g.description = cidr.Masked().String(), r.Description })
	}
	for _, r := range perm.Ranges6 {
		cidr, err := netip.ParsePrefix(r.CidrIP)
		if err != nil || cidr.Addr().Is4() {
			return nil, refuse("InvalidParameterValue", "CIDR block %s is malformed", r.CidrIP)
		}
		add(func(g *groupRule) { g.cidr6, g.description = cidr.Masked().String(), r.Description })
	}
	for _, r := range perm.Groups {
		peer, err := groupInput{ID: r.GroupID, Name: r.GroupName}.of(p)
		if err != nil {
			return nil, err
		}
		add(func(g *groupRule) { g.group, g.groupOwner, g.description = peer.id, p.account, r.Description })
	}
	for _, r := range perm.Lists {
		if !slices.Contains(prefixLists[p.region], r.ID) {
			return nil, refuse("InvalidPrefixListID.NotFound", "The prefix list ID '%s' does not exist", r.ID)
		}
		add(func(g *groupRule) { g.prefixList, g.description = r.ID, r.Description })
	}
	for _, g := range all {
		if !ruleDescriptions.MatchString(g.description) {
			return nil, refuse("InvalidParameterValue", "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*")
		}
	}
	if len(all) == 0 {
		return nil, missing("cidrIp, ipv6Ranges, prefixListIds or groups")
	}
	return all, nil
}

var ruleDescriptions = regexp.MustCompile(`^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}$`)

// prefixLists are those of AWS's own, for S3 and DynamoDB.
var prefixLists = map[string][]string{
	"us-east-1": {"pl-63a5400a", "pl-02cd2c6b"},
	"us-west-2": {"pl-68a54001", "pl-00a54069"},
	"eu-west-1": {"pl-6da54004", "pl-6fa54006"},
}

// ports reads protocol and ports; all protocols have all ports.
func (perm permission) ports() (protocol string, from, to int64, err error) {
	protocol = strings.ToLower(perm.Protocol)
	switch protocol {
	case "":
		return "", 0, 0, missing("ipProtocol")
	case "-1", "all":
		return "-1", -1, -1, nil
	case "6":
		protocol = "tcp"
	case "17":
		protocol = "udp"
	case "1":
		protocol = "icmp"
	case "58":
		protocol = "icmpv6"
	}
	switch protocol {
	case "icmp", "icmpv6":
		return protocol, valueOr(perm.From, -1), valueOr(perm.To, -1), nil
	case "tcp", "udp":
	default:
		if n, err := strconv.ParseUint(protocol, 10, 8); err == nil {
			return strconv.FormatUint(n, 10), -1, -1, nil // other protocols have no ports
		}
		return "", 0, 0, refuse("InvalidParameterValue", "Invalid value '%s' for IP protocol. Unknown protocol.", perm.Protocol)
	}
	from, to = valueOr(perm.From, -1), valueOr(perm.To, -1)
	switch {
	case from < 0 || from > 65535:
		err = refuse("InvalidParameterValue", "Invalid value '%d' for port. Must be between 0 and 65535", from)
	case to < 0 || to > 65535:
		err = refuse("InvalidParameterValue", "Invalid value '%d' for port. Must be between 0 and 65535", to)
	case from > to:
		err = refuse("InvalidParameterValue", "Invalid TCP/UDP port range (%d:%d)", from, to)
	}
	return protocol, from, to, err
}

type rulesOutput struct {
	Return bool                 `xml:"return"`
	Rules  set[ruleDescription] `xml:"securityGroupRuleSet"`
}

// maxRules is how many rules of one direction a group can have.
const maxRules = 60

func (s *Server) authorize(egress bool) func(*call, *ruleInput) (*rulesOutput, error) {
	return func(c *call, in *ruleInput) (*rulesOutput, error) {
		p := c.place()
		g, err := groupInput{ID: in.GroupID, Name: in.GroupName}.of(p)
		if err != nil {
			return nil, err
		}
		rules, err := in.rules(p, egress)
		if err != nil {
			return nil, err
		}
		tags, err := in.forTypes("security-group-rule")
		if err != nil {
			return nil, err
		}
		if err := g.fits(rules, egress); err != nil {
			return nil, err
		}
		if err := in.check(); err != nil {
			return nil, err
		}
		g.rules = append(g.rules, rules...)
		for _, r := range rules {
			p.setTags(r.id, tags["security-group-rule"])
		}
		return &rulesOutput{true, setFrom(rules, func(r *groupRule) ruleDescription { return p.describeRule(g, r) })}, nil
	}
}

func (g *securityGroup) fits(rules []*groupRule, egress bool) error {
	have := 0
	for _, old := range g.rules {
		if old.egress == egress {
			have++
		}
	}
	if have+len(rules) > maxRules {
		return refuse("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
	}
	for n, r := range rules {
		if slices.ContainsFunc(rules[:n], r.same) {
			return refuse("InvalidParameterValue", "The same permission must not appear multiple times")
		}
		if slices.ContainsFunc(g.rules, r.same) {
			peer := r.cidr + r.cidr6 + r.group + r.prefixList
			return refuse("InvalidPermission.Duplicate", "the specified rule \"peer: %s, %s, ALLOW\" already exists", peer, r.wording())
		}
	}
	return nil
}

// wording is how AWS's messages name protocol and ports.
func (r *groupRule) wording() string {
	if r.protocol == "-1" {
		return "ALL"
	}
	return strings.ToUpper(r.protocol) + ", from port: " + number(r.from) + ", to port: " + number(r.to)
}

type revokeOutput struct {
	Return bool            `xml:"return"`
	Rules  set[revoked]    `xml:"revokedSecurityGroupRuleSet"`
	Failed set[permission] `xml:"unknownIpPermissionSet"`
}

type revoked struct {
	RuleID      string `xml:"securityGroupRuleId"`
	GroupID     string `xml:"groupId"`
	IsEgress    bool   `xml:"isEgress"`
	Protocol    string `xml:"ipProtocol"`
	From        int64  `xml:"fromPort"`
	To          int64  `xml:"toPort"`
	Cidr        string `xml:"cidrIpv4,omitempty"`
	Cidr6       string `xml:"cidrIpv6,omitempty"`
	PrefixList  string `xml:"prefixListId,omitempty"`
	Peer        string `xml:"referencedGroupId,omitempty"`
	Description string `xml:"description,omitempty"`
}

func (s *Server) revoke(egress bool) func(*call, *ruleInput) (*revokeOutput, error) {
	return func(c *call, in *ruleInput) (*revokeOutput, error) {
		p := c.place()
		g, err := groupInput{ID: in.GroupID, Name: in.GroupName}.of(p)
		if err != nil {
			return nil, err
		}
		gone, err := in.toRevoke(p, g, egress)
		if err != nil {
			return nil, err
		}
		if err := in.check(); err != nil {
			return nil, err
		}
		g.rules = slices.DeleteFunc(g.rules, func(r *groupRule) bool { return slices.Contains(gone, r) })
		return &revokeOutput{Return: true, Rules: setFrom(gone, func(r *groupRule) revoked {
			delete(p.tags, r.id)
			return revoked{r.id, g.id, egress, r.protocol, r.from, r.to, r.cidr, r.cidr6, r.prefixList, r.group, r.description}
		})}, nil
	}
}

// toRevoke finds the group's own rules that the request names by id or by what they allow.
func (in *ruleInput) toRevoke(p *ec2Place, g *securityGroup, egress bool) ([]*groupRule, error) {
	var gone []*groupRule
	for _, id := range in.RuleIDs {
		i := slices.IndexFunc(g.rules, func(r *groupRule) bool { return r.id == id && r.egress == egress })
		if i < 0 {
			return nil, refuse("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%s' does not exist", id)
		}
		gone = append(gone, g.rules[i])
	}
	if len(in.RuleIDs) > 0 {
		return gone, nil
	}
	rules, err := in.rules(p, egress)
	if err != nil {
		return nil, err
	}
	for _, r := range rules {
		i := slices.IndexFunc(g.rules, r.same)
		if i < 0 {
			return nil, refuse("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
		}
		gone = append(gone, g.rules[i])
	}
	return gone, nil
}

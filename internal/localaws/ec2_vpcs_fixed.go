package localaws

import (
	"slices"
	"strings"
)

// What every VPC comes with and what nobody can change here: its network ACL, which lets everything through, its DHCP
// options, and AWS's own prefix lists.

type aclInput struct {
	dryRun
	page
	IDs     []string `query:"NetworkAclId"`
	Filters []filter `query:"Filter"`
}

type aclDescription struct {
	ID           string              `xml:"networkAclId"`
	VPCID        string              `xml:"vpcId"`
	Default      bool                `xml:"default"`
	Entries      set[aclEntry]       `xml:"entrySet"`
	Associations set[aclAssociation] `xml:"associationSet"`
	Tags         set[tag]            `xml:"tagSet"`
	Owner        string              `xml:"ownerId"`
}

type aclEntry struct {
	Number   int64  `xml:"ruleNumber"`
	Protocol string `xml:"protocol"`
	Action   string `xml:"ruleAction"`
	Egress   bool   `xml:"egress"`
	Cidr     string `xml:"cidrBlock"`
}

type aclAssociation struct {
	ID       string `xml:"networkAclAssociationId"`
	ACL      string `xml:"networkAclId"`
	SubnetID string `xml:"subnetId"`
}

type aclOutput struct {
	ACLs      set[aclDescription] `xml:"networkAclSet"`
	NextToken string              `xml:"nextToken,omitempty"`
}

var aclFilters = filterTable[aclDescription]{
	"association.network-acl-id": one(func(a aclDescription) string { return a.ID }),
	"association.subnet-id": func(a aclDescription) []string {
		return nonEmpty(a.Associations.Items, func(s aclAssociation) string { return s.SubnetID })
	},
	"default":        one(func(a aclDescription) string { return boolWord(a.Default) }),
	"network-acl-id": one(func(a aclDescription) string { return a.ID }),
	"owner-id":       one(func(a aclDescription) string { return a.Owner }),
	"vpc-id":         one(func(a aclDescription) string { return a.VPCID }),
}

func (p *ec2Place) defaultACL(v *vpc) aclDescription {
	id := fixedID("acl", v.id)
	d := aclDescription{ID: id, VPCID: v.id, Default: true, Owner: p.account, Tags: p.tagSet(id)}
	for _, egress := range []bool{true, false} {
		d.Entries.Items = append(d.Entries.Items, aclEntry{100, "-1", "allow", egress, "0.0.0.0/0"}, aclEntry{32767, "-1", "deny", egress, "0.0.0.0/0"})
	}
	for _, sub := range sorted(p.subnets) {
		if sub.vpcID == v.id {
			d.Associations.Items = append(d.Associations.Items, aclAssociation{fixedID("aclassoc", sub.id), id, sub.id})
		}
	}
	return d
}

func (s *Server) describeNetworkACLs(c *call, in *aclInput) (*aclOutput, error) {
	p := c.place()
	acls := map[string]aclDescription{}
	for _, v := range p.vpcs {
		d := p.defaultACL(v)
		acls[d.ID] = d
	}
	all, err := byID(in.IDs, acls, func(id string) (aclDescription, error) {
		return acls[id], present(acls, id, "InvalidNetworkAclID.NotFound", "networkAcl")
	})
	if err != nil {
		return nil, err
	}
	if all, err = aclFilters.keep(in.Filters, func(a aclDescription) map[string]string { return p.tags[a.ID] }, all); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &aclOutput{setOf(part), next}, err
}

type dhcpInput struct {
	dryRun
	page
	IDs     []string `query:"DhcpOptionsId"`
	Filters []filter `query:"Filter"`
}

type dhcpDescription struct {
	ID      string          `xml:"dhcpOptionsId"`
	Owner   string          `xml:"ownerId"`
	Options set[dhcpOption] `xml:"dhcpConfigurationSet"`
	Tags    set[tag]        `xml:"tagSet"`
}

type dhcpOption struct {
	Key    string         `xml:"key"`
	Values set[textValue] `xml:"valueSet"`
}

type dhcpOutput struct {
	Options   set[dhcpDescription] `xml:"dhcpOptionsSet"`
	NextToken string               `xml:"nextToken,omitempty"`
}

var dhcpFilters = filterTable[dhcpDescription]{
	"dhcp-options-id": one(func(d dhcpDescription) string { return d.ID }),
	"owner-id":        one(func(d dhcpDescription) string { return d.Owner }),
}

// dhcpID is the id of the options that all VPCs of an account share.
func (p *ec2Place) dhcpID() string { return fixedID("dopt", p.account, p.region) }

func (s *Server) describeDHCPOptions(c *call, in *dhcpInput) (*dhcpOutput, error) {
	p := c.place()
	domain := p.region + ".compute.internal"
	if p.region == "us-east-1" {
		domain = "ec2.internal"
	}
	d := dhcpDescription{ID: p.dhcpID(), Owner: p.account, Tags: p.tagSet(p.dhcpID()), Options: setOf([]dhcpOption{
		{"domain-name", setOf([]textValue{{domain}})}, {"domain-name-servers", setOf([]textValue{{"AmazonProvidedDNS"}})},
	})}
	for _, id := range in.IDs {
		if id != d.ID {
			return nil, refuse("InvalidDhcpOptionID.NotFound", "The dhcpOption ID '%s' does not exist", id)
		}
	}
	all, err := dhcpFilters.keep(in.Filters, func(d dhcpDescription) map[string]string { return p.tags[d.ID] }, []dhcpDescription{d})
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &dhcpOutput{setOf(part), next}, err
}

type prefixListsInput struct {
	dryRun
	page
	IDs     []string `query:"PrefixListId"`
	Filters []filter `query:"Filter"`
}

type prefixListDescription struct {
	ID    string      `xml:"prefixListId"`
	Name  string      `xml:"prefixListName"`
	Cidrs set[string] `xml:"cidrSet"`
}

type prefixListsOutput struct {
	Lists     set[prefixListDescription] `xml:"prefixListSet"`
	NextToken string                     `xml:"nextToken,omitempty"`
}

var prefixListFilters = filterTable[prefixListDescription]{
	"prefix-list-id":   one(func(l prefixListDescription) string { return l.ID }),
	"prefix-list-name": one(func(l prefixListDescription) string { return l.Name }),
}

func (s *Server) describePrefixLists(c *call, in *prefixListsInput) (*prefixListsOutput, error) {
	var all []prefixListDescription
	for n, id := range prefixLists[c.region] {
		service := []string{"s3", "dynamodb"}[n]
		all = append(all, prefixListDescription{ID: id, Name: strings.Join([]string{"com.amazonaws", c.region, service}, "."), Cidrs: setOf([]string{[]string{"52.216.0.0/15", "52.94.0.0/22"}[n]})})
	}
	for _, id := range in.IDs {
		if !slices.Contains(prefixLists[c.region], id) {
			return nil, refuse("InvalidPrefixListID.NotFound", "The prefix list ID '%s' does not exist", id)
		}
	}
	all = slices.DeleteFunc(all, func(l prefixListDescription) bool { return len(in.IDs) > 0 && !slices.Contains(in.IDs, l.ID) })
	all, err := prefixListFilters.keep(in.Filters, nil, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &prefixListsOutput{setOf(part), next}, err
}

package localaws

import (
	"fmt"
	"net/netip"
)

// A subnet is a part of a VPC in one availability zone.
type subnet struct {
	id, vpcID   string
	zone        availabilityZone
	cidr        netip.Prefix
	isDefault   bool
	mapPublicIP bool
}

func (p *ec2Place) findSubnet(id string) (*subnet, error) {
	if sub := p.subnets[id]; sub != nil {
		return sub, nil
	}
	return nil, refuse("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
}

// freeAddresses counts what AWS has left to give: five of each block are its own.
func (p *ec2Place) freeAddresses(sub *subnet) int {
	free := 1<<(32-sub.cidr.Bits()) - 5
	for _, n := range p.interfaces {
		if n.subnetID == sub.id {
			free--
		}
	}
	return free
}

// takeAddress picks an unused address of the subnet.
func (p *ec2Place) takeAddress(sub *subnet) (netip.Addr, error) {
	used := map[netip.Addr]bool{}
	for _, n := range p.interfaces {
		if n.subnetID == sub.id {
			used[n.privateIP] = true
		}
	}
	addr := sub.cidr.Addr()
	for range 4 {
		addr = addr.Next()
	}
	for ; sub.cidr.Contains(addr.Next()); addr = addr.Next() {
		if !used[addr] {
			return addr, nil
		}
	}
	return addr, refuse("InsufficientFreeAddressesInSubnet", "There are not enough free addresses in subnet '%s' to satisfy the requested number of instances.", sub.id)
}

// checkAddress refuses an address that a caller can't have in the subnet.
func (p *ec2Place) checkAddress(sub *subnet, s string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil || !addr.Is4() {
		return addr, refuse("InvalidParameterValue", "Value (%s) for parameter address is invalid. Invalid IPv4 address.", s)
	}
	if !sub.cidr.Contains(addr) {
		return addr, refuse("InvalidParameterValue", "Address %s does not fall within the subnet's address range", addr)
	}
	host := addr.As4()[3]
	if first := sub.cidr.Addr().As4(); sub.cidr.Bits() >= 24 && host-first[3] < 4 || !sub.cidr.Contains(addr.Next()) {
		return addr, refuse("InvalidParameterValue", "Address %s is in subnet's reserved address range", addr)
	}
	for _, n := range p.interfaces {
		if n.subnetID == sub.id && n.privateIP == addr {
			return addr, refuse("InvalidIPAddress.InUse", "Address %s is in use.", addr)
		}
	}
	return addr, nil
}

type createSubnetInput struct {
	dryRun
	tagSpecs
	VPCID     string `query:"VpcId"`
	CidrBlock string `query:"CidrBlock"`
	Zone      string `query:"AvailabilityZone"`
	ZoneID    string `query:"AvailabilityZoneId"`
}

type createSubnetOutput struct {
	Subnet subnetDescription `xml:"subnet"`
}

func (s *Server) createSubnet(c *call, in *createSubnetInput) (*createSubnetOutput, error) {
	p := c.place()
	sub, err := p.plannedSubnet(in)
	if err != nil {
		return nil, err
	}
	tags, err := in.forTypes("subnet")
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	p.subnets[sub.id] = sub
	p.setTags(sub.id, tags["subnet"])
	return &createSubnetOutput{p.describeSubnet(sub)}, nil
}

func (p *ec2Place) plannedSubnet(in *createSubnetInput) (*subnet, error) {
	if in.VPCID == "" {
		return nil, missing("vpcId")
	}
	if in.CidrBlock == "" {
		return nil, missing("cidrBlock")
	}
	v, err := p.findVPC(in.VPCID)
	if err != nil {
		return nil, err
	}
	cidr, err := blockOf(in.CidrBlock)
	if err != nil {
		return nil, err
	}
	if cidr.Bits() < 16 || cidr.Bits() > 28 || cidr.Bits() < v.cidr.Bits() || !v.cidr.Contains(cidr.Addr()) {
		return nil, refuse("InvalidSubnet.Range", "The CIDR '%s' is invalid.", in.CidrBlock)
	}
	for _, other := range p.subnets {
		if other.vpcID == v.id && other.cidr.Overlaps(cidr) {
			return nil, refuse("InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", in.CidrBlock)
		}
	}
	zone, err := pickZone(p.region, in.Zone, in.ZoneID)
	if err != nil {
		return nil, err
	}
	return &subnet{id: newID("subnet"), vpcID: v.id, zone: zone, cidr: cidr}, nil
}

type deleteSubnetInput struct {
	dryRun
	SubnetID string `query:"SubnetId"`
}

func (s *Server) deleteSubnet(c *call, in *deleteSubnetInput) (*done, error) {
	p := c.place()
	sub, err := p.findSubnet(in.SubnetID)
	if err != nil {
		return nil, err
	}
	for _, n := range p.interfaces {
		if n.subnetID == sub.id {
			return nil, refuse("DependencyViolation", "The subnet '%s' has dependencies and cannot be deleted.", sub.id)
		}
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	for _, t := range p.routeTables {
		t.forget(sub.id)
	}
	delete(p.subnets, sub.id)
	delete(p.tags, sub.id)
	return succeeded, nil
}

type modifySubnetInput struct {
	SubnetID    string     `query:"SubnetId"`
	MapPublicIP *boolValue `query:"MapPublicIpOnLaunch"`
}

func (s *Server) modifySubnetAttribute(c *call, in *modifySubnetInput) (*done, error) {
	sub, err := c.place().findSubnet(in.SubnetID)
	if err != nil {
		return nil, err
	}
	if in.MapPublicIP == nil {
		return nil, refuse("InvalidParameterCombination", "No attributes specified.")
	}
	sub.mapPublicIP = isTrue(in.MapPublicIP.Value)
	return succeeded, nil
}

type subnetDescription struct {
	SubnetID    string         `xml:"subnetId"`
	ARN         string         `xml:"subnetArn"`
	State       string         `xml:"state"`
	OwnerID     string         `xml:"ownerId"`
	VPCID       string         `xml:"vpcId"`
	CidrBlock   string         `xml:"cidrBlock"`
	IPv6        set[string]    `xml:"ipv6CidrBlockAssociationSet"`
	Free        int            `xml:"availableIpAddressCount"`
	Zone        string         `xml:"availabilityZone"`
	ZoneID      string         `xml:"availabilityZoneId"`
	IsDefault   bool           `xml:"defaultForAz"`
	MapPublicIP bool           `xml:"mapPublicIpOnLaunch"`
	MapCustomer bool           `xml:"mapCustomerOwnedIpOnLaunch"`
	AssignIPv6  bool           `xml:"assignIpv6AddressOnCreation"`
	DNS64       bool           `xml:"enableDns64"`
	IPv6Native  bool           `xml:"ipv6Native"`
	DNSOptions  privateDNSName `xml:"privateDnsNameOptionsOnLaunch"`
	Tags        set[tag]       `xml:"tagSet"`
}

type privateDNSName struct {
	HostnameType string `xml:"hostnameType"`
	ARecord      bool   `xml:"enableResourceNameDnsARecord"`
	AAAARecord   bool   `xml:"enableResourceNameDnsAAAARecord"`
}

func (p *ec2Place) describeSubnet(sub *subnet) subnetDescription {
	return subnetDescription{
		SubnetID: sub.id, ARN: p.arn("subnet", sub.id), State: "available", OwnerID: p.account, VPCID: sub.vpcID,
		CidrBlock: sub.cidr.String(), Free: p.freeAddresses(sub), Zone: sub.zone.name, ZoneID: sub.zone.id,
		IsDefault: sub.isDefault, MapPublicIP: sub.mapPublicIP, DNSOptions: privateDNSName{HostnameType: "ip-name"}, Tags: p.tagSet(sub.id),
	}
}

// arn names a resource of this place.
func (p *ec2Place) arn(kind, id string) string {
	return fmt.Sprintf("arn:aws:ec2:%s:%s:%s/%s", p.region, p.account, kind, id)
}

type describeSubnetsInput struct {
	dryRun
	page
	SubnetIDs []string `query:"SubnetId"`
	Filters   []filter `query:"Filter"`
}

type describeSubnetsOutput struct {
	Subnets   set[subnetDescription] `xml:"subnetSet"`
	NextToken string                 `xml:"nextToken,omitempty"`
}

func (p *ec2Place) subnetFilters() filterTable[*subnet] {
	zone := one(func(s *subnet) string { return s.zone.name })
	zoneID := one(func(s *subnet) string { return s.zone.id })
	cidr := one(func(s *subnet) string { return s.cidr.String() })
	isDefault := one(func(s *subnet) string { return boolWord(s.isDefault) })
	return filterTable[*subnet]{
		"availability-zone": zone, "availabilityZone": zone,
		"availability-zone-id": zoneID, "availabilityZoneId": zoneID,
		"cidr": cidr, "cidr-block": cidr, "cidrBlock": cidr,
		"default-for-az": isDefault, "defaultForAz": isDefault,
		"available-ip-address-count": one(func(s *subnet) string { return number(p.freeAddresses(s)) }),
		"map-public-ip-on-launch":    one(func(s *subnet) string { return boolWord(s.mapPublicIP) }),
		"ipv6-native":                one(func(*subnet) string { return "false" }),
		"owner-id":                   one(func(*subnet) string { return p.account }),
		"state":                      one(func(*subnet) string { return "available" }),
		"subnet-arn":                 one(func(s *subnet) string { return p.arn("subnet", s.id) }),
		"subnet-id":                  one(func(s *subnet) string { return s.id }),
		"vpc-id":                     one(func(s *subnet) string { return s.vpcID }),
	}
}

func (s *Server) describeSubnets(c *call, in *describeSubnetsInput) (*describeSubnetsOutput, error) {
	p := c.place()
	if err := in.notBoth(in.SubnetIDs, "subnetIds"); err != nil {
		return nil, err
	}
	all, err := byID(in.SubnetIDs, p.subnets, p.findSubnet)
	if err != nil {
		return nil, err
	}
	all, err = p.subnetFilters().keep(in.Filters, func(s *subnet) map[string]string { return p.tags[s.id] }, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &describeSubnetsOutput{setFrom(part, p.describeSubnet), next}, err
}

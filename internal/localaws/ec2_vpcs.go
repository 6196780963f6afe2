package localaws

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A vpc is one virtual network with one IPv4 block.
type vpc struct {
	id                                string
	cidr                              netip.Prefix
	isDefault                         bool
	tenancy                           string
	dnsSupport, dnsHostnames, metrics bool
	available                         time.Time // when it is; pending until then
}

// makeDefaultVPC makes what every account finds in every region: a VPC with a
// public subnet in each availability zone.
func (p *ec2Place) makeDefaultVPC() {
	id := func(prefix, what string) string { return fixedID(prefix, p.account, p.region, what) }
	v := &vpc{
		id: id("vpc", "default"), cidr: netip.MustParsePrefix("172.31.0.0/16"), isDefault: true,
		tenancy: "default", dnsSupport: true, dnsHostnames: true,
	}
	table := p.addVPC(v, id("rtb", "default"), id("sg", "default"))
	gateway := &internetGateway{id: id("igw", "default"), vpcID: v.id}
	p.gateways[gateway.id] = gateway
	table.routes = append(table.routes, route{destination: "0.0.0.0/0", gatewayID: gateway.id, origin: "CreateRoute"})
	for n, zone := range zonesOf(p.region) {
		sub := &subnet{
			id: id("subnet", zone.name), vpcID: v.id, zone: zone, isDefault: true, mapPublicIP: true,
			cidr: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 31, byte(16 * n), 0}), 20),
		}
		p.subnets[sub.id] = sub
	}
}

// addVPC adds a network with what comes with it: its main route table and its default security group.
func (p *ec2Place) addVPC(v *vpc, tableID, groupID string) *routeTable {
	p.vpcs[v.id] = v
	table := &routeTable{
		id: tableID, vpcID: v.id,
		routes:       []route{{destination: v.cidr.String(), gatewayID: "local", origin: "CreateRouteTable"}},
		associations: []routeAssociation{{id: "rtbassoc" + strings.TrimPrefix(tableID, "rtb"), main: true}},
	}
	p.routeTables[tableID] = table
	g := &securityGroup{id: groupID, name: "default", description: "default VPC security group", vpcID: v.id}
	g.rules = []*groupRule{
		{id: "sgr" + strings.TrimPrefix(fixedID("sgr", groupID, "in"), "sgr"), protocol: "-1", from: -1, to: -1, group: groupID, groupOwner: p.account},
		everythingOut(fixedID("sgr", groupID, "out")),
	}
	p.groups[groupID] = g
	return table
}

// defaultVPC is the account's default network, or nil after its deletion.
func (p *ec2Place) defaultVPC() *vpc {
	for _, v := range p.vpcs {
		if v.isDefault {
			return v
		}
	}
	return nil
}

func (p *ec2Place) findVPC(id string) (*vpc, error) {
	if v := p.vpcs[id]; v != nil {
		return v, nil
	}
	return nil, refuse("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", id)
}

type createVPCInput struct {
	dryRun
	tagSpecs
	CidrBlock       string  `query:"CidrBlock"`
	InstanceTenancy *string `query:"InstanceTenancy"`
	IPv6            *bool   `query:"AmazonProvidedIpv6CidrBlock"`
}

type createVPCOutput struct {
	VPC vpcDescription `xml:"vpc"`
}

func (s *Server) createVPC(c *call, in *createVPCInput) (*createVPCOutput, error) {
	p := c.place()
	if in.CidrBlock == "" {
		return nil, missing("cidrBlock")
	}
	cidr, err := blockOf(in.CidrBlock)
	if err != nil {
		return nil, err
	}
	if cidr.Bits() < 16 || cidr.Bits() > 28 {
		return nil, refuse("InvalidVpc.Range", "The CIDR '%s' is invalid.", in.CidrBlock)
	}
	if isTrue(in.IPv6) {
		return nil, refuse("UnsupportedOperation", "IPv6 networks are not simulated.")
	}
	tenancy := valueOr(in.InstanceTenancy, "default")
	if tenancy != "default" && tenancy != "dedicated" {
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter instanceTenancy is invalid. Specify 'default' or 'dedicated'.", tenancy)
	}
	tags, err := in.forTypes("vpc")
	if err != nil {
		return nil, err
	}
	if len(p.vpcs) >= 5 {
		return nil, refuse("VpcLimitExceeded", "The maximum number of VPCs has been reached.")
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	v := &vpc{id: newID("vpc"), cidr: cidr, tenancy: tenancy, dnsSupport: true, available: c.now.Add(s.delays.EC2Consistency)}
	p.addVPC(v, newID("rtb"), newID("sg"))
	p.setTags(v.id, tags["vpc"])
	out := &createVPCOutput{p.describeVPC(v)}
	out.VPC.State = "pending" // however soon it is available
	return out, nil
}

func (p *ec2Place) vpcState(v *vpc) string {
	if p.server.clock.Now().Before(v.available) {
		return "pending"
	}
	return "available"
}

// blockOf reads an IPv4 block whose host bits are zero.
func blockOf(s string) (netip.Prefix, error) {
	cidr, err := netip.ParsePrefix(s)
	if err != nil || !cidr.Addr().Is4() {
		return netip.Prefix{}, refuse("InvalidParameterValue", "Value (%s) for parameter cidrBlock is invalid. This is not a valid CIDR block.", s)
	}
	if cidr != cidr.Masked() {
		return netip.Prefix{}, refuse("InvalidParameterValue", "Value (%s) for parameter cidrBlock is invalid. The CIDR block must be specified with its network address, %s.", s, cidr.Masked())
	}
	return cidr, nil
}

type vpcInput struct {
	dryRun
	VPCID string `query:"VpcId"`
}

func (s *Server) deleteVPC(c *call, in *vpcInput) (*done, error) {
	p := c.place()
	v, err := p.findVPC(in.VPCID)
	if err != nil {
		return nil, err
	}
	if p.vpcInUse(v) {
		return nil, refuse("DependencyViolation", "The vpc '%s' has dependencies and cannot be deleted.", v.id)
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	maps.DeleteFunc(p.routeTables, func(_ string, t *routeTable) bool { return t.vpcID == v.id })
	maps.DeleteFunc(p.groups, func(_ string, g *securityGroup) bool { return g.vpcID == v.id })
	delete(p.vpcs, v.id)
	delete(p.tags, v.id)
	return succeeded, nil
}

func (p *ec2Place) vpcInUse(v *vpc) bool {
	for _, sub := range p.subnets {
		if sub.vpcID == v.id {
			return true
		}
	}
	for _, g := range p.groups {
		if g.vpcID == v.id && g.name != "default" {
			return true
		}
	}
	for _, t := range p.routeTables {
		if t.vpcID == v.id && !t.isMain() {
			return true
		}
	}
	for _, e := range p.endpoints {
		if e.vpcID == v.id {
			return true
		}
	}
	for _, g := range p.gateways {
		if g.vpcID == v.id {
			return true
		}
	}
	return false
}

type vpcDescription struct {
	VPCID        string              `xml:"vpcId"`
	OwnerID      string              `xml:"ownerId"`
	State        string              `xml:"state"`
	CidrBlock    string              `xml:"cidrBlock"`
	Associations set[vpcAssociation] `xml:"cidrBlockAssociationSet"`
	DHCP         string              `xml:"dhcpOptionsId"`
	Tags         set[tag]            `xml:"tagSet"`
	Tenancy      string              `xml:"instanceTenancy"`
	IsDefault    bool                `xml:"isDefault"`
}

type vpcAssociation struct {
	ID        string `xml:"associationId"`
	CidrBlock string `xml:"cidrBlock"`
	State     string `xml:"cidrBlockState>state"`
}

func (p *ec2Place) describeVPC(v *vpc) vpcDescription {
	return vpcDescription{
		VPCID: v.id, OwnerID: p.account, State: p.vpcState(v), CidrBlock: v.cidr.String(),
		Associations: setOf([]vpcAssociation{{"vpc-cidr-assoc" + strings.TrimPrefix(v.id, "vpc"), v.cidr.String(), "associated"}}),
		DHCP:         p.dhcpID(), Tags: p.tagSet(v.id), Tenancy: v.tenancy, IsDefault: v.isDefault,
	}
}

type describeVPCsInput struct {
	dryRun
	page
	VPCIDs  []string `query:"VpcId"`
	Filters []filter `query:"Filter"`
}

type describeVPCsOutput struct {
	VPCs      set[vpcDescription] `xml:"vpcSet"`
	NextToken string              `xml:"nextToken,omitempty"`
}

func (p *ec2Place) vpcFilters() filterTable[*vpc] {
	return filterTable[*vpc]{
		"cidr":                              one(func(v *vpc) string { return v.cidr.String() }),
		"cidr-block":                        one(func(v *vpc) string { return v.cidr.String() }),
		"cidrBlock":                         one(func(v *vpc) string { return v.cidr.String() }),
		"cidr-block-association.cidr-block": one(func(v *vpc) string { return v.cidr.String() }),
		"cidr-block-association.state":      one(func(*vpc) string { return "associated" }),
		"is-default":                        one(func(v *vpc) string { return boolWord(v.isDefault) }),
		"isDefault":                         one(func(v *vpc) string { return boolWord(v.isDefault) }),
		"state":                             one(p.vpcState),
		"vpc-id":                            one(func(v *vpc) string { return v.id }),
		"owner-id":                          one(func(*vpc) string { return p.account }),
	}
}

// sorted is a map's values in order of their ids; Describe calls answer the same order each time.
func sorted[T any](m map[string]T) []T {
	all := make([]T, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		all = append(all, m[k])
	}
	return all
}

// byID picks the resources asked for, or all when none is; find refuses an unknown one.
func byID[T any](ids []string, all map[string]T, find func(string) (T, error)) ([]T, error) {
	if len(ids) == 0 {
		return sorted(all), nil
	}
	var picked []T
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		t, err := find(id)
		if err != nil {
			return nil, err
		}
		picked = append(picked, t)
	}
	return picked, nil
}

func (s *Server) describeVPCs(c *call, in *describeVPCsInput) (*describeVPCsOutput, error) {
	p := c.place()
	if err := in.notBoth(in.VPCIDs, "vpcIds"); err != nil {
		return nil, err
	}
	all, err := byID(in.VPCIDs, p.vpcs, p.findVPC)
	if err != nil {
		return nil, err
	}
	filters := p.vpcFilters()
	all, err = filters.keep(in.Filters, func(v *vpc) map[string]string { return p.tags[v.id] }, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &describeVPCsOutput{setFrom(part, p.describeVPC), next}, err
}

// with is the table and one more property.
func (table filterTable[T]) with(name string, property func(T) string) filterTable[T] {
	more := maps.Clone(table)
	more[name] = one(property)
	return more
}

type boolValue struct {
	Value *bool `query:"Value" xml:"value"`
}

type modifyVPCInput struct {
	VPCID        string     `query:"VpcId"`
	DNSSupport   *boolValue `query:"EnableDnsSupport"`
	DNSHostnames *boolValue `query:"EnableDnsHostnames"`
	Metrics      *boolValue `query:"EnableNetworkAddressUsageMetrics"`
}

func (s *Server) modifyVPCAttribute(c *call, in *modifyVPCInput) (*done, error) {
	v, err := c.place().findVPC(in.VPCID)
	if err != nil {
		return nil, err
	}
	given := 0
	for _, change := range []struct {
		to   *boolValue
		what *bool
	}{{in.DNSSupport, &v.dnsSupport}, {in.DNSHostnames, &v.dnsHostnames}, {in.Metrics, &v.metrics}} {
		if change.to != nil {
			given++
			*change.what = isTrue(change.to.Value)
		}
	}
	if given != 1 {
		return nil, refuse("InvalidParameterCombination", "Exactly one attribute must be specified.")
	}
	return succeeded, nil
}

type describeVPCAttributeInput struct {
	dryRun
	VPCID     string `query:"VpcId"`
	Attribute string `query:"Attribute"`
}

type describeVPCAttributeOutput struct {
	VPCID        string     `xml:"vpcId"`
	DNSSupport   *boolValue `xml:"enableDnsSupport"`
	DNSHostnames *boolValue `xml:"enableDnsHostnames"`
	Metrics      *boolValue `xml:"enableNetworkAddressUsageMetrics"`
}

func (s *Server) describeVPCAttribute(c *call, in *describeVPCAttributeInput) (*describeVPCAttributeOutput, error) {
	v, err := c.place().findVPC(in.VPCID)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	out := &describeVPCAttributeOutput{VPCID: v.id}
	switch in.Attribute {
	case "enableDnsSupport":
		out.DNSSupport = &boolValue{&v.dnsSupport}
	case "enableDnsHostnames":
		out.DNSHostnames = &boolValue{&v.dnsHostnames}
	case "enableNetworkAddressUsageMetrics":
		out.Metrics = &boolValue{&v.metrics}
	default:
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter attribute is invalid. Unknown attribute.", in.Attribute)
	}
	return out, nil
}

// number writes a count as filters compare it.
func number[N ~int | ~int64 | ~int32](n N) string { return strconv.FormatInt(int64(n), 10) }

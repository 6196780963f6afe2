package localaws

import (
	"net/netip"
	"slices"
	"time"
)

// A natGateway lets a private subnet call out through a public one.
type natGateway struct {
	id, subnetID, vpcID, state, connectivity string
	interfaceID, allocationID                string
	created, deleted                         time.Time
}

// natReachesInternet says whether the gateway is up and stands in a subnet with a way out.
func (p *ec2Place) natReachesInternet(g *natGateway) bool {
	if g.state != "available" || g.connectivity != "public" {
		return false
	}
	table := p.routesOf(p.subnets[g.subnetID])
	return table != nil && slices.ContainsFunc(table.routes, func(r route) bool {
		return r.destination == "0.0.0.0/0" && r.gatewayID != "" && p.routeState(r) == "active"
	})
}

func (p *ec2Place) findNATGateway(id string) (*natGateway, error) {
	if g := p.natGateways[id]; g != nil {
		return g, nil
	}
	return nil, refuse("NatGatewayNotFound", "NatGateway %s was not found", id)
}

type createNATInput struct {
	dryRun
	tagSpecs
	SubnetID     string  `query:"SubnetId"`
	AllocationID string  `query:"AllocationId"`
	Connectivity *string `query:"ConnectivityType"`
	ClientToken  *string `query:"ClientToken"`
}

type createNATOutput struct {
	ClientToken string         `xml:"clientToken,omitempty"`
	NATGateway  natDescription `xml:"natGateway"`
}

func (s *Server) createNATGateway(c *call, in *createNATInput) (*createNATOutput, error) {
	p := c.place()
	sub, err := p.findSubnet(in.SubnetID)
	if err != nil {
		return nil, err
	}
	connectivity := valueOr(in.Connectivity, "public")
	address := p.addresses[in.AllocationID]
	switch {
	case connectivity != "public" && connectivity != "private":
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter connectivityType is invalid.", connectivity)
	case connectivity == "public" && in.AllocationID == "":
		return nil, missing("AllocationId")
	case connectivity == "public" && address == nil:
		return nil, refuse("InvalidAllocationID.NotFound", "The allocation ID '%s' does not exist", in.AllocationID)
	}
	tags, err := in.forTypes("natgateway")
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	g, err := repeatable(c, in.ClientToken, func() (*natGateway, error) {
		return p.makeNATGateway(sub, connectivity, address, tags["natgateway"])
	})
	if err != nil {
		return nil, err
	}
	return &createNATOutput{valueOr(in.ClientToken, ""), p.describeNAT(g)}, nil
}

func (p *ec2Place) makeNATGateway(sub *subnet, connectivity string, address *elasticIP, tags map[string]string) (*natGateway, error) {
	if address != nil && address.interfaceID != "" {
		return nil, refuse("Resource.AlreadyAssociated", "Elastic IP address [%s] is already associated", address.id)
	}
	ip, err := p.takeAddress(sub)
	if err != nil {
		return nil, err
	}
	g := &natGateway{
		id: newID("nat"), subnetID: sub.id, vpcID: sub.vpcID, state: "pending", connectivity: connectivity,
		created: p.server.clock.Now(),
	}
	n := p.addInterface(sub, ip, "Interface for NAT Gateway "+g.id)
	n.kind, g.interfaceID = "nat_gateway", n.id
	if address != nil {
		address.interfaceID, address.associationID = n.id, newID("eipassoc")
		n.publicIP, g.allocationID = address.ip.String(), address.id
	}
	p.natGateways[g.id] = g
	p.setTags(g.id, tags)
	p.server.after(p.server.delays.InstancePending, func() {
		if g.state == "pending" {
			g.state = "available"
		}
	})
	return g, nil
}

type natInput struct {
	dryRun
	ID string `query:"NatGatewayId"`
}

type deleteNATOutput struct {
	ID string `xml:"natGatewayId"`
}

func (s *Server) deleteNATGateway(c *call, in *natInput) (*deleteNATOutput, error) {
	p := c.place()
	g, err := p.findNATGateway(in.ID)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	if g.state == "deleted" || g.state == "deleting" {
		return &deleteNATOutput{g.id}, nil
	}
	g.state = "deleting"
	s.after(s.delays.ShuttingDown, func() {
		g.state, g.deleted = "deleted", s.clock.Now()
		delete(p.interfaces, g.interfaceID)
		if a := p.addresses[g.allocationID]; a != nil {
			a.interfaceID, a.associationID = "", ""
		}
	})
	return &deleteNATOutput{g.id}, nil
}

type natDescription struct {
	ID           string                     `xml:"natGatewayId"`
	SubnetID     string                     `xml:"subnetId"`
	VPCID        string                     `xml:"vpcId"`
	State        string                     `xml:"state"`
	Created      string                     `xml:"createTime"`
	Deleted      string                     `xml:"deleteTime,omitempty"`
	Connectivity string                     `xml:"connectivityType"`
	Addresses    set[natAddressDescription] `xml:"natGatewayAddressSet"`
	Tags         set[tag]                   `xml:"tagSet"`
}

type natAddressDescription struct {
	AllocationID  string `xml:"allocationId,omitempty"`
	InterfaceID   string `xml:"networkInterfaceId,omitempty"`
	PrivateIP     string `xml:"privateIp,omitempty"`
	PublicIP      string `xml:"publicIp,omitempty"`
	AssociationID string `xml:"associationId,omitempty"`
	IsPrimary     bool   `xml:"isPrimary"`
	Status        string `xml:"status"`
}

func (p *ec2Place) describeNAT(g *natGateway) natDescription {
	address := natAddressDescription{AllocationID: g.allocationID, InterfaceID: g.interfaceID, IsPrimary: true, Status: "succeeded"}
	if n := p.interfaces[g.interfaceID]; n != nil {
		address.PrivateIP, address.PublicIP = n.privateIP.String(), n.publicIP
	}
	if a := p.addresses[g.allocationID]; a != nil && a.interfaceID == g.interfaceID {
		address.AssociationID = a.associationID
	}
	return natDescription{
		ID: g.id, SubnetID: g.subnetID, VPCID: g.vpcID, State: g.state, Created: ec2Time(g.created), Deleted: ec2Time(g.deleted),
		Connectivity: g.connectivity, Addresses: setOf([]natAddressDescription{address}), Tags: p.tagSet(g.id),
	}
}

type describeNATInput struct {
	dryRun
	page
	IDs     []string `query:"NatGatewayId"`
	Filters []filter `query:"Filter"`
}

type describeNATOutput struct {
	NATGateways set[natDescription] `xml:"natGatewaySet"`
	NextToken   string              `xml:"nextToken,omitempty"`
}

var natFilters = filterTable[*natGateway]{
	"nat-gateway-id": one(func(g *natGateway) string { return g.id }),
	"state":          one(func(g *natGateway) string { return g.state }),
	"subnet-id":      one(func(g *natGateway) string { return g.subnetID }),
	"vpc-id":         one(func(g *natGateway) string { return g.vpcID }),
}

func (s *Server) describeNATGateways(c *call, in *describeNATInput) (*describeNATOutput, error) {
	p := c.place()
	all, err := byID(in.IDs, p.natGateways, p.findNATGateway)
	if err != nil {
		return nil, err
	}
	all, err = natFilters.keep(in.Filters, func(g *natGateway) map[string]string { return p.tags[g.id] }, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &describeNATOutput{setFrom(part, p.describeNAT), next}, err
}

// An elasticIP is a public address that an account keeps.
type elasticIP struct {
	id                         string
	ip                         netip.Addr
	interfaceID, associationID string
}

type allocateAddressInput struct {
	dryRun
	tagSpecs
	Domain *string `query:"Domain"`
}

type allocateAddressOutput struct {
	PublicIP     string `xml:"publicIp"`
	AllocationID string `xml:"allocationId"`
	Domain       string `xml:"domain"`
	Pool         string `xml:"publicIpv4Pool"`
	BorderGroup  string `xml:"networkBorderGroup"`
}

func (s *Server) allocateAddress(c *call, in *allocateAddressInput) (*allocateAddressOutput, error) {
	p := c.place()
	if d := valueOr(in.Domain, "vpc"); d != "vpc" {
		return nil, refuse("InvalidParameterValue", "Invalid domain: %s", d)
	}
	tags, err := in.forTypes("elastic-ip")
	if err != nil {
		return nil, err
	}
	if len(p.addresses) >= 5 {
		return nil, refuse("AddressLimitExceeded", "The maximum number of addresses has been reached.")
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	a := &elasticIP{id: newID("eipalloc"), ip: s.ec2.publicAddress()}
	p.addresses[a.id] = a
	p.setTags(a.id, tags["elastic-ip"])
	return &allocateAddressOutput{a.ip.String(), a.id, "vpc", "amazon", c.region}, nil
}

// publicAddress gives out the addresses that documents use for examples, so that none of them is anybody's.
func (e *ec2State) publicAddress() netip.Addr {
	e.publicAddresses++
	n := e.publicAddresses
	block := [][3]byte{{203, 0, 113}, {198, 51, 100}, {192, 0, 2}}[n/254%3]
	return netip.AddrFrom4([4]byte{block[0], block[1], block[2], byte(1 + n%254)})
}

type releaseAddressInput struct {
	dryRun
	AllocationID string `query:"AllocationId"`
}

func (s *Server) releaseAddress(c *call, in *releaseAddressInput) (*done, error) {
	p := c.place()
	a := p.addresses[in.AllocationID]
	if a == nil {
		return nil, refuse("InvalidAllocationID.NotFound", "The allocation ID '%s' does not exist", in.AllocationID)
	}
	if a.interfaceID != "" {
		return nil, refuse("InvalidIPAddress.InUse", "Address %s is in use.", a.ip)
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	delete(p.addresses, a.id)
	delete(p.tags, a.id)
	return succeeded, nil
}

type describeAddressesInput struct {
	dryRun
	AllocationIDs []string `query:"AllocationId"`
	PublicIPs     []string `query:"PublicIp"`
	Filters       []filter `query:"Filter"`
}

type addressDescription struct {
	AllocationID  string   `xml:"allocationId"`
	AssociationID string   `xml:"associationId,omitempty"`
	Domain        string   `xml:"domain"`
	InterfaceID   string   `xml:"networkInterfaceId,omitempty"`
	InstanceID    string   `xml:"instanceId,omitempty"`
	PrivateIP     string   `xml:"privateIpAddress,omitempty"`
	Owner         string   `xml:"networkInterfaceOwnerId,omitempty"`
	PublicIP      string   `xml:"publicIp"`
	Pool          string   `xml:"publicIpv4Pool"`
	BorderGroup   string   `xml:"networkBorderGroup"`
	Tags          set[tag] `xml:"tagSet"`
}

type describeAddressesOutput struct {
	Addresses set[addressDescription] `xml:"addressesSet"`
}

var addressFilters = filterTable[*elasticIP]{
	"allocation-id":        one(func(a *elasticIP) string { return a.id }),
	"association-id":       one(func(a *elasticIP) string { return a.associationID }),
	"network-interface-id": one(func(a *elasticIP) string { return a.interfaceID }),
	"public-ip":            one(func(a *elasticIP) string { return a.ip.String() }),
}

func (s *Server) describeAddresses(c *call, in *describeAddressesInput) (*describeAddressesOutput, error) {
	p := c.place()
	all, err := byID(in.AllocationIDs, p.addresses, func(id string) (*elasticIP, error) {
		if a := p.addresses[id]; a != nil {
			return a, nil
		}
		return nil, refuse("InvalidAllocationID.NotFound", "The allocation ID '%s' does not exist", id)
	})
	if err != nil {
		return nil, err
	}
	for _, ip := range in.PublicIPs {
		if _, err := p.address("", ip); err != nil {
			return nil, err
		}
	}
	all = slices.DeleteFunc(all, func(a *elasticIP) bool { return len(in.PublicIPs) > 0 && !slices.Contains(in.PublicIPs, a.ip.String()) })
	all, err = addressFilters.with("instance-id", func(a *elasticIP) string {
		if n := p.interfaces[a.interfaceID]; n != nil {
			return n.instanceID
		}
		return ""
	}).keep(in.Filters, func(a *elasticIP) map[string]string { return p.tags[a.id] }, all)
	if err != nil {
		return nil, err
	}
	return &describeAddressesOutput{setFrom(all, func(a *elasticIP) addressDescription {
		d := addressDescription{
			AllocationID: a.id, AssociationID: a.associationID, Domain: "vpc", InterfaceID: a.interfaceID, PublicIP: a.ip.String(), Pool: "amazon",
			BorderGroup: p.region, Tags: p.tagSet(a.id),
		}
		if n := p.interfaces[a.interfaceID]; n != nil {
			d.InstanceID, d.PrivateIP, d.Owner = n.instanceID, n.privateIP.String(), p.account
		}
		return d
	})}, in.check()
}

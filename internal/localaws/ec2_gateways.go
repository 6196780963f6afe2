package localaws

import "slices"

// An internetGateway joins a VPC to the internet.
type internetGateway struct{ id, vpcID string }

func (p *ec2Place) findGateway(id string) (*internetGateway, error) {
	if g := p.gateways[id]; g != nil {
		return g, nil
	}
	return nil, refuse("InvalidInternetGatewayID.NotFound", "The internetGateway ID '%s' does not exist", id)
}

type createGatewayInput struct {
	dryRun
	tagSpecs
}

type createGatewayOutput struct {
	Gateway gatewayDescription `xml:"internetGateway"`
}

type gatewayDescription struct {
	ID          string                 `xml:"internetGatewayId"`
	OwnerID     string                 `xml:"ownerId"`
	Attachments set[gatewayAttachment] `xml:"attachmentSet"`
	Tags        set[tag]               `xml:"tagSet"`
}

type gatewayAttachment struct {
	VPCID string `xml:"vpcId"`
	State string `xml:"state"`
}

func (p *ec2Place) describeGateway(g *internetGateway) gatewayDescription {
	d := gatewayDescription{ID: g.id, OwnerID: p.account, Tags: p.tagSet(g.id)}
	if g.vpcID != "" {
		d.Attachments = setOf([]gatewayAttachment{{g.vpcID, "available"}})
	}
	return d
}

func (s *Server) createInternetGateway(c *call, in *createGatewayInput) (*createGatewayOutput, error) {
	p := c.place()
	tags, err := in.forTypes("internet-gateway")
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	g := &internetGateway{id: newID("igw")}
	p.gateways[g.id] = g
	p.setTags(g.id, tags["internet-gateway"])
	return &createGatewayOutput{p.describeGateway(g)}, nil
}

type gatewayInput struct {
	dryRun
	GatewayID string `query:"InternetGatewayId"`
	VPCID     string `query:"VpcId"`
}

func (s *Server) attachInternetGateway(c *call, in *gatewayInput) (*done, error) {
	p := c.place()
	g, err := p.findGateway(in.GatewayID)
	if err != nil {
		return nil, err
	}
	v, err := p.findVPC(in.VPCID)
	if err != nil {
		return nil, err
	}
	if g.vpcID != "" {
		return nil, refuse("Resource.AlreadyAssociated", "resource %s is already attached to network %s", g.id, g.vpcID)
	}
	for _, other := range p.gateways {
		if other.vpcID == v.id {
			return nil, refuse("InvalidParameterValue", "Network %s already has an internet gateway attached", v.id)
		}
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	g.vpcID = v.id
	return succeeded, nil
}

func (s *Server) detachInternetGateway(c *call, in *gatewayInput) (*done, error) {
	p := c.place()
	g, err := p.findGateway(in.GatewayID)
	if err != nil {
		return nil, err
	}
	if g.vpcID == "" || g.vpcID != in.VPCID {
		return nil, refuse("Gateway.NotAttached", "resource %s is not attached to network %s", g.id, in.VPCID)
	}
	for _, n := range p.interfaces {
		if n.vpcID == g.vpcID && n.publicIP != "" {
			return nil, refuse("DependencyViolation", "Network %s has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.", g.vpcID)
		}
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	g.vpcID = ""
	return succeeded, nil
}

type deleteGatewayInput struct {
	dryRun
	GatewayID string `query:"InternetGatewayId"`
}

func (s *Server) deleteInternetGateway(c *call, in *deleteGatewayInput) (*done, error) {
	p := c.place()
	g, err := p.findGateway(in.GatewayID)
	if err != nil {
		return nil, err
	}
	if g.vpcID != "" {
		return nil, refuse("DependencyViolation", "The internetGateway '%s' has dependencies and cannot be deleted.", g.id)
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	delete(p.gateways, g.id)
	delete(p.tags, g.id)
	return succeeded, nil
}

type describeGatewaysInput struct {
	dryRun
	page
	IDs     []string `query:"InternetGatewayId"`
	Filters []filter `query:"Filter"`
}

type describeGatewaysOutput struct {
	Gateways  set[gatewayDescription] `xml:"internetGatewaySet"`
	NextToken string                  `xml:"nextToken,omitempty"`
}

var gatewayFilters = filterTable[*internetGateway]{
	"attachment.vpc-id": one(func(g *internetGateway) string { return g.vpcID }),
	"attachment.state": one(func(g *internetGateway) string {
		if g.vpcID == "" {
			return ""
		}
		return "available"
	}),
	"internet-gateway-id": one(func(g *internetGateway) string { return g.id }),
}

func (s *Server) describeInternetGateways(c *call, in *describeGatewaysInput) (*describeGatewaysOutput, error) {
	p := c.place()
	all, err := byID(in.IDs, p.gateways, p.findGateway)
	if err != nil {
		return nil, err
	}
	filters := gatewayFilters.with("owner-id", func(*internetGateway) string { return p.account })
	all, err = filters.keep(in.Filters, func(g *internetGateway) map[string]string { return p.tags[g.id] }, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &describeGatewaysOutput{setFrom(part, p.describeGateway), next}, err
}

// reachesInternet says whether packets from the interface find a way out.
func (p *ec2Place) reachesInternet(n *networkInterface) bool {
	sub := p.subnets[n.subnetID]
	if sub == nil {
		return false
	}
	table := p.routesOf(sub)
	if table == nil {
		return false
	}
	return slices.ContainsFunc(table.routes, func(r route) bool {
		if r.destination != "0.0.0.0/0" || p.routeState(r) != "active" {
			return false
		}
		if r.natGatewayID != "" {
			return p.natReachesInternet(p.natGateways[r.natGatewayID])
		}
		return n.publicIP != ""
	})
}

package localaws

import (
	"net/netip"
	"slices"
)

// A routeTable says where a subnet's packets go.
type routeTable struct {
	id, vpcID    string
	routes       []route
	associations []routeAssociation
}

type route struct {
	destination             string
	gatewayID, natGatewayID string
	origin                  string // "CreateRouteTable" for the network's own, else "CreateRoute"
}

type routeAssociation struct {
	id, subnetID string
	main         bool
}

func (t *routeTable) isMain() bool {
	return slices.ContainsFunc(t.associations, func(a routeAssociation) bool { return a.main })
}

func (t *routeTable) forget(subnetID string) {
	t.associations = slices.DeleteFunc(t.associations, func(a routeAssociation) bool { return !a.main && a.subnetID == subnetID })
}

// routesOf is the table that rules a subnet: its own or the network's main one.
func (p *ec2Place) routesOf(sub *subnet) *routeTable {
	var main *routeTable
	for _, t := range p.routeTables {
		for _, a := range t.associations {
			if a.subnetID == sub.id {
				return t
			}
			if a.main && t.vpcID == sub.vpcID {
				main = t
			}
		}
	}
	return main
}

func (p *ec2Place) findRouteTable(id string) (*routeTable, error) {
	if t := p.routeTables[id]; t != nil {
		return t, nil
	}
	return nil, refuse("InvalidRouteTableID.NotFound", "The routeTable ID '%s' does not exist", id)
}

type createRouteTableInput struct {
	dryRun
	tagSpecs
	VPCID       string  `query:"VpcId"`
	ClientToken *string `query:"ClientToken"`
}

type createRouteTableOutput struct {
	RouteTable  routeTableDescription `xml:"routeTable"`
	ClientToken string                `xml:"clientToken,omitempty"`
}

func (s *Server) createRouteTable(c *call, in *createRouteTableInput) (*createRouteTableOutput, error) {
	p := c.place()
	v, err := p.findVPC(in.VPCID)
	if err != nil {
		return nil, err
	}
	tags, err := in.forTypes("route-table")
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	t, err := repeatable(c, in.ClientToken, func() (*routeTable, error) {
		t := &routeTable{id: newID("rtb"), vpcID: v.id, routes: []route{{destination: v.cidr.String(), gatewayID: "local", origin: "CreateRouteTable"}}}
		p.routeTables[t.id] = t
		p.setTags(t.id, tags["route-table"])
		return t, nil
	})
	if err != nil {
		return nil, err
	}
	return &createRouteTableOutput{p.describeRouteTable(t), valueOr(in.ClientToken, "")}, nil
}

type routeTableInput struct {
	dryRun
	RouteTableID string `query:"RouteTableId"`
}

func (s *Server) deleteRouteTable(c *call, in *routeTableInput) (*done, error) {
	p := c.place()
	t, err := p.findRouteTable(in.RouteTableID)
	if err != nil {
		return nil, err
	}
	if len(t.associations) > 0 {
		return nil, refuse("DependencyViolation", "The routeTable '%s' has dependencies and cannot be deleted.", t.id)
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	delete(p.routeTables, t.id)
	delete(p.tags, t.id)
	return succeeded, nil
}

type routeInput struct {
	dryRun
	RouteTableID string `query:"RouteTableId"`
	Destination  string `query:"DestinationCidrBlock"`
	GatewayID    string `query:"GatewayId"`
	NATGatewayID string `query:"NatGatewayId"`
}

func (s *Server) createRoute(c *call, in *routeInput) (*done, error) {
	t, to, err := c.place().plannedRoute(in)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(t.routes, func(r route) bool { return r.destination == to.destination }) {
		return nil, refuse("RouteAlreadyExists", "The route identified by %s already exists.", to.destination)
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	t.routes = append(t.routes, to)
	return succeeded, nil
}

func (s *Server) replaceRoute(c *call, in *routeInput) (*done, error) {
	t, to, err := c.place().plannedRoute(in)
	if err != nil {
		return nil, err
	}
	for i, r := range t.routes {
		if r.destination == to.destination {
			if err := in.check(); err != nil {
				return nil, err
			}
			t.routes[i] = to
			return succeeded, nil
		}
	}
	return nil, refuse("InvalidParameterValue", "There is no route defined for '%s' in the route table. Use CreateRoute instead.", to.destination)
}

func (p *ec2Place) plannedRoute(in *routeInput) (*routeTable, route, error) {
	to := route{origin: "CreateRoute", gatewayID: in.GatewayID, natGatewayID: in.NATGatewayID}
	t, err := p.findRouteTable(in.RouteTableID)
	if err != nil {
		return nil, to, err
	}
	cidr, err := netip.ParsePrefix(in.Destination)
	if err != nil {
		return nil, to, refuse("InvalidParameterValue", "Value (%s) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block.", in.Destination)
	}
	to.destination = cidr.Masked().String()
	if (in.GatewayID == "") == (in.NATGatewayID == "") {
		return nil, to, refuse("InvalidParameterCombination", "Exactly one target must be specified: GatewayId or NatGatewayId.")
	}
	if in.NATGatewayID != "" {
		_, err = p.findNATGateway(in.NATGatewayID)
		return t, to, err
	}
	g, err := p.findGateway(in.GatewayID)
	if err == nil && g.vpcID != t.vpcID {
		err = refuse("InvalidParameterValue", "route table %s and network gateway %s belong to different networks", t.id, g.id)
	}
	return t, to, err
}

type deleteRouteInput struct {
	dryRun
	RouteTableID string `query:"RouteTableId"`
	Destination  string `query:"DestinationCidrBlock"`
}

func (s *Server) deleteRoute(c *call, in *deleteRouteInput) (*done, error) {
	t, err := c.place().findRouteTable(in.RouteTableID)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(t.routes, func(r route) bool { return r.destination == in.Destination })
	if i < 0 {
		return nil, refuse("InvalidRoute.NotFound", "no route with destination-cidr-block %s in route table %s", in.Destination, t.id)
	}
	if t.routes[i].gatewayID == "local" {
		return nil, refuse("InvalidParameterValue", "cannot remove local route %s in route table %s", in.Destination, t.id)
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	t.routes = slices.Delete(t.routes, i, i+1)
	return succeeded, nil
}

type associateRouteTableInput struct {
	dryRun
	RouteTableID string `query:"RouteTableId"`
	SubnetID     string `query:"SubnetId"`
}

type associateRouteTableOutput struct {
	ID    string `xml:"associationId"`
	State string `xml:"associationState>state"`
}

func (s *Server) associateRouteTable(c *call, in *associateRouteTableInput) (*associateRouteTableOutput, error) {
	p := c.place()
	t, err := p.findRouteTable(in.RouteTableID)
	if err != nil {
		return nil, err
	}
	sub, err := p.findSubnet(in.SubnetID)
	if err != nil {
		return nil, err
	}
	if sub.vpcID != t.vpcID {
		return nil, refuse("InvalidParameterValue", "Route table %s and subnet %s belong to different networks", t.id, sub.id)
	}
	for _, other := range p.routeTables {
		for _, a := range other.associations {
			if a.subnetID == sub.id {
				return nil, refuse("Resource.AlreadyAssociated", "the specified association for route table %s conflicts with an existing association", t.id)
			}
		}
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	a := routeAssociation{id: newID("rtbassoc"), subnetID: sub.id}
	t.associations = append(t.associations, a)
	return &associateRouteTableOutput{a.id, "associated"}, nil
}

type disassociateRouteTableInput struct {
	dryRun
	AssociationID string `query:"AssociationId"`
}

func (s *Server) disassociateRouteTable(c *call, in *disassociateRouteTableInput) (*done, error) {
	for _, t := range c.place().routeTables {
		i := slices.IndexFunc(t.associations, func(a routeAssociation) bool { return a.id == in.AssociationID })
		if i < 0 {
			continue
		}
		if t.associations[i].main {
			return nil, refuse("InvalidParameterValue", "cannot disassociate the main route table association %s", in.AssociationID)
		}
		if err := in.check(); err != nil {
			return nil, err
		}
		t.associations = slices.Delete(t.associations, i, i+1)
		return succeeded, nil
	}
	return nil, refuse("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", in.AssociationID)
}

type routeTableDescription struct {
	ID           string                           `xml:"routeTableId"`
	VPCID        string                           `xml:"vpcId"`
	OwnerID      string                           `xml:"ownerId"`
	Routes       set[routeDescription]            `xml:"routeSet"`
	Associations set[routeAssociationDescription] `xml:"associationSet"`
	Propagating  set[string]                      `xml:"propagatingVgwSet"`
	Tags         set[tag]                         `xml:"tagSet"`
}

type routeDescription struct {
	Destination  string `xml:"destinationCidrBlock"`
	GatewayID    string `xml:"gatewayId,omitempty"`
	NATGatewayID string `xml:"natGatewayId,omitempty"`
	State        string `xml:"state"`
	Origin       string `xml:"origin"`
}

type routeAssociationDescription struct {
	ID           string `xml:"routeTableAssociationId"`
	RouteTableID string `xml:"routeTableId"`
	SubnetID     string `xml:"subnetId,omitempty"`
	Main         bool   `xml:"main"`
	State        string `xml:"associationState>state"`
}

func (p *ec2Place) describeRouteTable(t *routeTable) routeTableDescription {
	return routeTableDescription{
		ID: t.id, VPCID: t.vpcID, OwnerID: p.account, Tags: p.tagSet(t.id),
		Routes: setFrom(t.routes, func(r route) routeDescription {
			return routeDescription{r.destination, r.gatewayID, r.natGatewayID, p.routeState(r), r.origin}
		}),
		Associations: setFrom(t.associations, func(a routeAssociation) routeAssociationDescription {
			return routeAssociationDescription{a.id, t.id, a.subnetID, a.main, "associated"}
		}),
	}
}

// routeState is blackhole for a route whose target is gone.
func (p *ec2Place) routeState(r route) string {
	switch {
	case r.natGatewayID != "":
		if g := p.natGateways[r.natGatewayID]; g == nil || g.state != "available" && g.state != "pending" {
			return "blackhole"
		}
	case r.gatewayID != "local":
		if g := p.gateways[r.gatewayID]; g == nil || g.vpcID == "" {
			return "blackhole"
		}
	}
	return "active"
}

type describeRouteTablesInput struct {
	dryRun
	page
	IDs     []string `query:"RouteTableId"`
	Filters []filter `query:"Filter"`
}

type describeRouteTablesOutput struct {
	RouteTables set[routeTableDescription] `xml:"routeTableSet"`
	NextToken   string                     `xml:"nextToken,omitempty"`
}

func (p *ec2Place) routeTableFilters() filterTable[*routeTable] {
	ofAssociations := func(f func(routeAssociation) string) func(*routeTable) []string {
		return func(t *routeTable) []string { return nonEmpty(t.associations, f) }
	}
	ofRoutes := func(f func(route) string) func(*routeTable) []string {
		return func(t *routeTable) []string { return nonEmpty(t.routes, f) }
	}
	return filterTable[*routeTable]{
		"association.main":                       ofAssociations(func(a routeAssociation) string { return boolWord(a.main) }),
		"association.route-table-association-id": ofAssociations(func(a routeAssociation) string { return a.id }),
		"association.route-table-id":             one(func(t *routeTable) string { return t.id }),
		"association.subnet-id":                  ofAssociations(func(a routeAssociation) string { return a.subnetID }),
		"owner-id":                               one(func(*routeTable) string { return p.account }),
		"route-table-id":                         one(func(t *routeTable) string { return t.id }),
		"route.destination-cidr-block":           ofRoutes(func(r route) string { return r.destination }),
		"route.gateway-id":                       ofRoutes(func(r route) string { return r.gatewayID }),
		"route.nat-gateway-id":                   ofRoutes(func(r route) string { return r.natGatewayID }),
		"route.origin":                           ofRoutes(func(r route) string { return r.origin }),
		"route.state":                            ofRoutes(p.routeState),
		"vpc-id":                                 one(func(t *routeTable) string { return t.vpcID }),
	}
}

// nonEmpty is f of each element, without the empty ones.
func nonEmpty[T any](all []T, f func(T) string) []string {
	var values []string
	for _, t := range all {
		if v := f(t); v != "" {
			values = append(values, v)
		}
	}
	return values
}

func (s *Server) describeRouteTables(c *call, in *describeRouteTablesInput) (*describeRouteTablesOutput, error) {
	p := c.place()
	all, err := byID(in.IDs, p.routeTables, p.findRouteTable)
	if err != nil {
		return nil, err
	}
	all, err = p.routeTableFilters().keep(in.Filters, func(t *routeTable) map[string]string { return p.tags[t.id] }, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 100, all)
	return &describeRouteTablesOutput{setFrom(part, p.describeRouteTable), next}, err
}

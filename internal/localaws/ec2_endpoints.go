package localaws

import (
	"slices"
	"strings"
	"time"
)

// A vpcEndpoint brings an AWS service into a VPC.
type vpcEndpoint struct {
	id, vpcID, service, kind, state string
	subnetIDs, tableIDs, groupIDs   []string
	interfaceIDs                    []string
	privateDNS                      bool
	policy                          string
	created                         time.Time
}

// offeredServices are the services that a VPC endpoint can be made for here; true for those of type Gateway.
var offeredServices = map[string]bool{
	"ssm": false, "ssmmessages": false, "ec2messages": false, "ec2": false, "kms": false, "logs": false,
	"sts": false, "monitoring": false, "secretsmanager": false, "s3": true, "dynamodb": true,
}

// anyPolicy is the policy of an endpoint for which none was given.
const anyPolicy = `{"Statement":[{"Action":"*","Effect":"Allow","Principal":"*","Resource":"*"}]}`

func (p *ec2Place) findEndpoint(id string) (*vpcEndpoint, error) {
	if e := p.endpoints[id]; e != nil {
		return e, nil
	}
	return nil, refuse("InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '%s' does not exist", id)
}

type createEndpointInput struct {
	dryRun
	tagSpecs
	Type        *string  `query:"VpcEndpointType"`
	VPCID       string   `query:"VpcId"`
	Service     string   `query:"ServiceName"`
	Policy      *string  `query:"PolicyDocument"`
	TableIDs    []string `query:"RouteTableId"`
	SubnetIDs   []string `query:"SubnetId"`
	GroupIDs    []string `query:"SecurityGroupId"`
	IPType      *string  `query:"IpAddressType"`
	PrivateDNS  *bool    `query:"PrivateDnsEnabled"`
	ClientToken *string  `query:"ClientToken"`
}

type createEndpointOutput struct {
	Endpoint    endpointDescription `xml:"vpcEndpoint"`
	ClientToken string              `xml:"clientToken,omitempty"`
}

func (s *Server) createVPCEndpoint(c *call, in *createEndpointInput) (*createEndpointOutput, error) {
	p := c.place()
	e, err := p.plannedEndpoint(in)
	if err != nil {
		return nil, err
	}
	tags, err := in.forTypes("vpc-endpoint")
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	e, err = repeatable(c, in.ClientToken, func() (*vpcEndpoint, error) {
		p.setTags(e.id, tags["vpc-endpoint"])
		return e, p.addEndpoint(e)
	})
	if err != nil {
		return nil, err
	}
	return &createEndpointOutput{p.describeEndpoint(e), valueOr(in.ClientToken, "")}, nil
}

func (p *ec2Place) plannedEndpoint(in *createEndpointInput) (*vpcEndpoint, error) {
	v, err := p.findVPC(in.VPCID)
	if err != nil {
		return nil, err
	}
	name, ours := strings.CutPrefix(in.Service, "com.amazonaws."+p.region+".")
	gateway, offered := offeredServices[name]
	if !ours || !offered {
		return nil, refuse("InvalidServiceName", "The Vpc Endpoint Service '%s' does not exist", in.Service)
	}
	if kind := valueOr(in.IPType, "ipv4"); kind != "ipv4" && kind != "service-defined" {
		return nil, notHere("endpoints with addresses of IPv6")
	}
	e := &vpcEndpoint{
		id: newID("vpce"), vpcID: v.id, service: in.Service, kind: valueOr(in.Type, "Gateway"), state: "pending",
		policy: valueOr(in.Policy, anyPolicy), created: p.server.clock.Now(),
		subnetIDs: in.SubnetIDs, tableIDs: in.TableIDs, groupIDs: in.GroupIDs,
	}
	if e.kind != "Interface" && (e.kind != "Gateway" || !gateway) {
		return nil, refuse("InvalidParameter", "Endpoint type (%s) does not match available service types ([Interface]).", e.kind)
	}
	if e.kind == "Gateway" && (len(e.subnetIDs) > 0 || len(e.groupIDs) > 0) {
		return nil, refuse("InvalidParameter", "Subnets and security groups are not supported for endpoints of type Gateway.")
	}
	e.privateDNS = e.kind == "Interface" && valueOr(in.PrivateDNS, true)
	return e, p.checkEndpoint(e, v)
}

// checkEndpoint checks what the endpoint refers to, and the rule that only one endpoint can have a service's private name.
func (p *ec2Place) checkEndpoint(e *vpcEndpoint, v *vpc) error {
	for _, id := range e.tableIDs {
		if _, err := p.findRouteTable(id); err != nil {
			return err
		}
	}
	for _, id := range e.subnetIDs {
		sub, err := p.findSubnet(id)
		if err != nil {
			return err
		}
		if sub.vpcID != v.id {
			return refuse("InvalidParameter", "The subnet ID '%s' does not belong to the VPC '%s'.", id, v.id)
		}
	}
	for _, id := range e.groupIDs {
		if _, err := p.findGroup(id); err != nil {
			return err
		}
	}
	if !e.privateDNS {
		return nil
	}
	if !v.dnsSupport || !v.dnsHostnames {
		return refuse("InvalidParameter", "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for %s", v.id)
	}
	for _, other := range p.endpoints {
		if other.vpcID == v.id && other.service == e.service && other.privateDNS {
			return refuse("InvalidParameter", "private-dns-enabled cannot be set because there is already a conflicting DNS domain for %s in the VPC %s",
				serviceHost(e.service, p.region), v.id)
		}
	}
	return nil
}

func serviceHost(service, region string) string {
	return service[strings.LastIndex(service, ".")+1:] + "." + region + ".amazonaws.com"
}

func (p *ec2Place) addEndpoint(e *vpcEndpoint) error {
	if e.kind == "Interface" && len(e.groupIDs) == 0 {
		e.groupIDs = []string{p.defaultGroup(e.vpcID).id}
	}
	for _, id := range e.subnetIDs {
		ip, err := p.takeAddress(p.subnets[id])
		if err != nil {
			return err
		}
		n := p.addInterface(p.subnets[id], ip, "VPC Endpoint Interface "+e.id)
		n.kind, n.groupIDs = "vpc_endpoint", e.groupIDs
		e.interfaceIDs = append(e.interfaceIDs, n.id)
	}
	p.endpoints[e.id] = e
	p.server.after(p.server.delays.InstancePending, func() {
		if e.state == "pending" {
			e.state = "available"
		}
	})
	return nil
}

type deleteEndpointsInput struct {
	dryRun
	IDs []string `query:"VpcEndpointId"`
}

type unsuccessful struct {
	ResourceID string    `xml:"resourceId"`
	Error      itemError `xml:"error"`
}

type deleteEndpointsOutput struct {
	Unsuccessful set[unsuccessful] `xml:"unsuccessful"`
}

func (s *Server) deleteVPCEndpoints(c *call, in *deleteEndpointsInput) (*deleteEndpointsOutput, error) {
	p := c.place()
	if err := in.check(); err != nil {
		return nil, err
	}
	var out deleteEndpointsOutput
	for _, id := range in.IDs {
		e := p.endpoints[id]
		if e == nil {
			out.Unsuccessful.Items = append(out.Unsuccessful.Items, unsuccessful{id, itemError{"InvalidVpcEndpoint.NotFound", "The Vpc Endpoint Id '" + id + "' does not exist"}})
			continue
		}
		e.state = "deleting"
		s.after(s.delays.VolumeDetach, func() {
			for _, n := range e.interfaceIDs {
				delete(p.interfaces, n)
			}
			delete(p.endpoints, e.id)
			delete(p.tags, e.id)
		})
	}
	return &out, nil
}

type endpointDescription struct {
	ID         string           `xml:"vpcEndpointId"`
	Type       string           `xml:"vpcEndpointType"`
	VPCID      string           `xml:"vpcId"`
	Service    string           `xml:"serviceName"`
	State      string           `xml:"state"`
	Policy     string           `xml:"policyDocument"`
	TableIDs   set[string]      `xml:"routeTableIdSet"`
	SubnetIDs  set[string]      `xml:"subnetIdSet"`
	Groups     set[groupName]   `xml:"groupSet"`
	IPType     string           `xml:"ipAddressType"`
	PrivateDNS bool             `xml:"privateDnsEnabled"`
	Managed    bool             `xml:"requesterManaged"`
	Interfaces set[string]      `xml:"networkInterfaceIdSet"`
	DNS        set[endpointDNS] `xml:"dnsEntrySet"`
	Created    string           `xml:"creationTimestamp"`
	Tags       set[tag]         `xml:"tagSet"`
	OwnerID    string           `xml:"ownerId"`
}

type endpointDNS struct {
	Name string `xml:"dnsName"`
	Zone string `xml:"hostedZoneId"`
}

func (p *ec2Place) describeEndpoint(e *vpcEndpoint) endpointDescription {
	d := endpointDescription{
		ID: e.id, Type: e.kind, VPCID: e.vpcID, Service: e.service, State: e.state, Policy: e.policy,
		TableIDs: setOf(e.tableIDs), SubnetIDs: setOf(e.subnetIDs), Groups: p.groupNames(e.groupIDs), IPType: "ipv4",
		PrivateDNS: e.privateDNS, Interfaces: setOf(e.interfaceIDs), Created: ec2Time(e.created), Tags: p.tagSet(e.id), OwnerID: p.account,
	}
	if e.kind == "Interface" {
		d.DNS.Items = append(d.DNS.Items, endpointDNS{e.id + "." + serviceHost(e.service, p.region), "Z7HUB22UULQXV"})
	}
	if e.privateDNS {
		d.DNS.Items = append(d.DNS.Items, endpointDNS{serviceHost(e.service, p.region), "Z7HUB22UULQXV"})
	}
	return d
}

type describeEndpointsInput struct {
	dryRun
	page
	IDs     []string `query:"VpcEndpointId"`
	Filters []filter `query:"Filter"`
}

type describeEndpointsOutput struct {
	Endpoints set[endpointDescription] `xml:"vpcEndpointSet"`
	NextToken string                   `xml:"nextToken,omitempty"`
}

var endpointFilters = filterTable[*vpcEndpoint]{
	"service-name":       one(func(e *vpcEndpoint) string { return e.service }),
	"vpc-endpoint-id":    one(func(e *vpcEndpoint) string { return e.id }),
	"vpc-endpoint-state": one(func(e *vpcEndpoint) string { return e.state }),
	"vpc-endpoint-type":  one(func(e *vpcEndpoint) string { return e.kind }),
	"vpc-id":             one(func(e *vpcEndpoint) string { return e.vpcID }),
	"ip-address-type":    one(func(*vpcEndpoint) string { return "ipv4" }),
}

func (s *Server) describeVPCEndpoints(c *call, in *describeEndpointsInput) (*describeEndpointsOutput, error) {
	p := c.place()
	all, err := byID(in.IDs, p.endpoints, p.findEndpoint)
	if err != nil {
		return nil, err
	}
	all, err = endpointFilters.keep(in.Filters, func(e *vpcEndpoint) map[string]string { return p.tags[e.id] }, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &describeEndpointsOutput{setFrom(part, p.describeEndpoint), next}, err
}

// endpointServes says whether a VPC has an interface endpoint under the
// service's own name that lets the groups in.
func (p *ec2Place) endpointServes(n *networkInterface, service string) bool {
	for _, e := range p.endpoints {
		if e.vpcID != n.vpcID || e.service != "com.amazonaws."+p.region+"."+service || e.state != "available" || !e.privateDNS || len(e.subnetIDs) == 0 {
			continue
		}
		if slices.ContainsFunc(e.groupIDs, func(id string) bool { return p.groups[id] != nil && p.groups[id].letsIn(443, n, p.vpcs[n.vpcID]) }) {
			return true
		}
	}
	return false
}

package localaws

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A networkInterface joins an instance, or a service's own machine, to a subnet.
type networkInterface struct {
	id, subnetID, vpcID string
	kind                string // "interface", "nat_gateway", "vpc_endpoint"
	description         string
	groupIDs            []string
	privateIP           netip.Addr
	publicIP            string
	autoPublic          bool // gets a public address with every start of its instance
	mac                 string
	zone                availabilityZone

	instanceID, attachmentID string
	attached                 time.Time
	deviceIndex              int64
	deleteOnTermination      bool
	sourceDestCheck          bool
}

func (p *ec2Place) addInterface(sub *subnet, ip netip.Addr, description string) *networkInterface {
	b := ip.As4()
	n := &networkInterface{
		id: newID("eni"), subnetID: sub.id, vpcID: sub.vpcID, kind: "interface", description: description,
		privateIP: ip, zone: sub.zone, sourceDestCheck: true,
		mac: fmt.Sprintf("0a:ff:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3]),
	}
	p.interfaces[n.id] = n
	return n
}

// privateName is the name that AWS's DNS gives to a private address.
func (p *ec2Place) privateName(ip netip.Addr) string {
	domain := p.region + ".compute.internal"
	if p.region == "us-east-1" {
		domain = "ec2.internal"
	}
	return "ip-" + strings.ReplaceAll(ip.String(), ".", "-") + "." + domain
}

// publicName is the name of a public address, where the VPC gives such names.
func (p *ec2Place) publicName(n *networkInterface) string {
	v := p.vpcs[n.vpcID]
	if n.publicIP == "" || v == nil || !v.dnsHostnames {
		return ""
	}
	domain := p.region + ".compute.amazonaws.com"
	if p.region == "us-east-1" {
		domain = "compute-1.amazonaws.com"
	}
	return "ec2-" + strings.ReplaceAll(n.publicIP, ".", "-") + "." + domain
}

func (n *networkInterface) status() string {
	if n.instanceID == "" && n.kind == "interface" {
		return "available"
	}
	return "in-use"
}

func (p *ec2Place) findInterface(id string) (*networkInterface, error) {
	if n := p.interfaces[id]; n != nil {
		return n, nil
	}
	return nil, refuse("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '%s' does not exist", id)
}

type interfaceAddress struct {
	PublicIP   string `xml:"publicIp"`
	PublicName string `xml:"publicDnsName"`
	Owner      string `xml:"ipOwnerId"`
}

func (p *ec2Place) addressOf(n *networkInterface) *interfaceAddress {
	if n.publicIP == "" {
		return nil
	}
	owner := "amazon"
	for _, a := range p.addresses {
		if a.interfaceID == n.id {
			owner = p.account
		}
	}
	return &interfaceAddress{n.publicIP, p.publicName(n), owner}
}

type interfaceAttachment struct {
	ID                  string `xml:"attachmentId"`
	InstanceID          string `xml:"instanceId,omitempty"`
	InstanceOwner       string `xml:"instanceOwnerId,omitempty"`
	DeviceIndex         int64  `xml:"deviceIndex"`
	CardIndex           int64  `xml:"networkCardIndex"`
	Status              string `xml:"status"`
	AttachTime          string `xml:"attachTime"`
	DeleteOnTermination bool   `xml:"deleteOnTermination"`
}

type interfacePrivateAddress struct {
	PrivateIP   string            `xml:"privateIpAddress"`
	PrivateName string            `xml:"privateDnsName"`
	Primary     bool              `xml:"primary"`
	Association *interfaceAddress `xml:"association"`
}

type interfaceDescription struct {
	ID              string                       `xml:"networkInterfaceId"`
	SubnetID        string                       `xml:"subnetId"`
	VPCID           string                       `xml:"vpcId"`
	Zone            string                       `xml:"availabilityZone,omitempty"`
	Description     string                       `xml:"description"`
	OwnerID         string                       `xml:"ownerId"`
	Managed         *bool                        `xml:"requesterManaged"`
	Status          string                       `xml:"status"`
	MAC             string                       `xml:"macAddress"`
	PrivateIP       string                       `xml:"privateIpAddress"`
	PrivateName     string                       `xml:"privateDnsName"`
	SourceDestCheck bool                         `xml:"sourceDestCheck"`
	Groups          set[groupName]               `xml:"groupSet"`
	Attachment      *interfaceAttachment         `xml:"attachment"`
	Association     *interfaceAddress            `xml:"association"`
	Addresses       set[interfacePrivateAddress] `xml:"privateIpAddressesSet"`
	IPv6            set[string]                  `xml:"ipv6AddressesSet"`
	Kind            string                       `xml:"interfaceType"`
	Tags            *set[tag]                    `xml:"tagSet"`
}

// describeInterface tells of an interface; alone says whether by itself or as part of its instance, where some of it is left out.
func (p *ec2Place) describeInterface(n *networkInterface, alone bool) interfaceDescription {
	d := interfaceDescription{
		ID: n.id, SubnetID: n.subnetID, VPCID: n.vpcID, Description: n.description, OwnerID: p.account,
		Status: n.status(), MAC: n.mac, PrivateIP: n.privateIP.String(), PrivateName: p.privateName(n.privateIP),
		SourceDestCheck: n.sourceDestCheck, Groups: p.groupNames(n.groupIDs), Association: p.addressOf(n), Kind: n.kind,
	}
	d.Addresses.Items = []interfacePrivateAddress{{d.PrivateIP, d.PrivateName, true, d.Association}}
	if n.instanceID != "" {
		d.Attachment = &interfaceAttachment{
			ID: n.attachmentID, DeviceIndex: n.deviceIndex, Status: "attached",
			AttachTime: ec2Time(n.attached), DeleteOnTermination: n.deleteOnTermination,
		}
	}
	if alone {
		d.Zone = n.zone.name
		managed, tags := n.kind != "interface", p.tagSet(n.id)
		d.Managed, d.Tags = &managed, &tags
		if d.Attachment != nil {
			d.Attachment.InstanceID, d.Attachment.InstanceOwner = n.instanceID, p.account
		}
	}
	return d
}

type describeInterfacesInput struct {
	dryRun
	page
	IDs     []string `query:"NetworkInterfaceId"`
	Filters []filter `query:"Filter"`
}

type describeInterfacesOutput struct {
	Interfaces set[interfaceDescription] `xml:"networkInterfaceSet"`
	NextToken  string                    `xml:"nextToken,omitempty"`
}

func (p *ec2Place) interfaceFilters() filterTable[*networkInterface] {
	return filterTable[*networkInterface]{
		"addresses.private-ip-address":     one(func(n *networkInterface) string { return n.privateIP.String() }),
		"association.public-ip":            one(func(n *networkInterface) string { return n.publicIP }),
		"attachment.attachment-id":         one(func(n *networkInterface) string { return n.attachmentID }),
		"attachment.instance-id":           one(func(n *networkInterface) string { return n.instanceID }),
		"availability-zone":                one(func(n *networkInterface) string { return n.zone.name }),
		"description":                      one(func(n *networkInterface) string { return n.description }),
		"group-id":                         func(n *networkInterface) []string { return n.groupIDs },
		"interface-type":                   one(func(n *networkInterface) string { return n.kind }),
		"mac-address":                      one(func(n *networkInterface) string { return n.mac }),
		"network-interface-id":             one(func(n *networkInterface) string { return n.id }),
		"owner-id":                         one(func(*networkInterface) string { return p.account }),
		"private-dns-name":                 one(func(n *networkInterface) string { return p.privateName(n.privateIP) }),
		"private-ip-address":               one(func(n *networkInterface) string { return n.privateIP.String() }),
		"requester-managed":                one(func(n *networkInterface) string { return boolWord(n.kind != "interface") }),
		"source-dest-check":                one(func(n *networkInterface) string { return boolWord(n.sourceDestCheck) }),
		"status":                           one(func(n *networkInterface) string { return n.status() }),
		"subnet-id":                        one(func(n *networkInterface) string { return n.subnetID }),
		"vpc-id":                           one(func(n *networkInterface) string { return n.vpcID }),
		"attachment.device-index":          one(func(n *networkInterface) string { return number(n.deviceIndex) }),
		"attachment.delete-on-termination": one(func(n *networkInterface) string { return boolWord(n.deleteOnTermination) }),
		"group-name": func(n *networkInterface) []string {
			return nonEmpty(p.groupNames(n.groupIDs).Items, func(g groupName) string { return g.Name })
		},
	}
}

func (s *Server) describeNetworkInterfaces(c *call, in *describeInterfacesInput) (*describeInterfacesOutput, error) {
	p := c.place()
	if err := in.notBoth(in.IDs, "networkInterfaceIds"); err != nil {
		return nil, err
	}
	all, err := byID(in.IDs, p.interfaces, p.findInterface)
	if err != nil {
		return nil, err
	}
	all, err = p.interfaceFilters().keep(in.Filters, func(n *networkInterface) map[string]string { return p.tags[n.id] }, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &describeInterfacesOutput{setFrom(part, func(n *networkInterface) interfaceDescription { return p.describeInterface(n, true) }), next}, err
}

// interfacesOf are an instance's interfaces in order of their device index.
func (p *ec2Place) interfacesOf(instanceID string) []*networkInterface {
	var all []*networkInterface
	for _, n := range p.interfaces {
		if n.instanceID == instanceID {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b *networkInterface) int { return int(a.deviceIndex - b.deviceIndex) })
	return all
}

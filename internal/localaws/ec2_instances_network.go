package localaws

import (
	"net/netip"
	"slices"
	"strings"
)

// decideNetwork finds subnet, groups and addresses: of the request itself, or of its first interface.
func (l *launchPlan) decideNetwork(c *call, in *runInput) error {
	subnetID, groupIDs, address := in.SubnetID, in.GroupIDs, in.PrivateIP
	if len(in.Interfaces) > 0 {
		n, err := in.theInterface()
		if err != nil {
			return err
		}
		l.network = n
		subnetID, groupIDs, address = n.SubnetID, n.GroupIDs, n.PrivateIP
	}
	if err := l.decideSubnet(c, in, subnetID); err != nil {
		return err
	}
	if err := l.decideGroups(c.place(), in, groupIDs); err != nil {
		return err
	}
	l.publicIP = valueOr(l.network.PublicIP, l.subnet.mapPublicIP)
	if address == "" {
		return nil
	}
	if l.count > 1 {
		return refuse("InvalidParameterCombination", "A private IP address cannot be given for more than one instance.")
	}
	var err error
	l.privateIP, err = c.place().checkAddress(l.subnet, address)
	return err
}

// theInterface is the one interface that a request describes, and what may not stand beside it.
func (in *runInput) theInterface() (interfaceRequest, error) {
	n := in.Interfaces[0]
	switch {
	case len(in.Interfaces) > 1:
		return n, notHere("instances with more than one network interface")
	case in.SubnetID != "":
		return n, refuse("InvalidParameterCombination", "Network interfaces and an instance-level subnet ID may not be specified on the same request")
	case len(in.GroupIDs)+len(in.GroupNames) > 0:
		return n, refuse("InvalidParameterCombination", "Network interfaces and an instance-level security groups may not be specified on the same request")
	case in.PrivateIP != "":
		return n, refuse("InvalidParameterCombination", "Network interfaces and an instance-level private IP address may not be specified on the same request")
	case n.InterfaceID != "":
		return n, refuse("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '%s' does not exist", n.InterfaceID)
	case n.DeviceIndex == nil:
		return n, refuse("MissingParameter", "The request must contain the parameter networkInterface.1.deviceIndex")
	case valueOr(n.CardIndex, 0) != 0:
		return n, refuse("InvalidParameterValue", "Value (%d) for parameter networkCardIndex is invalid. The first network interface is on card 0.", *n.CardIndex)
	case n.Kind == "efa" || n.Kind == "efa-only":
		return n, notHere("Elastic Fabric Adapters")
	case *n.DeviceIndex != 0:
		return n, refuse("InvalidParameterCombination", "Each network interface requires a device index, and the first one has device index 0.")
	}
	return n, nil
}

func (l *launchPlan) decideSubnet(c *call, in *runInput, id string) error {
	p := c.place()
	zoneName, zoneID := "", ""
	if in.Placement != nil {
		zoneName, zoneID = in.Placement.Zone, in.Placement.ZoneID
	}
	if id != "" {
		sub, err := p.findSubnet(id)
		if err != nil {
			return err
		}
		if zoneName != "" && sub.zone.name != zoneName || zoneID != "" && sub.zone.id != zoneID {
			return refuse("InvalidParameterValue", "The specified subnet %s is not in the availability zone %s.", id, zoneName+zoneID)
		}
		l.subnet = sub
		return l.checkZone(c.region, sub.zone)
	}
	v := p.defaultVPC()
	if v == nil {
		return refuse("VPCIdNotSpecified", "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.")
	}
	zones := zonesOf(c.region)
	if zoneName != "" || zoneID != "" {
		zone, err := pickZone(c.region, zoneName, zoneID)
		if err != nil {
			return refuse("InvalidParameterValue", "Invalid availability zone: [%s]", zoneName+zoneID)
		}
		zones = []availabilityZone{zone}
		if err := l.checkZone(c.region, zone); err != nil {
			return err
		}
	}
	for _, sub := range sorted(p.subnets) {
		if sub.vpcID == v.id && sub.isDefault && slices.Contains(zones, sub.zone) && l.kind.offeredIn(sub.zone) {
			l.subnet = sub
			return nil
		}
	}
	return refuse("MissingInput", "No subnets found for the default VPC '%s'. Please specify a subnet.", v.id)
}

func (l *launchPlan) checkZone(region string, zone availabilityZone) error {
	if l.kind.offeredIn(zone) {
		return nil
	}
	var others []string
	for _, z := range zonesOf(region) {
		if l.kind.offeredIn(z) {
			others = append(others, z.name)
		}
	}
	return refuse("Unsupported", "Your requested instance type (%s) is not supported in your requested Availability Zone (%s). "+
		"Please retry your request by not specifying an Availability Zone or choosing %s.", l.kind.name, zone.name, strings.Join(others, ", "))
}

// maxGroups is how many groups an interface can be in.
const maxGroups = 5

func (l *launchPlan) decideGroups(p *ec2Place, in *runInput, ids []string) error {
	if len(in.GroupNames) > 0 && in.SubnetID != "" {
		return refuse("InvalidParameterCombination", "The parameter groupName cannot be used with the parameter subnet")
	}
	for _, id := range ids {
		g, err := p.findGroup(id)
		if err != nil {
			return err
		}
		if g.vpcID != l.subnet.vpcID {
			return refuse("InvalidParameter", "Security group %s and subnet %s belong to different networks.", id, l.subnet.id)
		}
		if !slices.Contains(l.groupIDs, id) {
			l.groupIDs = append(l.groupIDs, id)
		}
	}
	for _, name := range in.GroupNames {
		g, err := p.findGroupByName(name)
		if err != nil {
			return err
		}
		l.groupIDs = append(l.groupIDs, g.id)
	}
	if len(l.groupIDs) > maxGroups {
		return refuse("SecurityGroupsPerInterfaceLimitExceeded", "The maximum number of security groups per interface has been reached.")
	}
	if len(l.groupIDs) == 0 {
		l.groupIDs = []string{p.defaultGroup(l.subnet.vpcID).id}
	}
	return nil
}

// connect makes the instance's interface.
func (l *launchPlan) connect(i *instance) (*networkInterface, error) {
	p := i.place
	ip := l.privateIP
	if (ip == netip.Addr{}) {
		var err error
		if ip, err = p.takeAddress(l.subnet); err != nil {
			return nil, err
		}
	}
	n := p.addInterface(l.subnet, ip, l.network.Description)
	n.groupIDs, n.instanceID, n.attachmentID = l.groupIDs, i.ID, newID("eni-attach")
	n.attached, n.deleteOnTermination = i.created, valueOr(l.network.DeleteOnTermination, true)
	if n.autoPublic = l.publicIP; n.autoPublic {
		n.publicIP = p.server.ec2.publicAddress().String()
	}
	p.setTags(n.id, l.tags["network-interface"])
	return n, nil
}

package localaws

import "strings"

// resourceTypes are the types of resources by the prefix of their ids.
var resourceTypes = map[string]string{
	"i": "instance", "ami": "image", "snap": "snapshot", "vol": "volume", "vpc": "vpc", "subnet": "subnet",
	"sg": "security-group", "sgr": "security-group-rule", "rtb": "route-table", "igw": "internet-gateway",
	"nat": "natgateway", "vpce": "vpc-endpoint", "eipalloc": "elastic-ip", "eni": "network-interface",
	"key": "key-pair", "lt": "launch-template", "fleet": "fleet", "sir": "spot-instances-request", "pg": "placement-group", "h": "dedicated-host", "cr": "capacity-reservation",
}

func resourceType(id string) string {
	prefix, _, _ := strings.Cut(id, "-")
	return resourceTypes[prefix]
}

// findTaggable refuses an id that CreateTags refuses, in the words of its kind.
func (c *call) findTaggable(id string) error {
	p := c.place()
	prefix, _, _ := strings.Cut(id, "-")
	find, known := map[string]func() error{
		"i":        func() error { return onlyError(c.findInstance(id)) },
		"ami":      func() error { return onlyError(c.findImage(id)) },
		"snap":     func() error { return onlyError(c.findSnapshot(id)) },
		"vol":      func() error { return onlyError(p.findVolume(id)) },
		"vpc":      func() error { return onlyError(p.findVPC(id)) },
		"subnet":   func() error { return onlyError(p.findSubnet(id)) },
		"sg":       func() error { return onlyError(p.findGroup(id)) },
		"sgr":      func() error { return p.findRule(id) },
		"rtb":      func() error { return onlyError(p.findRouteTable(id)) },
		"igw":      func() error { return onlyError(p.findGateway(id)) },
		"nat":      func() error { return onlyError(p.findNATGateway(id)) },
		"vpce":     func() error { return onlyError(p.findEndpoint(id)) },
		"eni":      func() error { return onlyError(p.findInterface(id)) },
		"eipalloc": func() error { return present(p.addresses, id, "InvalidAllocationID.NotFound", "allocation") },
		"lt": func() error {
			return present(p.launchTemplates, id, "InvalidLaunchTemplateId.NotFound", "launchTemplate")
		},
		"fleet": func() error { return present(p.fleets, id, "InvalidFleetId.NotFound", "fleet") },
		"sir": func() error {
			return present(p.spotRequests, id, "InvalidSpotInstanceRequestID.NotFound", "spot instance request")
		},
		"h": func() error { return present(p.hosts, id, "InvalidHostID.NotFound", "Dedicated Host") },
		"cr": func() error {
			return present(p.reservations, id, "InvalidCapacityReservationId.NotFound", "capacity reservation")
		},
		"pg": func() error {
			for _, g := range p.placementGroups {
				if g.id == id {
					return nil
				}
			}
			return refuse("InvalidPlacementGroup.Unknown", "The Placement Group '%s' is unknown.", id)
		},
		"key": func() error { return p.findKeyID(id) },
	}[prefix]
	if !known {
		return refuse("InvalidID", "The ID '%s' is not valid", id)
	}
	return find()
}

func onlyError[T any](_ T, err error) error { return err }

func present[T any](m map[string]T, id, code, kind string) error {
	if _, ok := m[id]; ok {
		return nil
	}
	return refuse(code, "The %s ID '%s' does not exist", kind, id)
}

func (p *ec2Place) findKeyID(id string) error {
	for _, k := range p.keyPairs {
		if k.id == id {
			return nil
		}
	}
	return refuse("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", id)
}

func (p *ec2Place) findRule(id string) error {
	for _, g := range p.groups {
		for _, r := range g.rules {
			if r.id == id {
				return nil
			}
		}
	}
	return refuse("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%s' does not exist", id)
}

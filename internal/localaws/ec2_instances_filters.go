package localaws

import "maps"

func (p *ec2Place) instanceFilters() filterTable[*instance] {
	table := maps.Clone(instanceFilters)
	network := func(f func(*networkInterface) []string) func(*instance) []string {
		return func(i *instance) []string {
			var values []string
			for _, n := range p.interfacesOf(i.ID) {
				values = append(values, f(n)...)
			}
			return values
		}
	}
	single := func(f func(*networkInterface) string) func(*instance) []string { return network(one(f)) }
	table["owner-id"] = one(func(*instance) string { return p.account })
	for _, prefix := range []string{"", "network-interface.addresses."} {
		table[prefix+"private-ip-address"] = single(func(n *networkInterface) string { return n.privateIP.String() })
	}
	table["private-dns-name"] = single(func(n *networkInterface) string { return p.privateName(n.privateIP) })
	table["ip-address"] = single(func(n *networkInterface) string { return n.publicIP })
	table["network-interface.association.public-ip"] = table["ip-address"]
	table["dns-name"] = single(p.publicName)
	table["network-interface.network-interface-id"] = single(func(n *networkInterface) string { return n.id })
	table["network-interface.subnet-id"] = single(func(n *networkInterface) string { return n.subnetID })
	table["network-interface.vpc-id"] = single(func(n *networkInterface) string { return n.vpcID })
	table["source-dest-check"] = single(func(n *networkInterface) string { return boolWord(n.sourceDestCheck) })
	for name, property := range p.interfaceProperties() {
		table["network-interface."+name] = single(property)
	}
	groupIDs := network(func(n *networkInterface) []string { return n.groupIDs })
	groupNames := network(func(n *networkInterface) []string {
		return nonEmpty(p.groupNames(n.groupIDs).Items, func(g groupName) string { return g.Name })
	})
	for _, prefix := range []string{"", "instance.", "network-interface."} {
		table[prefix+"group-id"], table[prefix+"group-name"] = groupIDs, groupNames
	}
	return table
}

var instanceFilters = filterTable[*instance]{
	"affinity":                            noInstance,
	"ebs-optimized":                       one(func(i *instance) string { return boolWord(i.ebsOptimized) }),
	"ena-support":                         one(func(i *instance) string { return boolWord(i.ena()) }),
	"enclave-options.enabled":             one(func(i *instance) string { return boolWord(i.options.enclave) }),
	"hibernation-options.configured":      one(func(i *instance) string { return boolWord(i.options.hibernation) }),
	"host-id":                             one(func(i *instance) string { return i.hostID }),
	"ipv6-address":                        noInstance,
	"kernel-id":                           noInstance,
	"maintenance-options.auto-recovery":   one(func(i *instance) string { return i.options.recovery }),
	"metadata-options.http-protocol-ipv6": one(func(i *instance) string { return i.metadata.IPv6 }),
	"metadata-options.state":              one(func(i *instance) string { return i.describeMetadata().State }),
	"operator.managed":                    one(func(*instance) string { return "false" }),
	"operator.principal":                  noInstance,
	"outpost-arn":                         noInstance,
	"placement-group-name": one(func(i *instance) string {
		if i.options.group == nil {
			return ""
		}
		return i.options.group.name
	}),
	"placement-partition-number":                                    noInstance,
	"private-dns-name-options.enable-resource-name-dns-a-record":    one(func(i *instance) string { return boolWord(i.options.names.ARecord) }),
	"private-dns-name-options.enable-resource-name-dns-aaaa-record": one(func(i *instance) string { return boolWord(i.options.names.AAAARecord) }),
	"private-dns-name-options.hostname-type":                        one(func(i *instance) string { return i.options.names.HostnameType }),
	"product-code.type":                                             noInstance,
	"ramdisk-id":                                                    noInstance,
	"requester-id":                                                  noInstance,
	"usage-operation":                                               one((*instance).usage),
	"usage-operation-update-time":                                   one(func(i *instance) string { return ec2Time(i.created) }),
	"capacity-reservation-specification.capacity-reservation-target.capacity-reservation-id":                 one(func(i *instance) string { return i.reservedID }),
	"capacity-reservation-specification.capacity-reservation-target.capacity-reservation-resource-group-arn": one(func(i *instance) string { return i.reservedGroup }),
	"architecture":                               one(func(i *instance) string { return i.architecture }),
	"availability-zone":                          one(func(i *instance) string { return i.zone.name }),
	"availability-zone-id":                       one(func(i *instance) string { return i.zone.id }),
	"block-device-mapping.device-name":           ofVolumes(func(v *volume) string { return v.device }),
	"block-device-mapping.volume-id":             ofVolumes(func(v *volume) string { return v.id }),
	"block-device-mapping.status":                ofVolumes(func(v *volume) string { return v.attachState }),
	"block-device-mapping.delete-on-termination": ofVolumes(func(v *volume) string { return boolWord(v.deleteOnTermination) }),
	"block-device-mapping.attach-time":           ofVolumes(func(v *volume) string { return ec2Time(v.attached) }),
	"boot-mode":                                  one(func(i *instance) string { return i.bootMode }),
	"client-token":                               one(func(i *instance) string { return i.clientToken }),
	"current-instance-boot-mode":                 one((*instance).currentBootMode),
	"hypervisor":                                 one(func(*instance) string { return "xen" }),
	"iam-instance-profile.arn":                   one(func(i *instance) string { return i.ProfileARN }),
	"iam-instance-profile.id":                    one(func(i *instance) string { return i.profileID }),
	"iam-instance-profile.name":                  one(func(i *instance) string { return lastPart(i.ProfileARN) }),
	"image-id":                                   one(func(i *instance) string { return i.ImageID }),
	"instance-id":                                one(func(i *instance) string { return i.ID }),
	"instance-lifecycle": one(func(i *instance) string {
		if i.spotRequestID != "" {
			return "spot"
		}
		return ""
	}),
	"instance-state-code":            one(func(i *instance) string { return number(stateCodes[i.State]) }),
	"instance-state-name":            one(func(i *instance) string { return i.State }),
	"instance-type":                  one(func(i *instance) string { return i.kind.name }),
	"key-name":                       one(func(i *instance) string { return i.keyName }),
	"launch-index":                   one(func(i *instance) string { return number(i.launchIndex) }),
	"launch-time":                    one(func(i *instance) string { return ec2Time(i.LaunchTime) }),
	"metadata-options.http-endpoint": one(func(i *instance) string { return i.metadata.Endpoint }),
	"metadata-options.http-put-response-hop-limit": one(func(i *instance) string { return number(i.metadata.HopLimit) }),
	"metadata-options.http-tokens":                 one(func(i *instance) string { return i.metadata.Tokens }),
	"metadata-options.instance-metadata-tags":      one(func(i *instance) string { return i.metadata.Tags }),
	"monitoring-state":                             one((*instance).monitoringState),
	"platform":                                     noInstance,
	"platform-details":                             one(func(*instance) string { return "Linux/UNIX" }),
	"product-code":                                 noInstance,
	"reason":                                       one(func(i *instance) string { return i.reason }),
	"reservation-id":                               one(func(i *instance) string { return i.reservationID }),
	"root-device-name":                             one(func(i *instance) string { return i.rootDevice }),
	"root-device-type":                             one(func(*instance) string { return "ebs" }),
	"spot-instance-request-id":                     one(func(i *instance) string { return i.spotRequestID }),
	"state-reason-code":                            one(func(i *instance) string { return i.stateCode }),
	"state-reason-message":                         one(func(i *instance) string { return i.stateMessage }),
	"subnet-id":                                    one(func(i *instance) string { return i.subnetID }),
	"tenancy":                                      one(func(i *instance) string { return i.tenancy }),
	"virtualization-type":                          one(func(i *instance) string { return i.virtualization() }),
	"vpc-id":                                       one(func(i *instance) string { return i.vpcID }),
	"capacity-reservation-specification.capacity-reservation-preference": one(func(i *instance) string { return i.capacity }),
}

// interfaceProperties are the interfaces' own among the instances' filters.
func (p *ec2Place) interfaceProperties() map[string]func(*networkInterface) string {
	publicName := p.publicName
	return map[string]func(*networkInterface) string{
		"addresses.association.public-dns-name": publicName,
		"addresses.association.public-ip":       func(n *networkInterface) string { return n.publicIP },
		"addresses.primary":                     func(*networkInterface) string { return "true" },
		"addresses.private-dns-name":            func(n *networkInterface) string { return p.privateName(n.privateIP) },
		"association.public-dns-name":           publicName,
		"attachment.attach-time":                func(n *networkInterface) string { return ec2Time(n.attached) },
		"attachment.attachment-id":              func(n *networkInterface) string { return n.attachmentID },
		"attachment.delete-on-termination":      func(n *networkInterface) string { return boolWord(n.deleteOnTermination) },
		"attachment.device-index":               func(n *networkInterface) string { return number(n.deviceIndex) },
		"attachment.instance-id":                func(n *networkInterface) string { return n.instanceID },
		"attachment.instance-owner-id":          func(*networkInterface) string { return p.account },
		"attachment.network-card-index":         func(*networkInterface) string { return "0" },
		"attachment.status":                     func(*networkInterface) string { return "attached" },
		"availability-zone":                     func(n *networkInterface) string { return n.zone.name },
		"description":                           func(n *networkInterface) string { return n.description },
		"mac-address":                           func(n *networkInterface) string { return n.mac },
		"owner-id":                              func(*networkInterface) string { return p.account },
		"private-dns-name":                      func(n *networkInterface) string { return p.privateName(n.privateIP) },
		"private-ip-address":                    func(n *networkInterface) string { return n.privateIP.String() },
		"public-dns-name":                       publicName,
		"requester-managed":                     func(*networkInterface) string { return "false" },
		"source-dest-check":                     func(n *networkInterface) string { return boolWord(n.sourceDestCheck) },
		"status":                                func(*networkInterface) string { return "in-use" },
	}
}

// noInstance is a property that no instance here has.
func noInstance(*instance) []string { return nil }

func ofVolumes(f func(*volume) string) func(*instance) []string {
	return func(i *instance) []string { return nonEmpty(i.volumes(), f) }
}

// usage is how the instance is billed.
func (i *instance) usage() string {
	if i.spotRequestID != "" {
		return "RunInstances:00SP"
	}
	return "RunInstances"
}

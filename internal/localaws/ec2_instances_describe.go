package localaws

import "slices"

type reservationDescription struct {
	ID        string                   `xml:"reservationId"`
	OwnerID   string                   `xml:"ownerId"`
	Groups    set[groupName]           `xml:"groupSet"`
	Instances set[instanceDescription] `xml:"instancesSet"`
}

type instanceDescription struct {
	ID              string                    `xml:"instanceId"`
	ImageID         string                    `xml:"imageId"`
	State           instanceState             `xml:"instanceState"`
	PrivateName     string                    `xml:"privateDnsName"`
	PublicName      string                    `xml:"dnsName"`
	Reason          string                    `xml:"reason"`
	KeyName         string                    `xml:"keyName,omitempty"`
	LaunchIndex     int                       `xml:"amiLaunchIndex"`
	ProductCodes    set[string]               `xml:"productCodes"`
	Type            string                    `xml:"instanceType"`
	LaunchTime      string                    `xml:"launchTime"`
	Placement       placementDescription      `xml:"placement"`
	Monitoring      monitoringDescription     `xml:"monitoring"`
	SubnetID        string                    `xml:"subnetId,omitempty"`
	VPCID           string                    `xml:"vpcId,omitempty"`
	PrivateIP       string                    `xml:"privateIpAddress,omitempty"`
	PublicIP        string                    `xml:"ipAddress,omitempty"`
	SourceDestCheck *bool                     `xml:"sourceDestCheck"`
	Groups          set[groupName]            `xml:"groupSet"`
	StateReason     *stateReason              `xml:"stateReason"`
	Architecture    string                    `xml:"architecture"`
	RootType        string                    `xml:"rootDeviceType"`
	RootDevice      string                    `xml:"rootDeviceName"`
	Devices         set[attachedDevice]       `xml:"blockDeviceMapping"`
	Virtualization  string                    `xml:"virtualizationType"`
	Lifecycle       string                    `xml:"instanceLifecycle,omitempty"`
	SpotRequestID   string                    `xml:"spotInstanceRequestId,omitempty"`
	ClientToken     string                    `xml:"clientToken"`
	Tags            set[tag]                  `xml:"tagSet"`
	Hypervisor      string                    `xml:"hypervisor"`
	Interfaces      set[interfaceDescription] `xml:"networkInterfaceSet"`
	Profile         *profileDescription       `xml:"iamInstanceProfile"`
	EBSOptimized    bool                      `xml:"ebsOptimized"`
	ENA             bool                      `xml:"enaSupport"`
	CPU             cpuDescription            `xml:"cpuOptions"`
	Capacity        capacityDescription       `xml:"capacityReservationSpecification"`
	Hibernation     hibernationDescription    `xml:"hibernationOptions"`
	Metadata        metadataDescription       `xml:"metadataOptions"`
	Enclave         enclaveDescription        `xml:"enclaveOptions"`
	BootMode        string                    `xml:"bootMode,omitempty"`
	CurrentBootMode string                    `xml:"currentInstanceBootMode"`
	Platform        string                    `xml:"platformDetails"`
	Usage           string                    `xml:"usageOperation"`
	UsageTime       string                    `xml:"usageOperationUpdateTime"`
	PrivateDNS      privateDNSName            `xml:"privateDnsNameOptions"`
	Maintenance     maintenanceDescription    `xml:"maintenanceOptions"`
}

type placementDescription struct {
	Zone      string `xml:"availabilityZone"`
	ZoneID    string `xml:"availabilityZoneId"`
	GroupName string `xml:"groupName"`
	GroupID   string `xml:"groupId,omitempty"`
	Tenancy   string `xml:"tenancy"`
	HostID    string `xml:"hostId,omitempty"`
	HostGroup string `xml:"hostResourceGroupArn,omitempty"`
}

type attachedDevice struct {
	DeviceName string      `xml:"deviceName"`
	EBS        attachedEBS `xml:"ebs"`
}

type attachedEBS struct {
	VolumeID            string `xml:"volumeId"`
	Status              string `xml:"status"`
	AttachTime          string `xml:"attachTime"`
	DeleteOnTermination bool   `xml:"deleteOnTermination"`
}

type profileDescription struct {
	ARN string `xml:"arn"`
	ID  string `xml:"id"`
}

type cpuDescription struct {
	Cores   int64 `xml:"coreCount"`
	Threads int64 `xml:"threadsPerCore"`
}

type capacityDescription struct {
	Preference string          `xml:"capacityReservationPreference,omitempty"`
	Target     *capacityTarget `xml:"capacityReservationTarget"`
}

type hibernationDescription struct {
	Configured bool `xml:"configured"`
}

type enclaveDescription struct {
	Enabled bool `xml:"enabled"`
}

type maintenanceDescription struct {
	AutoRecovery string `xml:"autoRecovery"`
}

type metadataDescription struct {
	State string `xml:"state"`
	metadataOptions
}

func (p *ec2Place) describeReservation(all []*instance) reservationDescription {
	return reservationDescription{ID: all[0].reservationID, OwnerID: p.account, Instances: setFrom(all, p.describeInstance)}
}

func (p *ec2Place) describeInstance(i *instance) instanceDescription {
	d := instanceDescription{
		ID: i.ID, ImageID: i.ImageID, State: stateOf(i.State), Reason: i.reason, KeyName: i.keyName, LaunchIndex: i.launchIndex,
		Type: i.kind.name, LaunchTime: ec2Time(i.LaunchTime), Placement: placementDescription{Zone: i.zone.name, ZoneID: i.zone.id, Tenancy: i.tenancy, HostID: i.hostID, HostGroup: i.hostGroup},
		Monitoring: monitoringDescription{i.monitoringState()}, Architecture: i.architecture, RootType: "ebs", RootDevice: i.rootDevice,
		Virtualization: i.virtualization(), ClientToken: i.clientToken, Tags: p.tagSet(i.ID), Hypervisor: "xen", EBSOptimized: i.ebsOptimized, ENA: i.ena(),
		CPU: i.options.cpu, Capacity: i.describeCapacity(), Metadata: i.describeMetadata(), BootMode: i.bootMode,
		CurrentBootMode: i.currentBootMode(), Platform: "Linux/UNIX", Usage: i.usage(), UsageTime: ec2Time(i.created),
		PrivateDNS: i.options.names, Maintenance: maintenanceDescription{i.options.recovery}, Hibernation: hibernationDescription{i.options.hibernation}, Enclave: enclaveDescription{i.options.enclave},
	}
	if g := i.options.group; g != nil {
		d.Placement.GroupName, d.Placement.GroupID = g.name, g.id
	}
	if i.stateCode != "" {
		d.StateReason = &stateReason{i.stateCode, i.stateMessage}
	}
	if i.ProfileARN != "" {
		d.Profile = &profileDescription{i.ProfileARN, i.profileID}
	}
	if i.spotRequestID != "" {
		d.Lifecycle, d.SpotRequestID = "spot", i.spotRequestID
	}
	d.Devices = setFrom(i.volumes(), func(v *volume) attachedDevice {
		return attachedDevice{v.device, attachedEBS{v.id, v.attachState, ec2Time(v.attached), v.deleteOnTermination}}
	})
	p.describeNetwork(i, &d)
	return d
}

// describeNetwork adds what a terminated instance no longer has.
func (p *ec2Place) describeNetwork(i *instance, d *instanceDescription) {
	n := i.primary()
	if n == nil {
		return
	}
	d.SubnetID, d.VPCID, d.Groups = i.subnetID, i.vpcID, p.groupNames(n.groupIDs)
	d.PrivateIP, d.PrivateName = n.privateIP.String(), p.privateName(n.privateIP)
	d.SourceDestCheck = new(n.sourceDestCheck)
	if i.State != "pending" {
		d.PublicIP, d.PublicName = n.publicIP, p.publicName(n)
	}
	d.Interfaces = setFrom(p.interfacesOf(i.ID), func(n *networkInterface) interfaceDescription { return p.describeInterface(n, false) })
}

func (i *instance) currentBootMode() string {
	if i.bootMode == "" || i.bootMode == "uefi-preferred" && !slices.Contains(i.kind.list("boot"), "uefi") {
		return "legacy-bios"
	}
	return "uefi"
}

func (i *instance) describeMetadata() metadataDescription {
	state := "applied"
	if i.State == "pending" {
		state = "pending"
	}
	return metadataDescription{state, i.metadata}
}

type describeInstancesInput struct {
	dryRun
	page
	IDs     []string `query:"InstanceId"`
	Managed *bool    `query:"IncludeManagedResources"`
	Filters []filter `query:"Filter"`
}

type describeInstancesOutput struct {
	Reservations set[reservationDescription] `xml:"reservationSet"`
	NextToken    string                      `xml:"nextToken,omitempty"`
}

func (s *Server) describeInstances(c *call, in *describeInstancesInput) (*describeInstancesOutput, error) {
	p := c.place()
	if err := in.notBoth(in.IDs, "instancesSet"); err != nil {
		return nil, err
	}
	all, err := c.instancesAsked(in.IDs, in.Filters)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	if err != nil {
		return nil, err
	}
	out := &describeInstancesOutput{NextToken: next}
	for group := range together(part, func(i *instance) string { return i.reservationID }) {
		out.Reservations.Items = append(out.Reservations.Items, p.describeReservation(group))
	}
	return out, nil
}

// together yields runs of neighbours with the same key.
func together[T any](all []T, key func(T) string) func(yield func([]T) bool) {
	return func(yield func([]T) bool) {
		for start := 0; start < len(all); {
			end := start + 1
			for end < len(all) && key(all[end]) == key(all[start]) {
				end++
			}
			if !yield(all[start:end]) {
				return
			}
			start = end
		}
	}
}

// instancesAsked are the instances that ids and filters select, in order of their launch.
func (c *call) instancesAsked(ids []string, filters []filter) ([]*instance, error) {
	p := c.place()
	var all []*instance
	if len(ids) > 0 {
		found, err := c.findInstances(ids)
		if err != nil {
			return nil, err
		}
		all = slices.Compact(found)
	} else {
		all = slices.DeleteFunc(slices.Collect(c.server.instances(p.account, p.region)), func(i *instance) bool { return c.tooNew(i.created, i.Account, c.server.delays.EC2Consistency) })
	}
	return p.instanceFilters().keep(filters, func(i *instance) map[string]string { return p.tags[i.ID] }, all)
}

func (i *instance) describeCapacity() capacityDescription {
	d := capacityDescription{Preference: i.capacity}
	if i.reservedID != "" || i.reservedGroup != "" {
		d.Target = &capacityTarget{i.reservedID, i.reservedGroup}
	}
	return d
}

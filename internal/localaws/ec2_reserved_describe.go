package localaws

import "time"

type describeReservedInput struct {
	dryRun
	page
	IDs     []string `query:"CapacityReservationId"`
	Filters []filter `query:"Filter"`
}

type describeReservedOutput struct {
	Reservations set[reservedCapacity] `xml:"capacityReservationSet"`
	NextToken    string                `xml:"nextToken,omitempty"`
}

var reservedFilters = filterTable[reservedCapacity]{
	"availability-zone":       one(func(r reservedCapacity) string { return r.Zone }),
	"instance-match-criteria": one(func(r reservedCapacity) string { return r.Match }),
	"instance-platform":       one(func(r reservedCapacity) string { return r.Platform }),
	"instance-type":           one(func(r reservedCapacity) string { return r.Type }),
	"owner-id":                one(func(r reservedCapacity) string { return r.Owner }),
	"state":                   one(func(r reservedCapacity) string { return r.State }),
	"tenancy":                 one(func(r reservedCapacity) string { return r.Tenancy }),
}

func (s *Server) describeCapacityReservations(c *call, in *describeReservedInput) (*describeReservedOutput, error) {
	p := c.place()
	found, err := byID(in.IDs, p.reservations, func(id string) (*capacityReservation, error) {
		return p.reservations[id], present(p.reservations, id, "InvalidCapacityReservationId.NotFound", "capacity reservation")
	})
	if err != nil {
		return nil, err
	}
	var all []reservedCapacity
	for _, r := range found {
		all = append(all, p.describeReserved(r))
	}
	all, err = reservedFilters.keep(in.Filters, func(r reservedCapacity) map[string]string { return p.tags[r.ID] }, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 1, 1000, all)
	return &describeReservedOutput{setOf(part), next}, err
}

type describeHostsInput struct {
	page
	IDs     []string `query:"HostId"`
	Filters []filter `query:"Filter"`
}

type hostDescription struct {
	ID            string            `xml:"hostId"`
	AutoPlacement string            `xml:"autoPlacement"`
	Zone          string            `xml:"availabilityZone"`
	ZoneID        string            `xml:"availabilityZoneId"`
	State         string            `xml:"state"`
	Owner         string            `xml:"ownerId"`
	Properties    hostProperties    `xml:"hostProperties"`
	Instances     set[hostOccupant] `xml:"instances"`
	Recovery      string            `xml:"hostRecovery"`
	Allocated     time.Time         `xml:"allocationTime"`
	Tags          set[tag]          `xml:"tagSet"`
}

type hostProperties struct {
	Type   string `xml:"instanceType"`
	Family string `xml:"instanceFamily"`
}

type hostOccupant struct {
	ID    string `xml:"instanceId"`
	Type  string `xml:"instanceType"`
	Owner string `xml:"ownerId"`
}

type describeHostsOutput struct {
	Hosts     set[hostDescription] `xml:"hostSet"`
	NextToken string               `xml:"nextToken,omitempty"`
}

var hostFilters = filterTable[hostDescription]{
	"auto-placement":    one(func(h hostDescription) string { return h.AutoPlacement }),
	"availability-zone": one(func(h hostDescription) string { return h.Zone }),
	"instance-type":     one(func(h hostDescription) string { return h.Properties.Type }),
	"state":             one(func(h hostDescription) string { return h.State }),
}

func (p *ec2Place) describeHost(h *dedicatedHost) hostDescription {
	d := hostDescription{
		ID: h.id, AutoPlacement: "on", Zone: h.zone.name, ZoneID: h.zone.id, State: "available", Owner: p.account,
		Properties: hostProperties{h.kind, h.family}, Recovery: "off", Allocated: h.allocated, Tags: p.tagSet(h.id),
	}
	for _, i := range sorted(p.instances) {
		if i.hostID == h.id && i.State != "terminated" {
			d.Instances.Items = append(d.Instances.Items, hostOccupant{i.ID, i.kind.name, p.account})
		}
	}
	return d
}

func (s *Server) describeHosts(c *call, in *describeHostsInput) (*describeHostsOutput, error) {
	p := c.place()
	if err := in.notBoth(in.IDs, "hostIds"); err != nil {
		return nil, err
	}
	found, err := byID(in.IDs, p.hosts, func(id string) (*dedicatedHost, error) {
		if p.hosts[id] == nil {
			return nil, refuse("InvalidHostID.NotFound", "The specified Dedicated Host ID '%s' does not exist", id)
		}
		return p.hosts[id], nil
	})
	if err != nil {
		return nil, err
	}
	var all []hostDescription
	for _, h := range found {
		all = append(all, p.describeHost(h))
	}
	all, err = hostFilters.keep(in.Filters, func(h hostDescription) map[string]string { return p.tags[h.ID] }, all)
	if err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 500, all)
	return &describeHostsOutput{setOf(part), next}, err
}

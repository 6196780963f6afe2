package localaws

import "time"

// A dedicatedHost is a machine of AWS's that one account has to itself.
type dedicatedHost struct {
	id, kind, family string
	zone             availabilityZone
	allocated        time.Time
}

// A capacityReservation keeps room for instances of one type in one zone.
type capacityReservation struct {
	id, kind string
	zone     availabilityZone
	total    int64
	targeted bool // only for launches that name it
	created  time.Time
}

type allocateHostsInput struct {
	dryRun
	tagSpecs
	Zone        string  `query:"AvailabilityZone"`
	Type        string  `query:"InstanceType"`
	Quantity    *int64  `query:"Quantity"`
	ClientToken *string `query:"ClientToken"`
}

type allocateHostsOutput struct {
	IDs set[string] `xml:"hostIdSet"`
}

func (s *Server) allocateHosts(c *call, in *allocateHostsInput) (*allocateHostsOutput, error) {
	p := c.place()
	zone, err := pickZone(c.region, in.Zone, "")
	if err != nil {
		return nil, err
	}
	kind := instanceTypes()[in.Type]
	if kind == nil {
		return nil, refuse("InvalidParameterValue", "Invalid value '%s' for InstanceType.", in.Type)
	}
	tags, err := in.forTypes("dedicated-host")
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	return repeatable(c, in.ClientToken, func() (*allocateHostsOutput, error) {
		var out allocateHostsOutput
		for range valueOr(in.Quantity, 1) {
			h := &dedicatedHost{id: newID("h"), kind: kind.name, family: kind.family(), zone: zone, allocated: c.now}
			p.hosts[h.id] = h
			p.setTags(h.id, tags["dedicated-host"])
			out.IDs.Items = append(out.IDs.Items, h.id)
		}
		return &out, nil
	})
}

type releaseHostsInput struct {
	IDs []string `query:"HostId"`
}

type releaseHostsOutput struct {
	Released   set[string]       `xml:"successful"`
	Unreleased set[unsuccessful] `xml:"unsuccessful"`
}

func (s *Server) releaseHosts(c *call, in *releaseHostsInput) (*releaseHostsOutput, error) {
	p := c.place()
	for _, id := range in.IDs {
		if p.hosts[id] == nil {
			return nil, refuse("InvalidHostID.NotFound", "The specified Dedicated Host ID '%s' does not exist", id)
		}
		delete(p.hosts, id)
		delete(p.tags, id)
	}
	return &releaseHostsOutput{Released: setOf(in.IDs)}, nil
}

type createReservationInput struct {
	dryRun
	Type        string    `query:"InstanceType"`
	Platform    string    `query:"InstancePlatform"`
	Zone        string    `query:"AvailabilityZone"`
	Count       *int64    `query:"InstanceCount"`
	Match       *string   `query:"InstanceMatchCriteria"`
	ClientToken *string   `query:"ClientToken"`
	Tags        []tagSpec `query:"TagSpecifications"` // the one action that has the plural
}

type reservedCapacity struct {
	ID        string   `xml:"capacityReservationId"`
	Owner     string   `xml:"ownerId"`
	ARN       string   `xml:"capacityReservationArn"`
	Type      string   `xml:"instanceType"`
	Platform  string   `xml:"instancePlatform"`
	Zone      string   `xml:"availabilityZone"`
	ZoneID    string   `xml:"availabilityZoneId"`
	Tenancy   string   `xml:"tenancy"`
	Total     int64    `xml:"totalInstanceCount"`
	Available int64    `xml:"availableInstanceCount"`
	EBS       bool     `xml:"ebsOptimized"`
	Ephemeral bool     `xml:"ephemeralStorage"`
	State     string   `xml:"state"`
	Started   string   `xml:"startDate"`
	End       string   `xml:"endDateType"`
	Match     string   `xml:"instanceMatchCriteria"`
	Created   string   `xml:"createDate"`
	Kind      string   `xml:"reservationType"`
	Tags      set[tag] `xml:"tagSet"`
}

type createReservationOutput struct {
	Reservation reservedCapacity `xml:"capacityReservation"`
}

func (s *Server) createCapacityReservation(c *call, in *createReservationInput) (*createReservationOutput, error) {
	p := c.place()
	zone, err := pickZone(c.region, in.Zone, "")
	if err != nil {
		return nil, err
	}
	if instanceTypes()[in.Type] == nil {
		return nil, refuse("InvalidParameterValue", "Invalid value '%s' for InstanceType.", in.Type)
	}
	if in.Count == nil || *in.Count < 1 {
		return nil, missing("InstanceCount")
	}
	if in.Platform != "Linux/UNIX" {
		return nil, notHere("capacity reservations for %s", in.Platform)
	}
	tags, err := tagSpecs{in.Tags}.forTypes("capacity-reservation")
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	return repeatable(c, in.ClientToken, func() (*createReservationOutput, error) {
		r := &capacityReservation{
			id: newID("cr"), kind: in.Type, zone: zone, total: *in.Count,
			targeted: valueOr(in.Match, "open") == "targeted", created: c.now,
		}
		p.reservations[r.id] = r
		p.setTags(r.id, tags["capacity-reservation"])
		return &createReservationOutput{p.describeReserved(r)}, nil
	})
}

func (p *ec2Place) describeReserved(r *capacityReservation) reservedCapacity {
	d := reservedCapacity{
		ID: r.id, Owner: p.account, ARN: "arn:aws:ec2:" + p.region + ":" + p.account + ":capacity-reservation/" + r.id,
		Type: r.kind, Platform: "Linux/UNIX", Zone: r.zone.name, ZoneID: r.zone.id, Tenancy: "default", Total: r.total, Available: r.total - p.inReservation(r),
		State: "active", Started: ec2Time(r.created), End: "unlimited", Match: "open", Created: ec2Time(r.created), Kind: "default", Tags: p.tagSet(r.id),
	}
	if r.targeted {
		d.Match = "targeted"
	}
	return d
}

// inReservation is how many instances run in a reservation.
func (p *ec2Place) inReservation(r *capacityReservation) int64 {
	used := int64(0)
	for _, i := range p.instances {
		if i.reservedID == r.id && (i.State == "pending" || i.State == "running") {
			used++
		}
	}
	return used
}

type cancelReservationInput struct {
	dryRun
	ID string `query:"CapacityReservationId"`
}

func (s *Server) cancelCapacityReservation(c *call, in *cancelReservationInput) (*done, error) {
	p := c.place()
	if p.reservations[in.ID] == nil {
		return nil, refuse("InvalidCapacityReservationId.NotFound", "The capacity reservation '%s' does not exist", in.ID)
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	delete(p.reservations, in.ID)
	return succeeded, nil
}

// decideReserved checks the hosts and reservations that a launch names.
func (l *launchPlan) decideReserved(c *call, in *runInput) error {
	if p := in.Placement; p != nil && p.HostID != "" {
		h := c.place().hosts[p.HostID]
		switch {
		case h == nil:
			return refuse("InvalidHostID.NotFound", "The specified Dedicated Host ID '%s' does not exist", p.HostID)
		case h.family != l.kind.family():
			return refuse("InvalidHostConfiguration", "The specified Dedicated Host '%s' does not support instance type %s", p.HostID, l.kind.name)
		case h.zone != l.subnet.zone:
			return refuse("InvalidParameterValue", "The Dedicated Host '%s' is in availability zone %s, and subnet '%s' is not", p.HostID, h.zone.name, l.subnet.id)
		}
	}
	if in.Capacity == nil || in.Capacity.Target == nil || in.Capacity.Target.ID == "" {
		return nil
	}
	if in.Capacity.Preference != "" {
		return refuse("InvalidParameterCombination", "CapacityReservationPreference and CapacityReservationTarget can't both be specified.")
	}
	return l.decideReservation(c, in.Capacity.Target.ID)
}

func (l *launchPlan) decideReservation(c *call, id string) error {
	r := c.place().reservations[id]
	switch {
	case r == nil:
		return refuse("InvalidCapacityReservationId.NotFound", "The capacity reservation '%s' does not exist", id)
	case r.kind != l.kind.name || r.zone != l.subnet.zone:
		return refuse("InvalidParameterValue", "The attributes of the capacity reservation '%s' do not match those of the instance: it is for %s in %s", id, r.kind, r.zone.name)
	case c.place().inReservation(r) >= r.total:
		return refuse("ReservationCapacityExceeded", "The requested reservation does not have sufficient compatible and available capacity for this request.")
	}
	return nil
}

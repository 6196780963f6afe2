package localaws

type describeFleetsInput struct {
	dryRun
	page
	IDs     []string `query:"FleetId"`
	Filters []filter `query:"Filter"`
}

type fleetDescription struct {
	ID        string              `xml:"fleetId"`
	State     string              `xml:"fleetState"`
	Created   string              `xml:"createTime"`
	Token     string              `xml:"clientToken,omitempty"`
	Type      string              `xml:"type"`
	Activity  string              `xml:"activityStatus"`
	Fulfilled int64               `xml:"fulfilledCapacity"`
	OnDemand  int64               `xml:"fulfilledOnDemandCapacity"`
	Configs   set[fleetConfig]    `xml:"launchTemplateConfigs"`
	Capacity  *fleetCapacity      `xml:"targetCapacitySpecification"`
	Spot      *fleetOptions       `xml:"spotOptions"`
	Demand    *fleetOptions       `xml:"onDemandOptions"`
	Expires   bool                `xml:"terminateInstancesWithExpiration"`
	Replaces  bool                `xml:"replaceUnhealthyInstances"`
	Errors    set[fleetError]     `xml:"errorSet"`
	Instances set[fleetInstances] `xml:"fleetInstanceSet"`
	Tags      set[tag]            `xml:"tagSet"`
}

type describeFleetsOutput struct {
	Fleets    set[fleetDescription] `xml:"fleetSet"`
	NextToken string                `xml:"nextToken,omitempty"`
}

func (p *ec2Place) findFleet(id string) (*fleet, error) {
	if f := p.fleets[id]; f != nil {
		return f, nil
	}
	return nil, refuse("InvalidFleetId.NotFound", "The fleet ID '%s' does not exist", id)
}

var fleetFilters = filterTable[*fleet]{
	"fleet-state": one(func(f *fleet) string { return f.state }),
	"type":        one(func(*fleet) string { return "instant" }),
}

func (s *Server) describeFleets(c *call, in *describeFleetsInput) (*describeFleetsOutput, error) {
	p := c.place()
	all := []*fleet{}
	if len(in.IDs) > 0 { // fleets of type instant are only told of by their id
		var err error
		if all, err = byID(in.IDs, p.fleets, p.findFleet); err != nil {
			return nil, err
		}
	}
	all, err := fleetFilters.keep(in.Filters, nil, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 1, 1000, all)
	return &describeFleetsOutput{setFrom(part, p.describeFleet), next}, err
}

func (p *ec2Place) describeFleet(f *fleet) fleetDescription {
	in := f.asked
	d := fleetDescription{
		ID: f.id, State: f.state, Created: ec2Time(f.created), Token: valueOr(in.ClientToken, ""), Type: "instant", Activity: "fulfilled",
		Configs: setOf(in.Configs), Capacity: in.Capacity.split(), Spot: in.Spot, Demand: in.OnDemand, Expires: isTrue(in.Expiration),
		Errors: f.answer.Errors, Instances: f.answer.Instances, Tags: p.tagSet(f.id),
	}
	for _, group := range f.answer.Instances.Items {
		count := int64(len(group.IDs.Items))
		d.Fulfilled += count
		if group.Lifecycle == "on-demand" {
			d.OnDemand += count
		}
	}
	if d.Fulfilled < *d.Capacity.Total {
		d.Activity = "error"
	}
	return d
}

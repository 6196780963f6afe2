package localaws

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"
)

// A fleet is the record of a fleet of type instant: it launched once.
type fleet struct {
	id, state string
	created   time.Time
	asked     *createFleetInput
	answer    *createFleetOutput
}

type createFleetInput struct {
	dryRun
	tagSpecs
	Type        string         `query:"Type"`
	ClientToken *string        `query:"ClientToken"`
	Spot        *fleetOptions  `query:"SpotOptions"`
	OnDemand    *fleetOptions  `query:"OnDemandOptions"`
	Configs     []fleetConfig  `query:"LaunchTemplateConfigs"`
	Capacity    *fleetCapacity `query:"TargetCapacitySpecification"`
	Excess      *string        `query:"ExcessCapacityTerminationPolicy"`
	Expiration  *bool          `query:"TerminateInstancesWithExpiration"`
	Replace     *bool          `query:"ReplaceUnhealthyInstances"`
}

type fleetOptions struct {
	Allocation   *string `query:"AllocationStrategy" xml:"allocationStrategy"`
	Interruption *string `query:"InstanceInterruptionBehavior" xml:"instanceInterruptionBehavior"`
	Pools        *int64  `query:"InstancePoolsToUseCount" xml:"instancePoolsToUseCount"`
	SingleType   *bool   `query:"SingleInstanceType" xml:"singleInstanceType"`
	SingleZone   *bool   `query:"SingleAvailabilityZone" xml:"singleAvailabilityZone"`
	MinTarget    *int64  `query:"MinTargetCapacity" xml:"minTargetCapacity"`
	MaxPrice     *string `query:"MaxTotalPrice" xml:"maxTotalPrice"`
}

type fleetConfig struct {
	Template  *templateRequest `query:"LaunchTemplateSpecification" xml:"launchTemplateSpecification"`
	Overrides []fleetOverride  `query:"Overrides" xml:"overrides>item,omitempty"`
}

type fleetOverride struct {
	Type     string            `query:"InstanceType" xml:"instanceType,omitempty"`
	MaxPrice string            `query:"MaxPrice" xml:"maxPrice,omitempty"`
	SubnetID string            `query:"SubnetId" xml:"subnetId,omitempty"`
	Zone     string            `query:"AvailabilityZone" xml:"availabilityZone,omitempty"`
	Weight   *float64          `query:"WeightedCapacity" xml:"weightedCapacity"`
	Priority *float64          `query:"Priority" xml:"priority"`
	Placing  *placementRequest `query:"Placement" xml:"placement"`
	ImageID  string            `query:"ImageId" xml:"imageId,omitempty"`
}

type fleetCapacity struct {
	Total    *int64  `query:"TotalTargetCapacity" xml:"totalTargetCapacity"`
	OnDemand *int64  `query:"OnDemandTargetCapacity" xml:"onDemandTargetCapacity"`
	Spot     *int64  `query:"SpotTargetCapacity" xml:"spotTargetCapacity"`
	Default  *string `query:"DefaultTargetCapacityType" xml:"defaultTargetCapacityType"`
}

type templateAndOverrides struct {
	Template  templateRequest `xml:"launchTemplateSpecification"`
	Overrides fleetOverride   `xml:"overrides"`
}

type fleetError struct {
	From      templateAndOverrides `xml:"launchTemplateAndOverrides"`
	Lifecycle string               `xml:"lifecycle"`
	Code      string               `xml:"errorCode"`
	Message   string               `xml:"errorMessage"`
}

type fleetInstances struct {
	From      templateAndOverrides `xml:"launchTemplateAndOverrides"`
	Lifecycle string               `xml:"lifecycle"`
	IDs       set[string]          `xml:"instanceIds"`
	Type      string               `xml:"instanceType"`
}

type createFleetOutput struct {
	FleetID   string              `xml:"fleetId"`
	Errors    set[fleetError]     `xml:"errorSet"`
	Instances set[fleetInstances] `xml:"fleetInstanceSet"`
}

func (s *Server) createFleet(c *call, in *createFleetInput) (*createFleetOutput, error) {
	if in.Type != "instant" {
		return nil, notHere("fleets of other types than instant")
	}
	if len(in.Configs) == 0 {
		return nil, missing("LaunchTemplateConfigs")
	}
	if in.Capacity == nil || in.Capacity.Total == nil {
		return nil, missing("TargetCapacitySpecification")
	}
	if err := in.checkOptions(); err != nil {
		return nil, err
	}
	tags, err := in.forTypes("fleet", "instance", "spot-instances-request", "volume")
	if err != nil {
		return nil, err
	}
	for _, config := range in.Configs {
		if config.Template == nil {
			return nil, missing("LaunchTemplateSpecification")
		}
		if _, err := c.place().findTemplateVersion(config.Template); err != nil {
			return nil, err
		}
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	return repeatable(c, in.ClientToken, func() (*createFleetOutput, error) {
		f := &fleet{id: newID("fleet"), state: "active", created: c.now, asked: in}
		f.answer = &createFleetOutput{FleetID: f.id}
		f.fill(c, in, tags)
		c.place().fleets[f.id] = f
		c.place().setTags(f.id, tags["fleet"])
		return f.answer, nil
	})
}

// A candidate is one way in which a fleet may launch: a template and an override.
type candidate struct {
	template *templateRequest
	override fleetOverride
}

// candidates are in order of preference: by priority, then by price where the cheapest is asked for.
func (in *createFleetInput) candidates(spot bool) []candidate {
	var all []candidate
	for _, config := range in.Configs {
		if len(config.Overrides) == 0 {
			all = append(all, candidate{config.Template, fleetOverride{}})
		}
		for _, o := range config.Overrides {
			all = append(all, candidate{config.Template, o})
		}
	}
	options := in.OnDemand
	if spot {
		options = in.Spot
	}
	strategy := "lowest-price"
	if options != nil {
		strategy = valueOr(options.Allocation, strategy)
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		if strategy == "prioritized" || strategy == "capacity-optimized-prioritized" {
			return cmp.Compare(valueOr(a.override.Priority, 1e9), valueOr(b.override.Priority, 1e9))
		}
		return cmp.Compare(a.price(), b.price())
	})
	return all
}

func (o candidate) price() float64 {
	t := instanceTypes()[o.override.Type]
	if t == nil {
		return 1e9
	}
	price, err := strconv.ParseFloat(t.spotPrice(0), 64)
	if err != nil {
		return 1e9
	}
	return price
}

// fill launches what the fleet is for, from the first candidate that EC2 accepts.
func (f *fleet) fill(c *call, in *createFleetInput, tags map[string]map[string]string) {
	all := in.Capacity.split()
	f.launch(c, in, "on-demand", *all.OnDemand, tags)
	f.launch(c, in, "spot", *all.Spot, tags)
}

// split tells all of what is asked for: the default type has what the others leave of the total.
func (f *fleetCapacity) split() *fleetCapacity {
	onDemand, spot, standard := valueOr(f.OnDemand, 0), valueOr(f.Spot, 0), valueOr(f.Default, "on-demand")
	if rest := *f.Total - onDemand - spot; standard == "spot" {
		spot += rest
	} else {
		onDemand += rest
	}
	return &fleetCapacity{f.Total, &onDemand, &spot, &standard}
}

func (f *fleet) launch(c *call, in *createFleetInput, lifecycle string, count int64, tags map[string]map[string]string) {
	if count <= 0 {
		return
	}
	for _, o := range in.candidates(lifecycle == "spot") {
		from := templateAndOverrides{*o.template, o.override}
		started, err := o.launch(c, lifecycle, count, tags)
		if err != nil {
			failed := fleetError{From: from, Lifecycle: lifecycle, Code: "InternalError", Message: err.Error()}
			if refused := (*apiError)(nil); errors.As(err, &refused) {
				failed.Code, failed.Message = refused.code, refused.message
			}
			f.answer.Errors.Items = append(f.answer.Errors.Items, failed)
			continue
		}
		from.Overrides.Type = started[0].kind.name
		group := fleetInstances{From: from, Lifecycle: lifecycle, Type: started[0].kind.name}
		for _, i := range started {
			c.place().tags[i.ID] = withTag(c.place().tags[i.ID], "aws:ec2:fleet-id", f.id)
			group.IDs.Items = append(group.IDs.Items, i.ID)
		}
		f.answer.Instances.Items = append(f.answer.Instances.Items, group)
		return
	}
}

func withTag(tags map[string]string, key, value string) map[string]string {
	next := maps.Clone(tags)
	if next == nil {
		next = map[string]string{}
	}
	next[key] = value
	return next
}

func (o candidate) launch(c *call, lifecycle string, count int64, tags map[string]map[string]string) ([]*instance, error) {
	in := &runInput{MinCount: &count, MaxCount: &count, SubnetID: o.override.SubnetID, Template: o.template}
	in.Type, in.ImageID = o.override.Type, o.override.ImageID
	in.Placement = o.override.Placing
	if o.override.Zone != "" {
		place := valueOr(in.Placement, placementRequest{})
		place.Zone = o.override.Zone
		in.Placement = &place
	}
	if lifecycle == "spot" {
		in.Market = &marketRequest{Type: "spot", Spot: &spotOptions{MaxPrice: o.override.MaxPrice}}
	}
	for _, kind := range []string{"instance", "spot-instances-request", "volume"} {
		spec := tagSpec{ResourceType: kind}
		for _, k := range slices.Sorted(maps.Keys(tags[kind])) {
			spec.Tags = append(spec.Tags, tag{k, tags[kind][k]})
		}
		if len(spec.Tags) > 0 {
			in.TagSpecifications = append(in.TagSpecifications, spec)
		}
	}
	if err := c.applyTemplate(in); err != nil {
		return nil, err
	}
	plan, err := c.planLaunch(in)
	if err != nil {
		return nil, err
	}
	return c.place().launch(plan)
}

type deleteFleetsInput struct {
	dryRun
	IDs       []string `query:"FleetId"`
	Terminate *bool    `query:"TerminateInstances"`
}

type deletedFleet struct {
	Current  string `xml:"currentFleetState"`
	Previous string `xml:"previousFleetState"`
	ID       string `xml:"fleetId"`
}

type failedFleet struct {
	Error itemError `xml:"error"`
	ID    string    `xml:"fleetId"`
}

type deleteFleetsOutput struct {
	Deleted set[deletedFleet] `xml:"successfulFleetDeletionSet"`
	Failed  set[failedFleet]  `xml:"unsuccessfulFleetDeletionSet"`
}

func (s *Server) deleteFleets(c *call, in *deleteFleetsInput) (*deleteFleetsOutput, error) {
	if in.Terminate == nil {
		return nil, missing("TerminateInstances")
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	p := c.place()
	var out deleteFleetsOutput
	for _, id := range in.IDs {
		f := p.fleets[id]
		switch {
		case f == nil:
			out.Failed.Items = append(out.Failed.Items, failedFleet{itemError{"fleetIdDoesNotExist", "The fleet ID '" + id + "' does not exist"}, id})
		case !*in.Terminate:
			out.Failed.Items = append(out.Failed.Items, failedFleet{itemError{"fleetNotInDeletableState", "Instant fleets can only be deleted together with their instances."}, id})
		default:
			out.Deleted.Items = append(out.Deleted.Items, deletedFleet{"deleted_terminating", f.state, id})
			f.delete(c)
		}
	}
	return &out, nil
}

func (f *fleet) delete(c *call) {
	p := c.place()
	for _, group := range f.answer.Instances.Items {
		for _, id := range group.IDs.Items {
			if i := p.instances[id]; i != nil && i.State != "terminated" && i.State != "shutting-down" {
				i.terminate("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown", userInitiated(c.now))
			}
		}
	}
	f.state = "deleted"
	delete(p.fleets, f.id)
	delete(p.tags, f.id)
}

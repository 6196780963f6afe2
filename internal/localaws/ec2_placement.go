package localaws

import "slices"

// A placementGroup says how near to one another its instances run.
type placementGroup struct {
	id, name, strategy, spread string
	partitions                 int64
}

type createPlacementInput struct {
	dryRun
	tagSpecs
	Name       string  `query:"GroupName"`
	Strategy   string  `query:"Strategy"`
	Partitions *int64  `query:"PartitionCount"`
	Spread     *string `query:"SpreadLevel"`
}

type placementGroupDescription struct {
	Name       string   `xml:"groupName"`
	State      string   `xml:"state"`
	Strategy   string   `xml:"strategy"`
	Partitions int64    `xml:"partitionCount,omitempty"`
	ID         string   `xml:"groupId"`
	Tags       set[tag] `xml:"tagSet"`
	ARN        string   `xml:"groupArn"`
	Spread     string   `xml:"spreadLevel,omitempty"`
}

type createPlacementOutput struct {
	Group placementGroupDescription `xml:"placementGroup"`
}

func (p *ec2Place) describePlacement(g *placementGroup) placementGroupDescription {
	return placementGroupDescription{
		Name: g.name, State: "available", Strategy: g.strategy, Partitions: g.partitions, ID: g.id, Tags: p.tagSet(g.id), Spread: g.spread,
		ARN: "arn:aws:ec2:" + p.region + ":" + p.account + ":placement-group/" + g.name,
	}
}

func (s *Server) createPlacementGroup(c *call, in *createPlacementInput) (*createPlacementOutput, error) {
	p := c.place()
	if in.Name == "" {
		return nil, missing("groupName")
	}
	if len(in.Name) > 255 {
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter groupName is invalid. It has more than 255 characters.", in.Name)
	}
	if p.placementGroups[in.Name] != nil {
		return nil, refuse("InvalidPlacementGroup.Duplicate", "The placement group '%s' already exists.", in.Name)
	}
	g := &placementGroup{id: newID("pg"), name: in.Name, strategy: in.Strategy, partitions: valueOr(in.Partitions, 0), spread: valueOr(in.Spread, "")}
	if err := g.check(in); err != nil {
		return nil, err
	}
	tags, err := in.forTypes("placement-group")
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	p.placementGroups[g.name] = g
	p.setTags(g.id, tags["placement-group"])
	return &createPlacementOutput{p.describePlacement(g)}, nil
}

func (g *placementGroup) check(in *createPlacementInput) error {
	if g.strategy == "" {
		g.strategy = "cluster"
		if in.Partitions != nil {
			g.strategy = "partition"
		}
	}
	switch {
	case in.Partitions != nil && g.strategy != "partition":
		return refuse("InvalidParameterCombination", "The parameter partitionCount is only for placement groups with the strategy partition.")
	case in.Partitions != nil && (g.partitions < 1 || g.partitions > 7):
		return refuse("InvalidParameterValue", "Value (%d) for parameter partitionCount is invalid. It must be between 1 and 7.", g.partitions)
	case in.Spread != nil && g.strategy != "spread":
		return refuse("InvalidParameterCombination", "The parameter spreadLevel is only for placement groups with the strategy spread.")
	}
	if g.strategy == "partition" && in.Partitions == nil {
		g.partitions = 2
	}
	if g.strategy == "spread" && in.Spread == nil {
		g.spread = "rack"
	}
	return nil
}

// placementGroup finds a group by its name.
func (p *ec2Place) placementGroup(name string) (*placementGroup, error) {
	if g := p.placementGroups[name]; g != nil {
		return g, nil
	}
	return nil, refuse("InvalidPlacementGroup.Unknown", "The Placement Group '%s' is unknown.", name)
}

type placementNameInput struct {
	dryRun
	Name string `query:"GroupName"`
}

func (s *Server) deletePlacementGroup(c *call, in *placementNameInput) (*done, error) {
	p := c.place()
	g, err := p.placementGroup(in.Name)
	if err != nil {
		return nil, err
	}
	for _, i := range p.instances {
		if i.options.group == g && i.State != "terminated" {
			return nil, refuse("InvalidPlacementGroup.InUse", "The placement group '%s' is in use and may not be deleted.", g.name)
		}
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	delete(p.placementGroups, g.name)
	delete(p.tags, g.id)
	return succeeded, nil
}

type describePlacementInput struct {
	dryRun
	Names   []string `query:"GroupName"`
	IDs     []string `query:"GroupId"`
	Filters []filter `query:"Filter"`
}

type describePlacementOutput struct {
	Groups set[placementGroupDescription] `xml:"placementGroupSet"`
}

var placementFilters = filterTable[placementGroupDescription]{
	"group-arn":    one(func(g placementGroupDescription) string { return g.ARN }),
	"group-name":   one(func(g placementGroupDescription) string { return g.Name }),
	"spread-level": one(func(g placementGroupDescription) string { return g.Spread }),
	"state":        one(func(g placementGroupDescription) string { return g.State }),
	"strategy":     one(func(g placementGroupDescription) string { return g.Strategy }),
}

func (s *Server) describePlacementGroups(c *call, in *describePlacementInput) (*describePlacementOutput, error) {
	p := c.place()
	for _, name := range in.Names {
		if _, err := p.placementGroup(name); err != nil {
			return nil, err
		}
	}
	var all []placementGroupDescription
	for _, g := range sorted(p.placementGroups) {
		if (len(in.Names) == 0 || slices.Contains(in.Names, g.name)) && (len(in.IDs) == 0 || slices.Contains(in.IDs, g.id)) {
			all = append(all, p.describePlacement(g))
		}
	}
	all, err := placementFilters.keep(in.Filters, func(g placementGroupDescription) map[string]string { return p.tags[g.ID] }, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	return &describePlacementOutput{setOf(all)}, nil
}

package localaws

import (
	"slices"
	"strings"
)

// An availabilityZone has a name, which each account sees in its own way on
// AWS, and an id, which all see alike.
type availabilityZone struct{ name, id string }

// regionZones has the letters of the zones that today's new accounts see, and the prefix of their ids.
var regionZones = map[string]struct{ letters, ids string }{
	"af-south-1":     {"abc", "afs1"},
	"ap-east-1":      {"abc", "ape1"},
	"ap-northeast-1": {"acd", "apne1"},
	"ap-northeast-2": {"abcd", "apne2"},
	"ap-northeast-3": {"abc", "apne3"},
	"ap-south-1":     {"abc", "aps1"},
	"ap-southeast-1": {"abc", "apse1"},
	"ap-southeast-2": {"abc", "apse2"},
	"ca-central-1":   {"abd", "cac1"},
	"eu-central-1":   {"abc", "euc1"},
	"eu-north-1":     {"abc", "eun1"},
	"eu-south-1":     {"abc", "eus1"},
	"eu-west-1":      {"abc", "euw1"},
	"eu-west-2":      {"abc", "euw2"},
	"eu-west-3":      {"abc", "euw3"},
	"me-south-1":     {"abc", "mes1"},
	"sa-east-1":      {"abc", "sae1"},
	"us-east-1":      {"abcdef", "use1"},
	"us-east-2":      {"abc", "use2"},
	"us-west-1":      {"ac", "usw1"},
	"us-west-2":      {"abcd", "usw2"},
}

// zonesOf are a region's zones in order of their names.
func zonesOf(region string) []availabilityZone {
	of, known := regionZones[region]
	if !known {
		of.letters, of.ids = "abc", strings.ReplaceAll(region, "-", "")
	}
	var zones []availabilityZone
	for n, letter := range of.letters {
		zones = append(zones, availabilityZone{region + string(letter), of.ids + "-az" + number(n+1)})
	}
	return zones
}

// pickZone finds the zone by its name or id; without either it is the region's first.
func pickZone(region, name, id string) (availabilityZone, error) {
	zones := zonesOf(region)
	if name == "" && id == "" {
		return zones[0], nil
	}
	for _, z := range zones {
		if (name == "" || z.name == name) && (id == "" || z.id == id) {
			return z, nil
		}
	}
	if name == "" {
		name = id
	}
	var names []string
	for _, z := range zones {
		names = append(names, z.name)
	}
	return availabilityZone{}, refuse("InvalidParameterValue",
		"Value (%s) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: %s.", name, strings.Join(names, ", "))
}

type describeZonesInput struct {
	dryRun
	ZoneNames []string `query:"ZoneName"`
	ZoneIDs   []string `query:"ZoneId"`
	All       *bool    `query:"AllAvailabilityZones"`
	Filters   []filter `query:"Filter"`
}

type zoneDescription struct {
	OptIn       string      `xml:"optInStatus"`
	Messages    set[string] `xml:"messageSet"`
	Region      string      `xml:"regionName"`
	Name        string      `xml:"zoneName"`
	ID          string      `xml:"zoneId"`
	Group       string      `xml:"groupName"`
	BorderGroup string      `xml:"networkBorderGroup"`
	Type        string      `xml:"zoneType"`
	State       string      `xml:"zoneState"`
}

type describeZonesOutput struct {
	Zones set[zoneDescription] `xml:"availabilityZoneInfo"`
}

var zoneFilters = filterTable[zoneDescription]{
	"group-name":    one(func(z zoneDescription) string { return z.Group }),
	"opt-in-status": one(func(z zoneDescription) string { return z.OptIn }),
	"region-name":   one(func(z zoneDescription) string { return z.Region }),
	"state":         one(func(z zoneDescription) string { return z.State }),
	"zone-id":       one(func(z zoneDescription) string { return z.ID }),
	"zone-name":     one(func(z zoneDescription) string { return z.Name }),
	"zone-type":     one(func(z zoneDescription) string { return z.Type }),
}

func (s *Server) describeZones(c *call, in *describeZonesInput) (*describeZonesOutput, error) {
	var all []zoneDescription
	for _, z := range zonesOf(c.region) {
		all = append(all, zoneDescription{
			OptIn: "opt-in-not-required", Region: c.region, Name: z.name, ID: z.id,
			Group: c.region + "-zg-1", BorderGroup: c.region, Type: "availability-zone", State: "available",
		})
	}
	asked := []struct {
		names []string
		of    func(zoneDescription) string
	}{
		{in.ZoneNames, func(z zoneDescription) string { return z.Name }},
		{in.ZoneIDs, func(z zoneDescription) string { return z.ID }},
	}
	for _, a := range asked {
		if len(a.names) == 0 {
			continue
		}
		for _, name := range a.names {
			if !slices.ContainsFunc(all, func(z zoneDescription) bool { return a.of(z) == name }) {
				return nil, refuse("InvalidParameterValue", "Invalid availability zone: [%s]", name)
			}
		}
		all = slices.DeleteFunc(all, func(z zoneDescription) bool { return !slices.Contains(a.names, a.of(z)) })
	}
	all, err := zoneFilters.keep(in.Filters, nil, all)
	if err != nil {
		return nil, err
	}
	return &describeZonesOutput{setOf(all)}, in.check()
}

type describeRegionsInput struct {
	dryRun
	Names   []string `query:"RegionName"`
	All     *bool    `query:"AllRegions"`
	Filters []filter `query:"Filter"`
}

type regionDescription struct {
	OptIn    string `xml:"optInStatus"`
	Name     string `xml:"regionName"`
	Endpoint string `xml:"regionEndpoint"`
}

type describeRegionsOutput struct {
	Regions set[regionDescription] `xml:"regionInfo"`
}

var regionFilters = filterTable[regionDescription]{
	"endpoint":      one(func(r regionDescription) string { return r.Endpoint }),
	"opt-in-status": one(func(r regionDescription) string { return r.OptIn }),
	"region-name":   one(func(r regionDescription) string { return r.Name }),
}

// optInRegions must be enabled by each account before it can use them.
var optInRegions = []string{"af-south-1", "ap-east-1", "eu-south-1", "me-south-1"}

func (s *Server) describeRegions(_ *call, in *describeRegionsInput) (*describeRegionsOutput, error) {
	var all []regionDescription
	for _, name := range s.regions {
		r := regionDescription{"opt-in-not-required", name, "ec2." + name + ".amazonaws.com"}
		if slices.Contains(optInRegions, name) {
			r.OptIn = "opted-in"
		}
		all = append(all, r)
	}
	for _, name := range in.Names {
		if !slices.Contains(s.regions, name) {
			return nil, refuse("InvalidParameterValue", "Invalid region: %s", name)
		}
	}
	if len(in.Names) > 0 {
		all = slices.DeleteFunc(all, func(r regionDescription) bool { return !slices.Contains(in.Names, r.Name) })
	}
	all, err := regionFilters.keep(in.Filters, nil, all)
	if err != nil {
		return nil, err
	}
	return &describeRegionsOutput{setOf(all)}, in.check()
}

type describeAccountAttributesInput struct {
	dryRun
	Names []string `query:"AttributeName"`
}

type accountAttribute struct {
	Name   string                     `xml:"attributeName"`
	Values set[accountAttributeValue] `xml:"attributeValueSet"`
}

type accountAttributeValue struct {
	Value string `xml:"attributeValue"`
}

type describeAccountAttributesOutput struct {
	Attributes set[accountAttribute] `xml:"accountAttributeSet"`
}

func (s *Server) describeAccountAttributes(c *call, in *describeAccountAttributesInput) (*describeAccountAttributesOutput, error) {
	defaultVPC := "none"
	if v := c.place().defaultVPC(); v != nil {
		defaultVPC = v.id
	}
	values := [][2]string{
		{"supported-platforms", "VPC"}, {"vpc-max-security-groups-per-interface", "5"}, {"max-elastic-ips", "5"},
		{"max-instances", "20"}, {"vpc-max-elastic-ips", "5"}, {"default-vpc", defaultVPC},
	}
	var out describeAccountAttributesOutput
	for _, v := range values {
		if len(in.Names) == 0 || slices.Contains(in.Names, v[0]) {
			out.Attributes.Items = append(out.Attributes.Items, accountAttribute{v[0], setOf([]accountAttributeValue{{v[1]}})})
		}
	}
	for _, name := range in.Names {
		if !slices.ContainsFunc(values, func(v [2]string) bool { return v[0] == name }) {
			return nil, refuse("InvalidParameterValue", "Value (%s) for parameter attributeName is invalid. Unknown attribute.", name)
		}
	}
	return &out, in.check()
}

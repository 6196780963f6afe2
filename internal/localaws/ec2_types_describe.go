package localaws

import (
	"slices"
	"strings"
)

// findTypes are the types asked for; those that do not exist are refused by name.
func findTypes(names []string) ([]*instanceType, error) {
	if len(names) == 0 {
		return sorted(instanceTypes()), nil
	}
	var found []*instanceType
	var unknown []string
	for _, name := range names {
		if t := instanceTypes()[name]; t != nil {
			found = append(found, t)
		} else {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return nil, refuse("InvalidInstanceType", "The following supplied instance types do not exist: [%s]", strings.Join(unknown, ", "))
	}
	return found, nil
}

type describeTypesInput struct {
	dryRun
	page
	Types   []string `query:"InstanceType"`
	Filters []filter `query:"Filter"`
}

type describeTypesOutput struct {
	Types     set[instanceTypeDescription] `xml:"instanceTypeSet"`
	NextToken string                       `xml:"nextToken,omitempty"`
}

// typeFilters compare fields of the table as they stand, yes and no as true and false.
var typeFilters = func() filterTable[*instanceType] {
	table := filterTable[*instanceType]{
		"instance-storage-supported": one(func(t *instanceType) string { return boolWord(t.text("storage") != "") }),
		"auto-recovery-supported":    one(func(t *instanceType) string { return boolWord(!t.yes("baremetal")) }),
		"dedicated-hosts-supported":  one(func(t *instanceType) string { return boolWord(!t.yes("burstable")) }),
		"network-info.efa-supported": one(func(*instanceType) string { return "false" }),
	}
	for name, field := range map[string]string{
		"bare-metal": "baremetal", "burstable-performance-supported": "burstable", "current-generation": "current",
		"free-tier-eligible": "freetier", "hibernation-supported": "hibernation", "network-info.ipv6-supported": "ipv6ok",
	} {
		table[name] = one(func(t *instanceType) string { return boolWord(t.yes(field)) })
	}
	for name, field := range map[string]string{
		"processor-info.supported-architecture": "architectures", "supported-boot-mode": "boot",
		"supported-root-device-type": "root", "supported-usage-class": "usage", "supported-virtualization-type": "virtualization",
		"ebs-info.ebs-optimized-support": "ebsoptimized", "ebs-info.encryption-support": "ebsencryption", "ebs-info.nvme-support": "ebsnvme",
		"hypervisor": "hypervisor", "instance-type": "type", "memory-info.size-in-mib": "memory",
		"network-info.ena-support": "ena", "network-info.network-performance": "network",
		"network-info.maximum-network-interfaces": "interfaces", "network-info.ipv4-addresses-per-interface": "ipv4",
		"processor-info.sustained-clock-speed-in-ghz": "clock", "nitro-enclaves-support": "enclaves",
		"vcpu-info.default-vcpus": "vcpus", "vcpu-info.default-cores": "cores", "vcpu-info.default-threads-per-core": "threads",
	} {
		table[name] = func(t *instanceType) []string { return t.list(field) }
	}
	return table
}()

func (s *Server) describeInstanceTypes(_ *call, in *describeTypesInput) (*describeTypesOutput, error) {
	if err := in.notBoth(in.Types, "instanceTypes"); err != nil {
		return nil, err
	}
	all, err := findTypes(in.Types)
	if err != nil {
		return nil, err
	}
	if all, err = typeFilters.keep(in.Filters, nil, all); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	if in.MaxResults == nil && len(in.Types) == 0 {
		hundred := int64(100)
		in.MaxResults = &hundred
	}
	part, next, err := paged(in.page, 5, 100, all)
	return &describeTypesOutput{setFrom(part, describeInstanceType), next}, err
}

type describeOfferingsInput struct {
	dryRun
	page
	LocationType *string  `query:"LocationType"`
	Filters      []filter `query:"Filter"`
}

type typeOffering struct {
	Type         string `xml:"instanceType"`
	LocationType string `xml:"locationType"`
	Location     string `xml:"location"`
}

type describeOfferingsOutput struct {
	Offerings set[typeOffering] `xml:"instanceTypeOfferingSet"`
	NextToken string            `xml:"nextToken,omitempty"`
}

var offeringFilters = filterTable[typeOffering]{
	"instance-type": one(func(o typeOffering) string { return o.Type }),
	"location":      one(func(o typeOffering) string { return o.Location }),
}

func (s *Server) describeInstanceTypeOfferings(c *call, in *describeOfferingsInput) (*describeOfferingsOutput, error) {
	kind := valueOr(in.LocationType, "region")
	if !slices.Contains([]string{"region", "availability-zone", "availability-zone-id"}, kind) {
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter locationType is invalid.", kind)
	}
	var all []typeOffering
	for _, t := range sorted(instanceTypes()) {
		if kind == "region" {
			all = append(all, typeOffering{t.name, kind, c.region})
			continue
		}
		for _, z := range zonesOf(c.region) {
			location := z.name
			if kind == "availability-zone-id" {
				location = z.id
			}
			if t.offeredIn(z) {
				all = append(all, typeOffering{t.name, kind, location})
			}
		}
	}
	all, err := offeringFilters.keep(in.Filters, nil, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &describeOfferingsOutput{setOf(part), next}, err
}

type spotPricesInput struct {
	dryRun
	page
	Types    []string `query:"InstanceType"`
	Products []string `query:"ProductDescription"`
	Zone     string   `query:"AvailabilityZone"`
	ZoneID   string   `query:"AvailabilityZoneId"`
	Start    *string  `query:"StartTime"`
	End      *string  `query:"EndTime"`
	Filters  []filter `query:"Filter"`
}

type spotPrice struct {
	Zone    string `xml:"availabilityZone"`
	ZoneID  string `xml:"availabilityZoneId"`
	Type    string `xml:"instanceType"`
	Product string `xml:"productDescription"`
	Price   string `xml:"spotPrice"`
	Time    string `xml:"timestamp"`
}

type spotPricesOutput struct {
	Prices    set[spotPrice] `xml:"spotPriceHistorySet"`
	NextToken string         `xml:"nextToken"`
}

var spotPriceFilters = filterTable[spotPrice]{
	"availability-zone":   one(func(p spotPrice) string { return p.Zone }),
	"instance-type":       one(func(p spotPrice) string { return p.Type }),
	"product-description": one(func(p spotPrice) string { return p.Product }),
	"spot-price":          one(func(p spotPrice) string { return p.Price }),
}

// describeSpotPriceHistory has one price for each type and zone, in proportion to the type's size.
func (s *Server) describeSpotPriceHistory(c *call, in *spotPricesInput) (*spotPricesOutput, error) {
	types, err := findTypes(in.Types)
	if err != nil {
		return nil, err
	}
	products := in.Products
	if len(products) == 0 {
		products = []string{"Linux/UNIX"}
	}
	var all []spotPrice
	for _, t := range types {
		for n, z := range zonesOf(c.region) {
			if !t.offeredIn(z) || in.Zone != "" && z.name != in.Zone || in.ZoneID != "" && z.id != in.ZoneID {
				continue
			}
			for _, product := range products {
				all = append(all, spotPrice{z.name, z.id, t.name, product, t.spotPrice(n), ec2Time(c.now)})
			}
		}
	}
	if all, err = spotPriceFilters.keep(in.Filters, nil, all); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 1, 1000, all)
	return &spotPricesOutput{setOf(part), next}, err
}

package amazonlinux

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	hostARN   = regexp.MustCompile(`^arn:aws[a-z-]*:resource-groups:[a-z0-9-]+:\d{12}:group/.+$`)
	awsZone   = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-\d+[a-z]$|^[a-z]{2,}(-[a-z]+)+-\d+(-[a-z0-9]+)+-\d+[a-z]$`)
	burstable = regexp.MustCompile(`^t\d[a-z]*\.`)
)

func (c *RunConfig) check(r *report) {
	r.unless(c.InstanceType == "" || typeName.MatchString(c.InstanceType), "instance_type", c.InstanceType,
		`a type's name, such as "t3.small"`)
	r.typeNames("instance_types", c.InstanceTypes)
	r.oneGiven("the type", option{"instance_type", c.InstanceType != ""}, option{"instance_types", len(c.InstanceTypes) > 0})
	c.MetadataOptions.check(r)
	c.checkPlacement(r)
	c.checkReservation(r)
	r.oneOf("shutdown_behavior", c.ShutdownBehavior, terminate, stopInstead)
	if c.DisableStopInstance && c.ShutdownBehavior == terminate {
		r.addf(`disable_stop_instance: a guest that shuts itself down would be terminated, and its disk with it; set shutdown_behavior = "stop" too`)
	}
	r.unless(c.InstanceTTL >= minInstanceTTL, "instance_ttl", c.InstanceTTL, "a duration of 10m or more")
	r.unless(c.SSMTimeout > 0, "ssm_timeout", c.SSMTimeout, "a duration, such as 10m")
	r.unless(c.SSMTransferSessions >= 1 && c.SSMTransferSessions <= maxTransferSessions, "ssm_transfer_sessions", c.SSMTransferSessions, "1 to 16")
	for i, t := range c.RunVolumeTag {
		r.unless((t.Name == "") != (t.Key == ""), fmt.Sprintf("run_volume_tag[%d]", i), cmp.Or(t.Name, t.Key), "name, or key, and value")
	}
	if c.InstanceTTL >= minInstanceTTL && c.SSMTimeout > c.InstanceTTL {
		r.addf("ssm_timeout: %s is longer than instance_ttl, %s; make instance_ttl the longer one", c.SSMTimeout, c.InstanceTTL)
	}
}

// typeNames reports the names of a list that can't be instance types.
func (r *report) typeNames(option string, names []string) {
	for i, name := range names {
		at := fmt.Sprintf("%s[%d]", option, i)
		r.unless(typeName.MatchString(name), at, name, `a type's name, such as "t3.small"`)
		if slices.Contains(names[:i], name) {
			r.addf("%s: %s is in the list twice; delete one of them", at, name)
		}
	}
}

func (c *RunConfig) checkPlacement(r *report) {
	p := &c.Placement
	r.oneOf("tenancy", c.Tenancy, "default", "dedicated", tenancyHost)
	r.oneOf("placement.tenancy", p.Tenancy, "default", "dedicated", tenancyHost)
	r.oneGiven("the tenancy", option{"tenancy", c.Tenancy != ""}, option{"placement.tenancy", p.Tenancy != ""})
	r.id("placement.host_id", p.HostID, "h")
	r.unless(p.HostResourceGroupARN == "" || hostARN.MatchString(p.HostResourceGroupARN), "placement.host_resource_group_arn",
		p.HostResourceGroupARN, "a resource group's ARN")
	r.oneGiven("the host", option{"placement.host_id", p.HostID != ""}, option{"placement.host_resource_group_arn", p.HostResourceGroupARN != ""})
	given := c.tenancy()
	if (p.HostID != "" || p.HostResourceGroupARN != "") && given != tenancyHost && given != "" {
		r.addf(`placement: tenancy %q runs on no host of yours; set tenancy = "host", or delete host_id and host_resource_group_arn`, given)
	}
}

// tenancy is the given one, under whichever name it was given.
func (c *RunConfig) tenancy() string {
	if c.Tenancy != "" {
		return c.Tenancy
	}
	return c.Placement.Tenancy
}

func (c *RunConfig) checkReservation(r *report) {
	preference, id, group := c.CapacityReservationPreference, c.CapacityReservationID, c.CapacityReservationGroupARN
	r.oneOf("capacity_reservation_preference", preference, "open", "none", "capacity-reservations-only")
	r.id("capacity_reservation_id", id, "cr")
	r.unless(group == "" || hostARN.MatchString(group), "capacity_reservation_group_arn", group, "a resource group's ARN")
	r.oneGiven("the reservation", option{"capacity_reservation_id", id != ""},
		option{"capacity_reservation_group_arn", group != ""}, option{"capacity_reservation_preference", preference != ""})
}

// checkTypes checks what the run and the spot options say together.
func (c *Config) checkTypes(r *report) {
	if c.InstanceType != "" && len(c.SpotInstanceTypes) > 0 {
		r.addf("instance_type and spot_instance_types: both are given; keep one of them, or name the on-demand types in instance_types")
	}
	if c.SpotOnly && c.spot() && len(c.SpotInstanceTypes) > 0 && len(c.InstanceTypes) > 0 {
		r.addf("spot_only and instance_types: with spot_only there is no on-demand instance; delete one of them")
	}
	if c.spot() && c.DisableStopInstance {
		r.addf("disable_stop_instance: a spot instance that shuts itself down is terminated, and its disk with it; delete it, or spot_price")
	}
	if c.spot() && (c.Placement.HostID != "" || c.Placement.HostResourceGroupARN != "" || c.tenancy() == tenancyHost) {
		r.addf("placement: spot instances don't run on dedicated hosts; delete it, or spot_price")
	}
	if (c.EnableUnlimitedCredits.True() || c.EnableUnlimitedCredits.False()) && len(c.types()) > 0 &&
		!slices.ContainsFunc(c.types(), burstable.MatchString) {
		r.addf("enable_unlimited_credits: %s has no CPU credits; delete it, or choose a burstable type (t2, t3, t3a, t4g)", strings.Join(c.types(), ", "))
	}
	c.checkArchitecture(r)
}

// types are all types that are given: for on-demand first, then for spot alone.
func (c *Config) types() []string {
	list := slices.Clone(c.onDemandTypes())
	for _, name := range c.SpotInstanceTypes {
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// onDemandTypes are those given for an on-demand instance.
func (c *Config) onDemandTypes() []string {
	switch {
	case len(c.InstanceTypes) > 0:
		return c.InstanceTypes
	case c.InstanceType != "":
		return []string{c.InstanceType}
	}
	return c.SpotInstanceTypes
}

// spotTypes are those given for a spot instance.
func (c *Config) spotTypes() []string {
	if len(c.SpotInstanceTypes) > 0 {
		return c.SpotInstanceTypes
	}
	return c.onDemandTypes()
}

// checkArchitecture compares what the names alone tell; the plan asks EC2.
func (c *Config) checkArchitecture(r *report) {
	types := c.types()
	want, by := c.Architecture, "architecture"
	for _, name := range types {
		if !typeName.MatchString(name) || c.Architecture != "" && !slices.Contains([]string{archX86, archARM}, c.Architecture) {
			continue
		}
		fits := architectureOf(name)
		switch {
		case want == "":
			want, by = fits, name
		case want != fits && by == "architecture":
			r.addf("architecture: %q does not fit instance_type %q, which is %s; change one of them", want, name, fits)
		case want != fits:
			r.addf("instance_types: %s is %s, and %s is %s; give types of one architecture", by, want, name, fits)
		}
	}
}

// architectureOf tells the architecture by a type's name.
func architectureOf(name string) string {
	if gravitonType.MatchString(name) || strings.HasPrefix(name, "mac2") {
		return archARM
	}
	return archX86
}

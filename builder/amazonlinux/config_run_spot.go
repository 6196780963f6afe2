//go:generate packer-sdc struct-markdown

package amazonlinux

import (
	"regexp"
	"strconv"

	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

// SpotConfig asks for a spot instance, by one fleet request over all types and
// subnets. Where AWS has no spot capacity, the build goes on with an on-demand
// instance and says so, unless `spot_only` is set.
type SpotConfig struct {
	// The types to ask for as a spot instance, all of one architecture; AWS takes
	// one of them by `spot_allocation_strategy`. Conflicts with `instance_type`;
	// with `instance_types`, those are for on-demand. Default: where `spot_price` is
	// given, the types of the on-demand instance.
	SpotInstanceTypes []string `mapstructure:"spot_instance_types"`
	// The most that a spot instance may cost, in dollars an hour, or `auto`
	// for up to the on-demand price. `0` asks for none. Default: none, and `auto` where
	// `spot_instance_types` is given.
	SpotPrice string `mapstructure:"spot_price"`
	// How AWS chooses among types and subnets: `price-capacity-optimized`,
	// `capacity-optimized`, `capacity-optimized-prioritized` (in the order of `spot_instance_types`),
	// `diversified` or `lowest-price`. Default: `price-capacity-optimized`.
	SpotAllocationStrategy string `mapstructure:"spot_allocation_strategy"`
	// Don't go on with an on-demand instance where there is no spot instance to be had. Default: `false`.
	SpotOnly bool `mapstructure:"spot_only"`
	// Tags of the spot request. Values are [templates](#build-template-data). Default: none but the plugin's own.
	SpotTags map[string]string `mapstructure:"spot_tags"`
	// One of `spot_tags` as a block with `key` and `value`, for `dynamic` blocks.
	SpotTag config.KeyValues `mapstructure:"spot_tag"`
	// Tags of the fleet and its launch template, which the build removes. Values
	// are [templates](#build-template-data). Default: none but the plugin's own.
	FleetTags map[string]string `mapstructure:"fleet_tags"`
	// One of `fleet_tags` as a block with `key` and `value`, for `dynamic` blocks.
	FleetTag config.KeyValues `mapstructure:"fleet_tag"`
}

const (
	spotAuto        = "auto"
	defaultStrategy = "price-capacity-optimized"
	prioritized     = "capacity-optimized-prioritized"
)

var dollars = regexp.MustCompile(`^\d+(\.\d+)?$`)

func (c *SpotConfig) setDefaults() {
	c.SpotTag.CopyOn(&c.SpotTags)
	c.FleetTag.CopyOn(&c.FleetTags)
	if c.SpotAllocationStrategy == "" && c.spot() {
		c.SpotAllocationStrategy = defaultStrategy
	}
}

// spot tells whether a spot instance is asked for.
func (c *SpotConfig) spot() bool {
	return len(c.SpotInstanceTypes) > 0 || c.SpotPrice != "" && !c.spotOff()
}

// spotOff tells a price of nothing, by which templates switch spot off.
func (c *SpotConfig) spotOff() bool {
	price, err := strconv.ParseFloat(c.SpotPrice, 64)
	return err == nil && price == 0
}

// maxPrice is the price as EC2 takes it; "" for up to the on-demand price.
func (c *SpotConfig) maxPrice() string {
	if c.SpotPrice == spotAuto {
		return ""
	}
	return c.SpotPrice
}

func (c *SpotConfig) check(r *report) {
	r.typeNames("spot_instance_types", c.SpotInstanceTypes)
	r.unless(c.SpotPrice == "" || c.SpotPrice == spotAuto || dollars.MatchString(c.SpotPrice), "spot_price", c.SpotPrice,
		`dollars an hour, such as "0.05", or "auto"`)
	r.oneOf("spot_allocation_strategy", c.SpotAllocationStrategy, defaultStrategy, "capacity-optimized",
		prioritized, "diversified", "lowest-price")
	if len(c.SpotInstanceTypes) > 0 && c.SpotPrice != "" && c.spotOff() {
		r.addf(`spot_instance_types and spot_price: a price of %s asks for no spot instance; delete one of them, or set spot_price = "auto"`, c.SpotPrice)
	}
	if c.spot() {
		return
	}
	for _, o := range []option{
		{"spot_tags", len(c.SpotTags) > 0}, {"fleet_tags", len(c.FleetTags) > 0},
		{"spot_allocation_strategy", c.SpotAllocationStrategy != ""}, {"spot_only", c.SpotOnly},
	} {
		if o.given {
			r.addf(`%s: no spot instance is asked for; set spot_price = "auto" too, or delete it`, o.name)
		}
	}
}

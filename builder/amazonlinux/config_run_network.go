//go:generate packer-sdc struct-markdown

package amazonlinux

import (
	"fmt"
	"slices"

	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

// NetworkConfig says where the instance is launched. It needs no way in, and a
// way out to AWS's SSM endpoints: an internet gateway, a NAT gateway or VPC endpoints.
type NetworkConfig struct {
	// The VPC to launch in. Default: that of the subnets or of the security
	// groups, else the region's default VPC. Subnets are chosen in it unless they are given.
	VPCID string `mapstructure:"vpc_id"`
	// Finds the VPC by its properties; exactly one must match. `vpc_id` takes precedence over it.
	//
	// ```hcl
	// vpc_filter {
	//   filters = {
	//     "tag:Class" = "build"
	//   }
	// }
	// ```
	VPCFilter VPCFilter `mapstructure:"vpc_filter"`
	// The subnet to launch in. Conflicts with `subnet_ids`. Default: a
	// subnet of the VPC whose zone offers the instance type, and where AWS has
	// no capacity for it there, one in the next zone.
	SubnetID string `mapstructure:"subnet_id"`
	// Several subnets of one VPC, tried in this order. Conflicts with `subnet_id`.
	SubnetIDs []string `mapstructure:"subnet_ids"`
	// Finds the subnets by their properties. All that match and whose zone offers the type
	// are tried, so that one zone without capacity does not end the build.
	// `subnet_id` and `subnet_ids` take precedence over it.
	//
	// ```hcl
	// subnet_filter {
	//   filters = {
	//     "tag:Class" = "build"
	//   }
	//   most_free = true
	// }
	// ```
	SubnetFilter SubnetFilter `mapstructure:"subnet_filter"`
	// The availability zone to launch in, such as `us-east-1a`: only subnets in it are tried. Default: any.
	AvailabilityZone string `mapstructure:"availability_zone"`
	// The security group of the instance. It needs no ingress, and egress to TCP
	// port 443. Conflicts with `security_group_ids`. Default: the default group of the VPC; where
	// that lets nothing out to port 443, a temporary group with just this rule.
	SecurityGroupID string `mapstructure:"security_group_id"`
	// Several security groups; see `security_group_id`, which it conflicts with.
	SecurityGroupIDs []string `mapstructure:"security_group_ids"`
	// Finds the security groups by their properties: the instance gets all that match in its
	// VPC. `security_group_id` and `security_group_ids` take precedence over it.
	//
	// ```hcl
	// security_group_filter {
	//   filters = {
	//     "tag:Class" = "build"
	//   }
	// }
	// ```
	SecurityGroupFilter SecurityGroupFilter `mapstructure:"security_group_filter"`
	// Whether the instance gets a public IP address. Nothing connects to it: it
	// only serves to reach out where there is no NAT gateway. Default: what the subnet says.
	AssociatePublicIPAddress config.Trilean `mapstructure:"associate_public_ip_address"`
}

// VPCFilter chooses a VPC by its properties: `filters`, or `filter` blocks with
// `name` and `value`, of the names that `aws ec2 describe-vpcs` has.
type VPCFilter struct {
	config.NameValueFilter `mapstructure:",squash"`
}

// SubnetFilter chooses subnets by their properties.
type SubnetFilter struct {
	config.NameValueFilter `mapstructure:",squash"`
	// Try the subnet with the most free addresses first. Conflicts with `random`. Default:
	// `false`: those with a public address before others, then by free addresses.
	MostFree bool `mapstructure:"most_free"`
	// Try the subnets in random order, which spreads builds over zones. Default: `false`.
	Random bool `mapstructure:"random"`
}

// SecurityGroupFilter chooses security groups by their properties.
type SecurityGroupFilter struct {
	config.NameValueFilter `mapstructure:",squash"`
}

// securityGroups are the given ones, under whichever name they were given.
func (c *NetworkConfig) securityGroups() []string {
	if c.SecurityGroupID != "" {
		return []string{c.SecurityGroupID}
	}
	return c.SecurityGroupIDs
}

// subnets are the given ones, under whichever name they were given.
func (c *NetworkConfig) subnets() []string {
	if c.SubnetID != "" {
		return []string{c.SubnetID}
	}
	return c.SubnetIDs
}

func (c *NetworkConfig) check(r *report) {
	r.filter("vpc_filter", &c.VPCFilter.NameValueFilter)
	r.filter("subnet_filter", &c.SubnetFilter.NameValueFilter)
	r.filter("security_group_filter", &c.SecurityGroupFilter.NameValueFilter)
	r.id("vpc_id", c.VPCID, "vpc")
	r.id("subnet_id", c.SubnetID, "subnet")
	r.ids("subnet_ids", c.SubnetIDs, "subnet")
	r.id("security_group_id", c.SecurityGroupID, "sg")
	r.ids("security_group_ids", c.SecurityGroupIDs, "sg")
	r.oneGiven("the subnet", option{"subnet_id", c.SubnetID != ""}, option{"subnet_ids", len(c.SubnetIDs) > 0})
	r.oneGiven("the security groups", option{"security_group_id", c.SecurityGroupID != ""}, option{"security_group_ids", len(c.SecurityGroupIDs) > 0})
	if c.SubnetFilter.given() && c.SubnetFilter.Empty() {
		r.addf("subnet_filter: filters is empty; say which subnets, such as \"tag:Class\" = \"build\"")
	}
	if c.SubnetFilter.MostFree && c.SubnetFilter.Random {
		r.addf("subnet_filter: most_free and random are both set; keep one of them")
	}
	r.unless(c.AvailabilityZone == "" || awsZone.MatchString(c.AvailabilityZone), "availability_zone", c.AvailabilityZone,
		`a zone's name, such as "us-east-1a"`)
}

// groupsByFilter tells whether the filter finds the security groups.
func (c *NetworkConfig) groupsByFilter() bool {
	return len(c.securityGroups()) == 0 && !c.SecurityGroupFilter.Empty()
}

func (f *SubnetFilter) given() bool { return !f.Empty() || f.MostFree || f.Random }

// An option is one of several that say the same thing: only one may be given.
type option struct {
	name  string
	given bool
}

// oneGiven reports options that say the same thing in several ways.
func (r *report) oneGiven(what string, all ...option) {
	var given []string
	for _, o := range all {
		if o.given {
			given = append(given, o.name)
		}
	}
	for _, name := range given[min(1, len(given)):] {
		r.addf("%s and %s: both are given, and each says %s; keep one of them", given[0], name, what)
	}
}

// ids reports the ids of a list that are empty or not of AWS's form.
func (r *report) ids(option string, given []string, prefix string) {
	for i, id := range given {
		at := fmt.Sprintf("%s[%d]", option, i)
		if id == "" {
			r.addf(`%s: it is empty; give an id such as "%s-0123456789abcdef0", or delete it`, at, prefix)
		}
		r.id(at, id, prefix)
		if id != unknown && slices.Contains(given[:i], id) {
			r.addf("%s: %s is in the list twice; delete one of them", at, id)
		}
	}
}

// filter lets the SDK check a filter, and says which one it is about.
func (r *report) filter(option string, f *config.NameValueFilter) {
	for _, err := range f.Prepare() {
		r.addf("%s: %w", option, err)
	}
}

package amazonlinux

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// A place is one way to launch: a type in a subnet.
type place struct {
	instanceType string
	subnet, zone string
}

func (p place) String() string {
	return fmt.Sprintf("%s in %s (%s)", p.instanceType, p.subnet, p.zone)
}

// findSubnets finds the subnets that the instance may go to, in the order of
// preference. They are all of one VPC.
func (n *network) findSubnets(ctx context.Context, b *build) error {
	c := b.config
	in := &ec2.DescribeSubnetsInput{SubnetIds: c.subnets()}
	if len(in.SubnetIds) == 0 {
		in.Filters = append(filters(&c.SubnetFilter.NameValueFilter), filter("state", "available"))
		if n.vpc != "" {
			in.Filters = append(in.Filters, filter("vpc-id", n.vpc))
		}
	}
	for {
		page, err := b.aws.ec2.DescribeSubnets(ctx, in)
		if strings.HasPrefix(awsclient.Code(err), "InvalidSubnet") {
			return n.noSubnet(b, err)
		}
		if err != nil {
			return err
		}
		n.subnets = append(n.subnets, page.Subnets...)
		if in.NextToken = page.NextToken; aws.ToString(in.NextToken) == "" {
			break
		}
	}
	if len(n.subnets) == 0 {
		return n.noSubnet(b, nil)
	}
	if err := errors.Join(n.checkVPC(b), n.checkZone(b)); err != nil {
		return err
	}
	n.order(b)
	return nil
}

// noSubnet tells which option finds no subnet.
func (n *network) noSubnet(b *build, err error) error {
	c, where := b.config, b.aws.config.Region
	switch {
	case c.SubnetID != "":
		return fmt.Errorf("subnet_id: %s does not exist in %s; check the id and the region", c.SubnetID, where)
	case len(c.SubnetIDs) > 0:
		return fmt.Errorf("subnet_ids: %s in %s; check the ids and the region", awsclient.Message(err), where)
	case !c.SubnetFilter.Empty() && n.vpc != "":
		return fmt.Errorf("subnet_filter: no subnet of %s in %s matches; check its filters", n.vpc, where)
	case !c.SubnetFilter.Empty():
		return fmt.Errorf("subnet_filter: no subnet in %s matches; check its filters and the region", where)
	}
	return fmt.Errorf("vpc_id: %s does not exist in %s or has no subnet; check it, or set subnet_id", n.vpc, where)
}

// checkVPC takes the VPC from the subnets where nothing else says it.
func (n *network) checkVPC(b *build) error {
	first := n.subnets[0]
	if n.vpc == "" {
		n.vpc = aws.ToString(first.VpcId)
	}
	for _, s := range n.subnets {
		id, vpc := aws.ToString(s.SubnetId), aws.ToString(s.VpcId)
		switch {
		case vpc == n.vpc:
		case b.config.VPCID != "":
			return fmt.Errorf("subnet_id: %s is in %s, and vpc_id says %s; delete vpc_id or change one of them", id, vpc, n.vpc)
		case !b.config.VPCFilter.Empty():
			return fmt.Errorf("subnet_id: %s is in %s, and vpc_filter finds %s; delete vpc_filter or change one of them", id, vpc, n.vpc)
		default:
			return fmt.Errorf("subnet_ids: %s is in %s, and %s is in %s; give subnets of one VPC, or say which by vpc_id",
				aws.ToString(first.SubnetId), n.vpc, id, vpc)
		}
	}
	return nil
}

// checkZone leaves the subnets of availability_zone, if one is given.
func (n *network) checkZone(b *build) error {
	zone := b.config.AvailabilityZone
	if zone == "" {
		return nil
	}
	var zones []string
	n.subnets = slices.DeleteFunc(n.subnets, func(s types.Subnet) bool {
		zones = append(zones, aws.ToString(s.AvailabilityZone))
		return aws.ToString(s.AvailabilityZone) != zone
	})
	if len(n.subnets) > 0 {
		return nil
	}
	slices.Sort(zones)
	return fmt.Errorf("availability_zone: no subnet is in %s, but in %s; change the zone or the subnets", zone, strings.Join(slices.Compact(zones), ", "))
}

// order brings the subnets into the order in which they are tried: a list's
// own, or the one that the filter asks for. Where the template says nothing of
// subnets, only those are tried that are like the best, one of each zone:
// whether a private subnet has a way out can't be seen here.
func (n *network) order(b *build) {
	c := b.config
	better := betterSubnet(!c.AssociatePublicIPAddress.False())
	switch {
	case len(c.subnets()) > 0:
		place := func(s types.Subnet) int { return slices.Index(c.subnets(), aws.ToString(s.SubnetId)) }
		slices.SortFunc(n.subnets, func(a, b types.Subnet) int { return cmp.Compare(place(a), place(b)) })
	case c.SubnetFilter.Random:
		rand.Shuffle(len(n.subnets), func(i, j int) { n.subnets[i], n.subnets[j] = n.subnets[j], n.subnets[i] })
	case c.SubnetFilter.MostFree:
		slices.SortFunc(n.subnets, mostFree)
	case !c.SubnetFilter.Empty():
		slices.SortFunc(n.subnets, better)
	default:
		slices.SortFunc(n.subnets, better)
		n.subnets = alike(n.subnets)
	}
}

// alike are the subnets that give public addresses as the first does, the first of each zone.
func alike(sorted []types.Subnet) []types.Subnet {
	var list []types.Subnet
	zones := map[string]bool{}
	for _, s := range sorted {
		zone := aws.ToString(s.AvailabilityZone)
		if aws.ToBool(s.MapPublicIpOnLaunch) == aws.ToBool(sorted[0].MapPublicIpOnLaunch) && !zones[zone] {
			zones[zone] = true
			list = append(list, s)
		}
	}
	return list
}

func mostFree(a, b types.Subnet) int {
	return cmp.Or(
		cmp.Compare(aws.ToInt32(b.AvailableIpAddressCount), aws.ToInt32(a.AvailableIpAddressCount)),
		cmp.Compare(aws.ToString(a.SubnetId), aws.ToString(b.SubnetId)),
	)
}

func betterSubnet(public bool) func(a, b types.Subnet) int {
	rank := func(s types.Subnet) int {
		if aws.ToBool(s.MapPublicIpOnLaunch) == public {
			return 0
		}
		return 1
	}
	return func(a, b types.Subnet) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), mostFree(a, b)) }
}

// choosePlaces lists where to try: each type in turn, in each subnet whose zone offers it.
func (p *plan) choosePlaces(ctx context.Context, b *build) error {
	offers, err := p.offers(ctx, b)
	if err != nil {
		return err
	}
	p.places = p.placesOf(p.source.onDemand, offers)
	p.spot = p.placesOf(p.source.spot, offers)
	if b.config.SpotOnly {
		p.places = nil
	}
	if len(p.places) > 0 || len(p.spot) > 0 {
		return nil
	}
	var zones []string
	for _, name := range p.source.types() {
		zones = append(zones, offers[name]...)
	}
	slices.Sort(zones)
	return fmt.Errorf("instance_type: no subnet of %s is in a zone that offers %s (%s do); choose another type or subnet",
		p.network.vpc, strings.Join(p.source.types(), ", "), strings.Join(slices.Compact(zones), ", "))
}

// placesOf combines types and subnets. Where EC2 did not say what is offered
// where, everything is tried.
func (p *plan) placesOf(names []string, offers map[string][]string) []place {
	var list []place
	for _, name := range names {
		for _, s := range p.network.subnets {
			at := place{name, aws.ToString(s.SubnetId), aws.ToString(s.AvailabilityZone)}
			if offers == nil || slices.Contains(offers[name], at.zone) {
				list = append(list, at)
			}
		}
	}
	return list
}

// offers are the zones that offer each type. They are nil, and EC2's own answer to
// the launch decides, where there is nothing to choose, or the caller may not ask.
func (p *plan) offers(ctx context.Context, b *build) (map[string][]string, error) {
	names := p.source.types()
	if len(names) == 1 && len(p.network.subnets) == 1 && len(b.config.subnets()) == 1 {
		return nil, nil
	}
	in := &ec2.DescribeInstanceTypeOfferingsInput{
		LocationType: types.LocationTypeAvailabilityZone,
		Filters:      []types.Filter{filter("instance-type", names...)},
	}
	zones := map[string][]string{}
	for {
		page, err := b.aws.ec2.DescribeInstanceTypeOfferings(ctx, in)
		if awsclient.Denied(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for _, offer := range page.InstanceTypeOfferings {
			name := string(offer.InstanceType)
			zones[name] = append(zones[name], aws.ToString(offer.Location))
		}
		if in.NextToken = page.NextToken; aws.ToString(in.NextToken) == "" {
			return zones, nil
		}
	}
}

// best is where the launch is tried first.
func (p *plan) best() place {
	if len(p.spot) > 0 {
		return p.spot[0]
	}
	return p.places[0]
}

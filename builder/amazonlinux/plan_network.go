package amazonlinux

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// A network is where the instance goes.
type network struct {
	vpc            string
	subnet         string
	groups         []string // where temporaryGroup is set, the group that it stands in for
	temporaryGroup bool

	candidates []types.Subnet // of the VPC, until chooseSubnet has chosen
}

const httpsPort = 443

// findNetwork finds VPC, security groups and subnet, from whichever of them is given.
func (p *plan) findNetwork(ctx context.Context, b *build) error {
	c, n := b.config, &p.network
	given, err := findGroups(ctx, b, c.securityGroups())
	if err != nil {
		return err
	}
	if c.SubnetID != "" {
		err = n.useSubnet(ctx, b, c.SubnetID)
	} else {
		err = n.findCandidates(ctx, b, given)
	}
	if err != nil {
		return err
	}
	if c.VPCID != "" && c.VPCID != n.vpc {
		return fmt.Errorf("subnet_id: %s is in %s, and vpc_id says %s; delete vpc_id or change one of them", n.subnet, n.vpc, c.VPCID)
	}
	return n.chooseGroups(ctx, b, given)
}

// findGroups looks the given security groups up.
func findGroups(ctx context.Context, b *build, ids []string) ([]types.SecurityGroup, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	found, err := b.aws.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: ids})
	if strings.HasPrefix(awsclient.Code(err), "InvalidGroup") {
		return nil, fmt.Errorf("security_group_ids: %w; check the id and the region", awsclient.Err(err))
	}
	if err != nil {
		return nil, err
	}
	return found.SecurityGroups, nil
}

func (n *network) useSubnet(ctx context.Context, b *build, id string) error {
	found, err := b.aws.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{id}})
	if strings.HasPrefix(awsclient.Code(err), "InvalidSubnet") || err == nil && len(found.Subnets) == 0 {
		return fmt.Errorf("subnet_id: %s does not exist in %s; check the id and the region", id, b.aws.config.Region)
	}
	if err != nil {
		return err
	}
	n.subnet, n.vpc = id, aws.ToString(found.Subnets[0].VpcId)
	return nil
}

// findCandidates lists the subnets of the VPC that is given, or that the groups are in, or that is the default.
func (n *network) findCandidates(ctx context.Context, b *build, given []types.SecurityGroup) error {
	var err error
	switch {
	case b.config.VPCID != "":
		n.vpc = b.config.VPCID
	case len(given) > 0:
		n.vpc = aws.ToString(given[0].VpcId)
	default:
		if n.vpc, err = defaultVPC(ctx, b); err != nil {
			return err
		}
	}
	found, err := b.aws.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{
		Filters: []types.Filter{filter("vpc-id", n.vpc), filter("state", "available")},
	})
	if err != nil {
		return err
	}
	if len(found.Subnets) == 0 {
		return fmt.Errorf("vpc_id: %s does not exist in %s or has no subnet; check it, or set subnet_id", n.vpc, b.aws.config.Region)
	}
	n.candidates = found.Subnets
	return nil
}

func defaultVPC(ctx context.Context, b *build) (string, error) {
	found, err := b.aws.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: []types.Filter{filter("is-default", "true")}})
	if err != nil {
		return "", err
	}
	if len(found.Vpcs) == 0 {
		return "", fmt.Errorf("subnet_id: none is given, and %s has no default VPC; set subnet_id or vpc_id", b.aws.config.Region)
	}
	return aws.ToString(found.Vpcs[0].VpcId), nil
}

// chooseGroups takes the given groups, or the VPC's default group, or plans a
// temporary one where that would cut the agent off.
func (n *network) chooseGroups(ctx context.Context, b *build, given []types.SecurityGroup) error {
	var errs []error
	for _, g := range given {
		n.groups = append(n.groups, aws.ToString(g.GroupId))
		if vpc := aws.ToString(g.VpcId); vpc != n.vpc {
			errs = append(errs, fmt.Errorf("security_group_ids: %s is in %s, and the subnet is in %s; choose groups of the same VPC",
				aws.ToString(g.GroupId), vpc, n.vpc))
		}
	}
	if len(given) > 0 {
		return errors.Join(errs...)
	}
	found, err := b.aws.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{
		Filters: []types.Filter{filter("vpc-id", n.vpc), filter("group-name", "default")},
	})
	if err != nil {
		return err
	}
	if len(found.SecurityGroups) == 0 {
		return fmt.Errorf("vpc_id: %s does not exist in %s; check the id and the region", n.vpc, b.aws.config.Region)
	}
	n.groups = []string{aws.ToString(found.SecurityGroups[0].GroupId)}
	n.temporaryGroup = !slices.ContainsFunc(found.SecurityGroups[0].IpPermissionsEgress, reachesAWS)
	return nil
}

// reachesAWS tells whether an egress rule lets HTTPS out to any IPv4 address.
// A narrower rule might do with VPC endpoints, but that can't be known here, and a
// temporary group works in either case.
func reachesAWS(rule types.IpPermission) bool {
	switch aws.ToString(rule.IpProtocol) {
	case "-1":
	case "tcp", "6":
		if aws.ToInt32(rule.FromPort) > httpsPort || aws.ToInt32(rule.ToPort) < httpsPort {
			return false
		}
	default:
		return false
	}
	return slices.ContainsFunc(rule.IpRanges, func(r types.IpRange) bool { return aws.ToString(r.CidrIp) == "0.0.0.0/0" })
}

// chooseSubnet chooses among the candidates one whose zone offers the instance
// type: first those that give a public address (they have a way out), then those
// with the most free addresses.
func (p *plan) chooseSubnet(ctx context.Context, b *build) error {
	n := &p.network
	if n.subnet != "" {
		return nil
	}
	zones, err := offeringZones(ctx, b, p.source.instanceType)
	if err != nil {
		return err
	}
	fit := slices.DeleteFunc(slices.Clone(n.candidates), func(s types.Subnet) bool {
		return zones != nil && !slices.Contains(zones, aws.ToString(s.AvailabilityZone))
	})
	if len(fit) == 0 {
		return fmt.Errorf("instance_type: no subnet of %s is in a zone that offers %s (%s do); choose another type or subnet",
			n.vpc, p.source.instanceType, strings.Join(zones, ", "))
	}
	slices.SortFunc(fit, betterSubnet(!b.config.AssociatePublicIPAddress.False()))
	n.subnet, n.candidates = aws.ToString(fit[0].SubnetId), nil
	return nil
}

func betterSubnet(public bool) func(a, b types.Subnet) int {
	rank := func(s types.Subnet) int {
		if aws.ToBool(s.MapPublicIpOnLaunch) == public {
			return 0
		}
		return 1
	}
	return func(a, b types.Subnet) int {
		return cmp.Or(
			cmp.Compare(rank(a), rank(b)),
			cmp.Compare(aws.ToInt32(b.AvailableIpAddressCount), aws.ToInt32(a.AvailableIpAddressCount)),
			cmp.Compare(aws.ToString(a.SubnetId), aws.ToString(b.SubnetId)),
		)
	}
}

// offeringZones are the zones that offer the type; nil where the caller may
// not ask, and then EC2's own answer to the launch decides.
func offeringZones(ctx context.Context, b *build, instanceType string) ([]string, error) {
	found, err := b.aws.ec2.DescribeInstanceTypeOfferings(ctx, &ec2.DescribeInstanceTypeOfferingsInput{
		LocationType: types.LocationTypeAvailabilityZone,
		Filters:      []types.Filter{filter("instance-type", instanceType)},
	})
	if awsclient.Denied(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	zones := []string{}
	for _, offer := range found.InstanceTypeOfferings {
		zones = append(zones, aws.ToString(offer.Location))
	}
	return zones, nil
}

package amazonlinux

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// A network is where the instance goes.
type network struct {
	vpc            string
	subnets        []types.Subnet // in the order in which they are tried
	groups         []string       // where temporaryGroup is set, the group that it stands in for
	temporaryGroup bool
}

const httpsPort = 443

// findNetwork finds VPC, security groups and subnets, from whichever of them is given.
func (p *plan) findNetwork(ctx context.Context, b *build) error {
	c, n := b.config, &p.network
	given, err := findGroups(ctx, b)
	if err != nil {
		return err
	}
	if err := n.findVPC(ctx, b, given); err != nil {
		return err
	}
	if err := n.findSubnets(ctx, b); err != nil {
		return err
	}
	if !c.groupsByFilter() {
		return n.chooseGroups(ctx, b, given)
	}
	given = slices.DeleteFunc(given, func(g types.SecurityGroup) bool { return aws.ToString(g.VpcId) != n.vpc })
	if len(given) == 0 {
		return fmt.Errorf("security_group_filter: no security group of %s matches; check its filters and vpc_id", n.vpc)
	}
	return n.chooseGroups(ctx, b, given)
}

// findGroups looks the given security groups up.
func findGroups(ctx context.Context, b *build) ([]types.SecurityGroup, error) {
	in := &ec2.DescribeSecurityGroupsInput{GroupIds: b.config.securityGroups()}
	if b.config.groupsByFilter() {
		in.Filters = filters(&b.config.SecurityGroupFilter.NameValueFilter)
	} else if len(in.GroupIds) == 0 {
		return nil, nil
	}
	var groups []types.SecurityGroup
	for {
		page, err := b.aws.ec2.DescribeSecurityGroups(ctx, in)
		if strings.HasPrefix(awsclient.Code(err), "InvalidGroup") {
			return nil, fmt.Errorf("security_group_ids: %w; check the id and the region", awsclient.Err(err))
		}
		if err != nil {
			return nil, err
		}
		groups = append(groups, page.SecurityGroups...)
		if in.NextToken = page.NextToken; aws.ToString(in.NextToken) == "" {
			break
		}
	}
	if len(groups) == 0 {
		return nil, fmt.Errorf("security_group_filter: no security group in %s matches; check its filters and the region", b.aws.config.Region)
	}
	return groups, nil
}

// filters are a template's filters as EC2 takes them, in the order of their names.
func filters(f *config.NameValueFilter) []types.Filter {
	var list []types.Filter
	for _, name := range slices.Sorted(maps.Keys(f.Filters)) {
		list = append(list, filter(name, strings.Split(f.Filters[name], ",")...))
	}
	return list
}

// findVPC finds the VPC that is given, or that the groups are in, or that is
// the default. It stays open where subnets are given: they say it themselves.
func (n *network) findVPC(ctx context.Context, b *build, given []types.SecurityGroup) error {
	c := b.config
	switch {
	case c.VPCID != "":
		n.vpc = c.VPCID
		return nil
	case !c.VPCFilter.Empty():
		return n.filterVPC(ctx, b)
	case len(c.subnets()) > 0 || !c.SubnetFilter.Empty():
		return nil
	case len(given) > 0:
		n.vpc = aws.ToString(given[0].VpcId)
		for _, g := range given {
			if vpc := aws.ToString(g.VpcId); vpc != n.vpc && c.groupsByFilter() {
				return fmt.Errorf("security_group_filter: it matches groups of several VPCs, such as %s and %s; say which by vpc_id or a vpc-id filter", n.vpc, vpc)
			}
		}
		return nil
	}
	found, err := b.aws.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: []types.Filter{filter("is-default", "true")}})
	if err != nil {
		return err
	}
	if len(found.Vpcs) == 0 {
		return fmt.Errorf("subnet_id: none is given, and %s has no default VPC; set subnet_id or vpc_id", b.aws.config.Region)
	}
	n.vpc = aws.ToString(found.Vpcs[0].VpcId)
	return nil
}

func (n *network) filterVPC(ctx context.Context, b *build) error {
	found, err := b.aws.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: filters(&b.config.VPCFilter.NameValueFilter)})
	switch {
	case err != nil:
		return err
	case len(found.Vpcs) == 0:
		return fmt.Errorf("vpc_filter: no VPC in %s matches; check its filters and the region", b.aws.config.Region)
	case len(found.Vpcs) > 1:
		return fmt.Errorf("vpc_filter: %d VPCs match, such as %s and %s; narrow the filters",
			len(found.Vpcs), aws.ToString(found.Vpcs[0].VpcId), aws.ToString(found.Vpcs[1].VpcId))
	}
	n.vpc = aws.ToString(found.Vpcs[0].VpcId)
	return nil
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

package amazonlinux

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// stepEgressGroup makes the temporary security group, where the plan has one:
// out to TCP port 443, nothing in.
type stepEgressGroup struct {
	name string // set before the group is made
	id   string // known once it is made
}

// groupRemoval covers the time that an instance takes to let go of its group.
const groupRemoval = 5 * time.Minute

func (s *stepEgressGroup) Run(ctx context.Context, bag multistep.StateBag) multistep.StepAction {
	return conclude(bag, phase("launch", s.create(ctx, buildOf(bag))))
}

// Cleanup removes the group once the instance has let go of it.
func (s *stepEgressGroup) Cleanup(bag multistep.StateBag) {
	undo(bag, groupRemoval, s.remove)
}

func (s *stepEgressGroup) create(ctx context.Context, b *build) error {
	if !b.plan.network.temporaryGroup {
		b.groups = b.plan.network.groups
		return nil
	}
	if s.id == "" {
		if err := s.createGroup(ctx, b); err != nil {
			return err
		}
	}
	if err := s.openEgress(ctx, b); err != nil {
		return err
	}
	b.groups = []string{s.id}
	return nil
}

func (s *stepEgressGroup) what() string { return "security group " + s.name }

func (s *stepEgressGroup) createGroup(ctx context.Context, b *build) error {
	s.name = groupName(b)
	b.ui.Say(fmt.Sprintf("Making security group %s: out to port 443, nothing in", s.name))
	b.made.enter(s.what(), "aws ec2 delete-security-group --region %s --group-id $(aws ec2 describe-security-groups --region %s --filters Name=group-name,Values=%s --query SecurityGroups[0].GroupId --output text)",
		b.plan.region, b.plan.region, s.name)
	ctx, cancel := creating(ctx)
	defer cancel()
	made, err := b.aws.ec2.CreateSecurityGroup(ctx, groupInput(b, b.plan, s.name))
	if awsclient.Code(err) == "InvalidGroup.Duplicate" {
		// The name is ours alone: an answer was lost on the way and the SDK asked again.
		return s.find(ctx, b)
	}
	if err != nil {
		return err
	}
	s.id = aws.ToString(made.GroupId)
	return nil
}

func groupName(b *build) string { return "packer-" + b.id }

func groupInput(b *build, p *plan, name string) *ec2.CreateSecurityGroupInput {
	return &ec2.CreateSecurityGroupInput{
		GroupName:         aws.String(name),
		Description:       aws.String("Packer build " + b.id + ": HTTPS out for the SSM agent, nothing in"),
		VpcId:             aws.String(p.network.vpc),
		TagSpecifications: []types.TagSpecification{tagged(types.ResourceTypeSecurityGroup, p.texts.run)},
	}
}

// tryGroup asks whether the caller may make the temporary group, where there is to be one.
func tryGroup(ctx context.Context, b *build, p *plan) error {
	if !p.network.temporaryGroup {
		return nil
	}
	in := groupInput(b, p, groupName(b))
	in.DryRun = aws.Bool(true)
	_, err := b.aws.ec2.CreateSecurityGroup(ctx, in)
	return onlyDenied(err)
}

// letGo takes the temporary group from an instance, which otherwise holds on to it until
// it is gone. Where that is not allowed, or the instance has ended, the group's removal waits for that.
func (b *build) letGo(ctx context.Context, instance string) {
	if !b.plan.network.temporaryGroup {
		return
	}
	_, err := b.aws.ec2.ModifyInstanceAttribute(ctx, &ec2.ModifyInstanceAttributeInput{InstanceId: aws.String(instance), Groups: b.plan.network.groups})
	if err != nil {
		slog.Info("the temporary security group goes with its instance", "instance", instance, "error", err)
	}
}

// find looks for the group by its name, which no other build has.
func (s *stepEgressGroup) find(ctx context.Context, b *build) error {
	found, err := b.aws.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{
		Filters: []types.Filter{filter("group-name", s.name), filter("vpc-id", b.plan.network.vpc)},
	})
	if err == nil && len(found.SecurityGroups) > 0 {
		s.id = aws.ToString(found.SecurityGroups[0].GroupId)
	}
	return err
}

// openEgress replaces the rule that every new group has, all traffic out, by
// port 443 alone.
func (s *stepEgressGroup) openEgress(ctx context.Context, b *build) error {
	anywhere := []types.IpRange{{CidrIp: aws.String("0.0.0.0/0"), Description: aws.String("AWS Systems Manager")}}
	err := settled(ctx, "InvalidGroup.NotFound", func(ctx context.Context) error {
		_, err := b.aws.ec2.AuthorizeSecurityGroupEgress(ctx, &ec2.AuthorizeSecurityGroupEgressInput{
			GroupId: aws.String(s.id),
			IpPermissions: []types.IpPermission{{
				IpProtocol: aws.String("tcp"), FromPort: aws.Int32(httpsPort), ToPort: aws.Int32(httpsPort), IpRanges: anywhere,
			}},
		})
		return unlessCode(err, "InvalidPermission.Duplicate")
	})
	if err != nil {
		return err
	}
	_, err = b.aws.ec2.RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{
		GroupId: aws.String(s.id),
		IpPermissions: []types.IpPermission{{
			IpProtocol: aws.String("-1"), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}},
		}},
	})
	return unlessCode(err, "InvalidPermission.NotFound")
}

func (s *stepEgressGroup) remove(ctx context.Context, b *build) error {
	if s.name == "" {
		return nil
	}
	if s.id == "" {
		if err := s.find(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", s.what(), awsclient.Err(err))
		}
	}
	if s.id == "" {
		b.made.strike(s.what())
		return nil
	}
	if err := s.removeGroup(ctx, b); err != nil {
		return fmt.Errorf("%s (%s): %w", s.what(), s.id, err)
	}
	b.made.strike(s.what())
	return nil
}

// removeGroup waits until the instance has let go of the group, unless that
// could not be terminated and never will.
func (s *stepEgressGroup) removeGroup(ctx context.Context, b *build) error {
	return await(ctx, "delete", groupRemoval, func(ctx context.Context) (bool, string, error) {
		_, err := b.aws.ec2.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: aws.String(s.id)})
		switch code := awsclient.Code(err); {
		case err == nil || code == "InvalidGroup.NotFound":
			return true, "", nil
		case code == "DependencyViolation" && !b.made.holdsInstance():
			return false, awsclient.Message(err), nil
		default:
			return false, "", awsclient.Err(err)
		}
	})
}

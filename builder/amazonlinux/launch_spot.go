package amazonlinux

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// stepTemplate makes the launch template that a spot instance is asked for
// with. Its name is known before it is made, so that it is found again whatever happens.
type stepTemplate struct {
	name string // set before anything is made
}

const (
	templateRemoval  = time.Minute
	templateExists   = "InvalidLaunchTemplateName.AlreadyExistsException"
	templateNotFound = "InvalidLaunchTemplateName.NotFoundException"
)

func (s *stepTemplate) Run(ctx context.Context, bag multistep.StateBag) multistep.StepAction {
	return conclude(bag, phase("launch", s.create(ctx, buildOf(bag))))
}

// Cleanup removes the template; the instance needs it no more.
func (s *stepTemplate) Cleanup(bag multistep.StateBag) {
	undo(bag, templateRemoval, s.remove)
}

func (s *stepTemplate) what() string { return "launch template " + s.name }

func (s *stepTemplate) create(ctx context.Context, b *build) error {
	p := b.plan
	if len(p.spot) == 0 {
		return nil
	}
	s.name = templateName(b)
	b.ui.Say("Making launch template " + s.name)
	b.made.enter(s.what(), "aws ec2 delete-launch-template --region %s --launch-template-name %s", p.region, s.name)
	ctx, cancel := creating(ctx)
	defer cancel()
	_, err := b.aws.ec2.CreateLaunchTemplate(ctx, templateInput(b, p, b.profile, b.groups))
	return unlessCode(err, templateExists) // the name is ours alone: an earlier try's, or an answer was lost
}

func (s *stepTemplate) remove(ctx context.Context, b *build) error {
	if s.name == "" {
		return nil
	}
	_, err := b.aws.ec2.DeleteLaunchTemplate(ctx, &ec2.DeleteLaunchTemplateInput{LaunchTemplateName: aws.String(s.name)})
	if err = unlessCode(err, templateNotFound); err != nil {
		return fmt.Errorf("%s: %w", s.what(), err)
	}
	b.made.strike(s.what())
	return nil
}

func templateName(b *build) string { return "packer-" + b.id }

// templateInput is the launch template as EC2 takes it; the plan's dry run sends the same.
func templateInput(b *build, p *plan, profile string, groups []string) *ec2.CreateLaunchTemplateInput {
	name := templateName(b)
	return &ec2.CreateLaunchTemplateInput{
		LaunchTemplateName: aws.String(name),
		ClientToken:        aws.String(name),
		LaunchTemplateData: templateData(runInput(b, p, p.spot[0], profile, groups), p.spot, p.texts.spot),
		TagSpecifications:  []types.TagSpecification{tagged(types.ResourceTypeLaunchTemplate, p.texts.fleet)},
	}
}

// trySpot asks whether the caller may do what only a spot instance needs. The template of
// the fleet is not there yet, so nothing but a missing permission counts.
func trySpot(ctx context.Context, b *build, p *plan) error {
	if len(p.spot) == 0 {
		return nil
	}
	return all(
		func() error {
			in := templateInput(b, p, p.profile.existing(), p.network.groups)
			in.DryRun = aws.Bool(true)
			_, err := b.aws.ec2.CreateLaunchTemplate(ctx, in)
			return onlyDenied(err)
		},
		func() error {
			in := fleetInput(b, p, "")
			in.DryRun = aws.Bool(true)
			_, err := b.aws.ec2.CreateFleet(ctx, in)
			return onlyDenied(err)
		},
	)
}

// fleetInput asks for one spot instance, of whichever type and in whichever subnet AWS has it.
func fleetInput(b *build, p *plan, token string) *ec2.CreateFleetInput {
	c := b.config
	config := types.FleetLaunchTemplateConfigRequest{
		LaunchTemplateSpecification: &types.FleetLaunchTemplateSpecificationRequest{
			LaunchTemplateName: aws.String(templateName(b)), Version: aws.String("$Latest"),
		},
	}
	for i, at := range p.spot {
		override := types.FleetLaunchTemplateOverridesRequest{InstanceType: types.InstanceType(at.instanceType), SubnetId: aws.String(at.subnet)}
		if price := c.maxPrice(); price != "" {
			override.MaxPrice = aws.String(price)
		}
		if c.SpotAllocationStrategy == prioritized {
			override.Priority = aws.Float64(float64(i))
		}
		config.Overrides = append(config.Overrides, override)
	}
	in := &ec2.CreateFleetInput{
		Type:                  types.FleetTypeInstant,
		LaunchTemplateConfigs: []types.FleetLaunchTemplateConfigRequest{config},
		SpotOptions:           &types.SpotOptionsRequest{AllocationStrategy: types.SpotAllocationStrategy(c.SpotAllocationStrategy)},
		TargetCapacitySpecification: &types.TargetCapacitySpecificationRequest{
			TotalTargetCapacity: aws.Int32(1), DefaultTargetCapacityType: types.DefaultTargetCapacityTypeSpot,
		},
		TagSpecifications: []types.TagSpecification{tagged(types.ResourceTypeFleet, p.texts.fleet)},
	}
	if token != "" {
		in.ClientToken = aws.String(token)
	}
	return in
}

// askSpot asks for a spot instance. A fleet that launched nothing is an answer,
// too: the error is then the one that it gives.
func (s *stepInstance) askSpot(ctx context.Context, b *build) (id string, err error) {
	made, err := b.aws.ec2.CreateFleet(ctx, fleetInput(b, b.plan, s.newToken(b)))
	if err != nil {
		return "", err
	}
	s.keepFleet(b, aws.ToString(made.FleetId))
	for _, launched := range made.Instances {
		for _, id := range launched.InstanceIds {
			return id, nil
		}
	}
	return "", fleetRefusal(made.Errors)
}

// fleetRefusal is why a fleet launched nothing. What is wrong with the request
// counts more than what AWS is out of in one of the places.
func fleetRefusal(errs []types.CreateFleetError) error {
	var refusal error = awsclient.Refusal("ec2", "CreateFleet", "UnfulfillableCapacity", "the fleet launched nothing and gives no reason")
	for _, e := range errs {
		refusal = awsclient.Refusal("ec2", "CreateFleet", aws.ToString(e.ErrorCode), aws.ToString(e.ErrorMessage))
		if !awsclient.OutOfCapacity(refusal) {
			return refusal
		}
	}
	return refusal
}

func (s *stepInstance) keepFleet(b *build, id string) {
	if id == "" {
		return
	}
	s.fleets = append(s.fleets, id)
	b.made.enter("fleet "+id, "aws ec2 delete-fleets --region %s --terminate-instances --fleet-ids %s", b.plan.region, id)
}

// removeFleets removes the fleets' records; their instances are gone by then.
func (s *stepInstance) removeFleets(ctx context.Context, b *build) error {
	if len(s.fleets) == 0 {
		return nil
	}
	done, err := b.aws.ec2.DeleteFleets(ctx, &ec2.DeleteFleetsInput{FleetIds: s.fleets, TerminateInstances: aws.Bool(true)})
	if err != nil {
		return fmt.Errorf("fleets %v: %w", s.fleets, awsclient.Err(err))
	}
	for _, d := range done.SuccessfulFleetDeletions {
		b.made.strike("fleet " + aws.ToString(d.FleetId))
	}
	for _, d := range done.UnsuccessfulFleetDeletions {
		id, e := aws.ToString(d.FleetId), d.Error
		if e != nil && e.Code == types.DeleteFleetErrorCodeFleetIdDoesNotExist {
			b.made.strike("fleet " + id)
			continue
		}
		if e != nil {
			err = fmt.Errorf("fleet %s: %s: %s", id, e.Code, aws.ToString(e.Message))
		}
	}
	return err
}

package amazonlinux

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// A plan is everything that is decided before anything is made.
type plan struct {
	caller  arn.ARN // who builds
	region  string
	source  source
	network network
	profile string // the given instance profile; "" means a temporary one
	texts   texts  // tags and description, rendered
	volumes []types.BlockDeviceMapping
}

// stepPlan makes the plan, or tells everything that stands against it.
type stepPlan struct{}

func (s *stepPlan) Run(ctx context.Context, bag multistep.StateBag) multistep.StepAction {
	return conclude(bag, phase("plan", s.plan(ctx, buildOf(bag))))
}

// Cleanup has nothing to do: a plan only looks.
func (s *stepPlan) Cleanup(multistep.StateBag) {}

// phase names the phase that an error belongs to. A cancelled context stays
// recognisable.
func phase(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, awsclient.Err(err))
}

// plan asks who the caller is first: if the credentials don't work, that one
// error is worth more than the same from every look-up.
func (s *stepPlan) plan(ctx context.Context, b *build) error {
	b.ui.Say("Planning the build...")
	p := &plan{region: b.aws.config.Region, profile: b.config.IAMInstanceProfile}
	identity, err := b.aws.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return awsclient.Err(err)
	}
	if p.caller, err = arn.Parse(aws.ToString(identity.Arn)); err != nil {
		return fmt.Errorf("caller %q: %w", aws.ToString(identity.Arn), err)
	}
	err = all(
		func() error { return p.findSource(ctx, b) },
		func() error { return p.findNetwork(ctx, b) },
		func() error { return checkName(ctx, b) },
		func() error { return checkProfile(ctx, b) },
	)
	if err != nil {
		return err
	}
	if err := p.decide(ctx, b); err != nil {
		return err
	}
	b.plan = p
	p.tell(b)
	return nil
}

// decide is the part that needs several look-ups at once.
func (p *plan) decide(ctx context.Context, b *build) error {
	var err error
	if p.volumes, err = volumes(b.config.RootVolume, p.source.image); err != nil {
		return err
	}
	if err := p.chooseSubnet(ctx, b); err != nil {
		return err
	}
	if p.texts, err = render(b, p); err != nil {
		return err
	}
	return tryLaunch(ctx, b, p)
}

// all runs look-ups side by side and returns all of their errors.
func all(lookups ...func() error) error {
	errs := make([]error, len(lookups))
	var running sync.WaitGroup
	for i, look := range lookups {
		running.Go(func() { errs[i] = awsclient.Err(look()) })
	}
	running.Wait()
	for _, err := range errs {
		if errors.Is(err, context.Canceled) {
			return err
		}
	}
	return errors.Join(errs...)
}

// checkName makes sure that no image has the name that the new one is to get.
func checkName(ctx context.Context, b *build) error {
	if b.config.SkipCreateAMI {
		return nil
	}
	name := b.config.AMIName
	found, err := b.aws.ec2.DescribeImages(ctx, &ec2.DescribeImagesInput{
		Owners:  []string{"self"},
		Filters: []types.Filter{filter("name", name)},
	})
	if err != nil || len(found.Images) == 0 {
		return err
	}
	id := aws.ToString(found.Images[0].ImageId)
	force := ""
	if b.config.PackerForce {
		force = " (-force replaces no image)"
	}
	return fmt.Errorf("ami_name: %q is taken by %s%s; choose another name, such as %q, or run: aws ec2 deregister-image --region %s --image-id %s",
		name, id, force, name+"-{{timestamp}}", b.aws.config.Region, id)
}

// checkProfile makes sure that the given instance profile exists and has a role.
func checkProfile(ctx context.Context, b *build) error {
	given := b.config.IAMInstanceProfile
	if given == "" || b.config.SkipProfileValidation {
		return nil
	}
	found, err := b.aws.iam.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: aws.String(baseName(given))})
	switch {
	case awsclient.Code(err) == "NoSuchEntity":
		return fmt.Errorf("iam_instance_profile: %q does not exist; create it, or delete the option and the build makes a temporary one", given)
	case awsclient.Denied(err):
		return fmt.Errorf("iam_instance_profile: %w, or set skip_profile_validation = true", awsclient.Err(err))
	case err != nil:
		return err
	case len(found.InstanceProfile.Roles) == 0:
		return fmt.Errorf("iam_instance_profile: %q has no role, so the agent would have no credentials; add one to it", given)
	}
	return nil
}

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

// tryLaunch asks EC2 whether it would launch this. Only an answer that is about
// the request counts: the temporary profile and group are not there yet, and a
// given profile may be too young for EC2 to see; the launch itself waits for it.
func tryLaunch(ctx context.Context, b *build, p *plan) error {
	in := runInput(b, p, p.profile, p.network.groups, "")
	in.DryRun = aws.Bool(true)
	_, err := b.aws.ec2.RunInstances(ctx, in)
	if awsclient.Code(err) == "DryRunOperation" || profileUnseen(err) {
		return nil
	}
	return err
}

// tell prints the plan.
func (p *plan) tell(b *build) {
	ui, image := b.ui, p.source.image
	ui.Say(fmt.Sprintf("Source AMI: %s (%s)", aws.ToString(image.ImageId), aws.ToString(image.Name)))
	ui.Say(fmt.Sprintf("Instance: %s (%s) in %s", p.source.instanceType, p.source.architecture, p.network.subnet))
	profile := p.profile
	if profile == "" {
		profile = "temporary, with just what the agent needs"
	}
	ui.Say("Instance profile: " + profile)
	if p.network.temporaryGroup {
		ui.Say(fmt.Sprintf("Security group: temporary, because the default group of %s lets nothing out to port 443", p.network.vpc))
	}
	if p.source.isAL2() {
		ui.Say("Amazon Linux 2 left support on 2026-06-30: it gets no more security updates. " +
			`Amazon Linux 2023 is release = "2023".`)
	}
}

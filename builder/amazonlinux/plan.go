package amazonlinux

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
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
	profile profile
	texts   texts // tags and description, rendered
	volumes []types.BlockDeviceMapping
	images  images  // which images are made where, under which names
	spot    []place // where a spot instance is asked for, all at once; empty for none
	places  []place // where on-demand is tried, one after the other
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
	p := &plan{region: b.aws.config.Region}
	var err error
	if p.caller, err = identify(ctx, b); err != nil {
		return err
	}
	err = all(
		func() error { return p.findSource(ctx, b) },
		func() error { return p.findNetwork(ctx, b) },
		func() error { return p.planImages(ctx, b) },
		func() error { return p.findProfile(ctx, b) },
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
	if p.volumes, err = volumes(&b.config.DiskConfig, p.source.image); err != nil {
		return err
	}
	if err := p.choosePlaces(ctx, b); err != nil {
		return err
	}
	if p.texts, err = render(b, p); err != nil {
		return err
	}
	for i, a := range p.images.accounts {
		a.tags = p.texts.accounts[i]
	}
	if err := p.encrypt(ctx, b); err != nil {
		return err
	}
	if err := all(
		func() error { return p.checkSharing(ctx, b) },
		func() error { return p.tryCopies(ctx, b) },
	); err != nil {
		return err
	}
	return all(
		func() error { return tryLaunch(ctx, b, p) },
		func() error { return trySpot(ctx, b, p) },
		func() error { return tryGroup(ctx, b, p) },
	)
}

// identify asks who the caller is, unless the template says that nobody knows:
// then the partition is what the region's name tells.
func identify(ctx context.Context, b *build) (arn.ARN, error) {
	if b.config.SkipCredentialValidation {
		return arn.ARN{Partition: partition(b.aws.config.Region)}, nil
	}
	identity, err := b.aws.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return arn.ARN{}, awsclient.Err(err)
	}
	caller, err := arn.Parse(aws.ToString(identity.Arn))
	if err != nil {
		return arn.ARN{}, fmt.Errorf("caller %q: %w", aws.ToString(identity.Arn), err)
	}
	return caller, nil
}

// partitions are those beside "aws", by the regions' first letters.
var partitions = map[string]string{
	"cn-": "aws-cn", "us-gov-": "aws-us-gov", "us-iso-": "aws-iso", "us-isob-": "aws-iso-b",
	"eu-isoe-": "aws-iso-e", "us-isof-": "aws-iso-f", "eusc-": "aws-eusc",
}

func partition(region string) string {
	for prefix, name := range partitions {
		if strings.HasPrefix(region, prefix) {
			return name
		}
	}
	return "aws"
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

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

// tryLaunch asks EC2 whether it would launch this. Only an answer that is about
// the request counts: the temporary profile and group are not there yet, and a
// given profile may be too young for EC2 to see; the launch itself waits for it.
func tryLaunch(ctx context.Context, b *build, p *plan) error {
	in := runInput(b, p, p.best(), p.profile.existing(), p.network.groups)
	in.DryRun = aws.Bool(true)
	_, err := b.aws.ec2.RunInstances(ctx, in)
	if awsclient.Code(err) == "DryRunOperation" || profileUnseen(err) || awsclient.OutOfCapacity(err) {
		return nil
	}
	return err
}

// tell prints the plan.
func (p *plan) tell(b *build) {
	ui, image := b.ui, p.source.image
	ui.Say(fmt.Sprintf("Source AMI: %s (%s)", aws.ToString(image.ImageId), aws.ToString(image.Name)))
	p.tellPlaces(b)
	ui.Say("Instance profile: " + p.profile.String())
	if p.network.temporaryGroup {
		ui.Say(fmt.Sprintf("Security group: temporary, because the default group of %s lets nothing out to port 443", p.network.vpc))
	}
	if p.source.isAL2() {
		ui.Say("Amazon Linux 2 left support on 2026-06-30: it gets no more security updates. " +
			`Amazon Linux 2023 is release = "2023".`)
	}
}

func (p *plan) tellPlaces(b *build) {
	if len(p.spot) > 0 {
		b.ui.Say(fmt.Sprintf("Spot instance (%s): by %s one of %s", p.source.architecture, b.config.SpotAllocationStrategy,
			told(p.spot, ", ")))
	}
	switch {
	case len(p.places) > 0 && len(p.spot) > 0:
		b.ui.Say("Without spot capacity: " + told(p.places, ", then "))
	case len(p.places) > 0:
		b.ui.Say(fmt.Sprintf("Instance (%s): %s", p.source.architecture, told(p.places, ", then ")))
	}
}

// toldPlaces is how many places are named beforehand. What comes of each is said when it is tried.
const toldPlaces = 3

func told(places []place, joint string) string {
	list := make([]string, 0, toldPlaces+1)
	for i, at := range places {
		if i == toldPlaces {
			list = append(list, fmt.Sprintf("%d more", len(places)-i))
			break
		}
		list = append(list, at.String())
	}
	return strings.Join(list, joint)
}

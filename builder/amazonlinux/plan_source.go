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
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// A source is the image to start from, and the types of instance that run it.
type source struct {
	image        types.Image
	architecture string
	onDemand     []string // types, in the order in which they are tried
	spot         []string // types; nil for no spot instance
}

// findSource finds the image, and the types that it is to run on. Where types
// are given, the architecture comes from them; where none is, from the image.
func (p *plan) findSource(ctx context.Context, b *build) error {
	c := b.config
	archs, err := architectures(ctx, b, c.types())
	if err != nil {
		return err
	}
	if c.Architecture != "" && len(archs) > 0 && !slices.Contains(archs, c.Architecture) {
		return fmt.Errorf("architecture: %q does not fit instance_type %s, which is %s; change one of them",
			c.Architecture, quoted(c.types()), strings.Join(archs, " or "))
	}
	want := c.Architecture
	if want == "" && len(archs) > 0 {
		want = archs[0]
	}
	image, err := findImage(ctx, b, want)
	if err != nil {
		return err
	}
	p.source = source{image: *image, architecture: string(image.Architecture), onDemand: c.onDemandTypes()}
	if len(p.source.onDemand) == 0 {
		p.source.onDemand = []string{defaultType(p.source.architecture)}
	}
	if c.spot() {
		p.source.spot = c.spotTypes()
		if len(p.source.spot) == 0 {
			p.source.spot = p.source.onDemand
		}
	}
	if len(archs) == 0 {
		archs = []string{p.source.architecture}
	}
	return p.source.check(c, archs)
}

// types are all types that the build may launch.
func (s *source) types() []string {
	all := slices.Clone(s.onDemand)
	for _, name := range s.spot {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

func quoted(names []string) string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(list, ", ")
}

func defaultType(architecture string) string {
	if architecture == archARM {
		return defaultTypeARM
	}
	return defaultTypeX86
}

// architectures are those that every one of the types runs and Amazon Linux has.
func architectures(ctx context.Context, b *build, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	in := &ec2.DescribeInstanceTypesInput{}
	for _, name := range names {
		in.InstanceTypes = append(in.InstanceTypes, types.InstanceType(name))
	}
	found, err := b.aws.ec2.DescribeInstanceTypes(ctx, in)
	if err != nil && strings.HasPrefix(awsclient.Code(err), "InvalidInstanceType") {
		return nil, unknownType(b, names, err)
	}
	if err != nil {
		return nil, err
	}
	runs := map[string][]string{}
	for _, t := range found.InstanceTypes {
		for _, arch := range t.ProcessorInfo.SupportedArchitectures {
			if arch == types.ArchitectureTypeX8664 || arch == types.ArchitectureTypeArm64 {
				runs[string(t.InstanceType)] = append(runs[string(t.InstanceType)], string(arch))
			}
		}
	}
	return sharedArchitectures(names, runs)
}

func unknownType(b *build, names []string, err error) error {
	if len(names) == 1 {
		return fmt.Errorf("instance_type: %q does not exist in %s; choose another", names[0], b.aws.config.Region)
	}
	return fmt.Errorf("instance_types: not all of %s exist in %s: %s; choose others", quoted(names), b.aws.config.Region, awsclient.Message(err))
}

// sharedArchitectures are those that all types run, in the order of the first's.
func sharedArchitectures(names []string, runs map[string][]string) ([]string, error) {
	var shared []string
	for i, name := range names {
		if len(runs[name]) == 0 {
			return nil, fmt.Errorf("instance_type: %q runs neither x86_64 nor arm64 Linux; choose another", name)
		}
		if i == 0 {
			shared = slices.Clone(runs[name])
			continue
		}
		before := strings.Join(shared, " or ")
		shared = slices.DeleteFunc(shared, func(arch string) bool { return !slices.Contains(runs[name], arch) })
		if len(shared) == 0 {
			return nil, fmt.Errorf("instance_types: %s is %s, and those before it are %s; give types of one architecture",
				name, strings.Join(runs[name], " or "), before)
		}
	}
	return shared, nil
}

// findImage finds the source image by whichever option names it.
func findImage(ctx context.Context, b *build, arch string) (*types.Image, error) {
	c := b.config
	switch {
	case c.SourceAMI != "":
		return imageByID(ctx, b, "source_ami", c.SourceAMI)
	case c.SourceAMIFilter.given():
		return imageByFilter(ctx, b, &c.SourceAMIFilter)
	}
	if arch == "" {
		arch = archX86
	}
	return imageByParameter(ctx, b, c.parameter(arch))
}

func imageByParameter(ctx context.Context, b *build, name string) (*types.Image, error) {
	found, err := b.aws.ssm.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(name)})
	if code := awsclient.Code(err); code == "ParameterNotFound" || code == "ParameterVersionNotFound" {
		return nil, fmt.Errorf("source image: SSM parameter %s does not exist in %s; check source_ami_parameter, or give source_ami", name, b.aws.config.Region)
	}
	if err != nil {
		return nil, fmt.Errorf("source image: SSM parameter %s: %w", name, awsclient.Err(err))
	}
	id := strings.TrimSpace(aws.ToString(found.Parameter.Value))
	if !amiID.MatchString(id) {
		return nil, fmt.Errorf("source image: SSM parameter %s does not hold an AMI's id; name one that does in source_ami_parameter", name)
	}
	return imageByID(ctx, b, "SSM parameter "+name, id)
}

func imageByID(ctx context.Context, b *build, from, id string) (*types.Image, error) {
	found, err := b.aws.ec2.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if strings.HasPrefix(awsclient.Code(err), "InvalidAMIID") || err == nil && len(found.Images) == 0 {
		return nil, fmt.Errorf("source image: %s (from %s) does not exist in %s, or is not shared with this account; AMI ids differ by region",
			id, from, b.aws.config.Region)
	}
	if err != nil {
		return nil, err
	}
	return &found.Images[0], nil
}

func imageByFilter(ctx context.Context, b *build, f *SourceAMIFilter) (*types.Image, error) {
	images, err := matchingImages(ctx, b, f)
	if err != nil {
		return nil, err
	}
	if len(images) > 1 && !f.MostRecent {
		return nil, fmt.Errorf("source_ami_filter: %d images match, such as %s (%s); narrow the filters, or set most_recent = true",
			len(images), aws.ToString(images[0].ImageId), aws.ToString(images[0].Name))
	}
	newest := slices.MaxFunc(images, func(a, b types.Image) int {
		return strings.Compare(aws.ToString(a.CreationDate), aws.ToString(b.CreationDate))
	})
	return &newest, nil
}

// matchingImages are those that the filter matches, at least one. AWS hides
// deprecated images from filters, and by now that is all of Amazon Linux 2: where
// nothing else matches they are taken, unless the template forbids it.
func matchingImages(ctx context.Context, b *build, f *SourceAMIFilter) ([]types.Image, error) {
	images, err := describeImages(ctx, b, f, f.IncludeDeprecated.True())
	if err != nil || len(images) > 0 {
		return images, err
	}
	nothing := fmt.Errorf("source_ami_filter: no image in %s matches; check name, owners and architecture", b.aws.config.Region)
	if f.IncludeDeprecated.True() {
		return nil, nothing
	}
	hidden, err := describeImages(ctx, b, f, true)
	switch {
	case err != nil:
		return nil, err
	case len(hidden) == 0:
		return nil, nothing
	case f.IncludeDeprecated.False():
		return nil, fmt.Errorf("%w; %d deprecated ones do: delete include_deprecated = false to build on them", nothing, len(hidden))
	}
	b.ui.Say("source_ami_filter: only deprecated images match, so one of them it is; include_deprecated = true says that this is meant.")
	return hidden, nil
}

func describeImages(ctx context.Context, b *build, f *SourceAMIFilter, deprecated bool) ([]types.Image, error) {
	in := &ec2.DescribeImagesInput{Owners: f.Owners}
	if deprecated {
		in.IncludeDeprecated = aws.Bool(true)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Filters)) {
		in.Filters = append(in.Filters, filter(name, strings.Split(f.Filters[name], ",")...))
	}
	var images []types.Image
	for {
		page, err := b.aws.ec2.DescribeImages(ctx, in)
		if err != nil {
			return nil, err
		}
		images = append(images, page.Images...)
		if aws.ToString(page.NextToken) == "" {
			return images, nil
		}
		in.NextToken = page.NextToken
	}
}

// check refuses an image that this builder can't build on. archs are those of the instance type.
func (s *source) check(c *Config, archs []string) error {
	id, name := aws.ToString(s.image.ImageId), aws.ToString(s.image.Name)
	var errs []error
	refuse := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("source image %s (%s): "+format, append([]any{id, name}, args...)...))
	}
	if s.image.State != types.ImageStateAvailable {
		refuse("it is %s, not available; choose another", s.image.State)
	}
	if s.image.RootDeviceType != types.DeviceTypeEbs {
		refuse("its root device is of type %q; choose one on EBS", s.image.RootDeviceType)
	}
	if s.image.Platform == types.PlatformValuesWindows {
		refuse("it is Windows; %s", whyNotWindows)
	}
	if c.Architecture != "" && s.architecture != c.Architecture {
		refuse("it is for %s, and architecture says %s; change one of them", s.architecture, c.Architecture)
	} else if !slices.Contains(archs, s.architecture) {
		refuse("it is for %s, and instance_type %s is %s; change one of them", s.architecture, strings.Join(s.types(), ", "), strings.Join(archs, " or "))
	}
	if strings.Contains(name, "-minimal-") && !c.bringsAgent && !c.SkipAgentCheck && c.Comm.Type != communicatorNone {
		refuse("minimal images lack the SSM agent%s; choose a full one, install amazon-ssm-agent by user_data, "+
			"or set skip_agent_check = true if something else brings it", c.userDataSays())
	}
	return errors.Join(errs...)
}

// isAL2 tells Amazon Linux 2 by the name that Amazon gives it.
func (s *source) isAL2() bool {
	return strings.HasPrefix(aws.ToString(s.image.Name), "amzn2-")
}

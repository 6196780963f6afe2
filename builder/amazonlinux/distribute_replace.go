package amazonlinux

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// replaceAll gives the images the name that older ones have (force_deregister), in all
// regions side by side. What is to follow is asked everywhere first, while nothing is lost.
// The caller has made sure that the new images are available everywhere.
func replaceAll(ctx context.Context, b *build, list []*pending) error {
	inputs := make([]*ec2.RegisterImageInput, len(list))
	each := func(do func(i int, p *pending) error) error {
		calls := make([]func() error, len(list))
		for i, p := range list {
			calls[i] = func() error {
				if len(p.target.replaced) == 0 || p.target.name == b.config.AMIName {
					return nil
				}
				if err := do(i, p); err != nil {
					return fmt.Errorf("%s: %w", p.target.where(), awsclient.Err(err))
				}
				return nil
			}
		}
		return all(calls...)
	}
	err := each(func(i int, p *pending) (err error) {
		inputs[i], err = tryRegister(ctx, b, p)
		return err
	})
	if err != nil {
		return err
	}
	return each(func(i int, p *pending) error { return replace(ctx, b, p, inputs[i]) })
}

// tryRegister is what the image is registered with under its last name, if that is allowed.
func tryRegister(ctx context.Context, b *build, p *pending) (*ec2.RegisterImageInput, error) {
	in, err := registration(ctx, b, p, b.config.AMIName)
	if err != nil {
		return nil, err
	}
	in.DryRun = aws.Bool(true)
	if _, err := p.api.RegisterImage(ctx, in); onlyDenied(err) != nil {
		return nil, err
	}
	return in, nil
}

// replace gives the image the name that an older one has. A
// name belongs to one image and can't be changed, but an image is little more
// than a name for snapshots: so the old one is deregistered, the new one's
// snapshots are registered under its name, and its temporary registration goes.
func replace(ctx context.Context, b *build, p *pending, in *ec2.RegisterImageInput) error {
	in.DryRun = nil
	for _, old := range p.target.replaced {
		b.ui.Say(fmt.Sprintf("Replacing %s in %s...", aws.ToString(old.ImageId), p.target.where()))
		if err := deregisterImage(ctx, p.api, aws.ToString(old.ImageId)); err != nil {
			return err
		}
	}
	temporary := p.id
	if err := p.register(ctx, b, in); err != nil {
		return fmt.Errorf("%w; the new image is %s, under the name %q, and those that had the name %q are deregistered",
			err, temporary, p.target.name, b.config.AMIName)
	}
	what := "image " + temporary
	b.made.enter(what, "aws ec2 deregister-image --region %s --image-id %s", p.target.region, temporary)
	if err := deregisterImage(ctx, p.api, temporary); err != nil {
		return fmt.Errorf("%s: %w; run: %s", what, err, b.made.remedy(what))
	}
	b.made.strike(what)
	return nil
}

// register registers the image under its last name and makes it the one that p speaks of.
func (p *pending) register(ctx context.Context, b *build, in *ec2.RegisterImageInput) error {
	registered := &pending{target: p.target, api: p.api}
	registered.target.name = aws.ToString(in.Name)
	made, err := p.api.RegisterImage(ctx, in)
	switch {
	case awsclient.Code(err) == "InvalidAMIName.Duplicate":
		err = registered.adopt(ctx, b, err)
	case err == nil:
		registered.known(b, aws.ToString(made.ImageId))
	}
	if err != nil {
		return awsclient.Err(err)
	}
	if err := registered.awaitAvailable(ctx, b); err != nil {
		return err
	}
	*p = *registered
	return nil
}

// registration is the image again, of the same snapshots, under a name. With
// an error it is whole but for the variables of UEFI, which could not be read.
func registration(ctx context.Context, b *build, p *pending, name string) (*ec2.RegisterImageInput, error) {
	image := p.image
	in := &ec2.RegisterImageInput{
		Name:               aws.String(name),
		Description:        image.Description,
		Architecture:       image.Architecture,
		RootDeviceName:     image.RootDeviceName,
		VirtualizationType: aws.String(string(image.VirtualizationType)),
		EnaSupport:         image.EnaSupport,
		SriovNetSupport:    image.SriovNetSupport,
		BootMode:           image.BootMode,
		TpmSupport:         image.TpmSupport,
		ImdsSupport:        image.ImdsSupport,
		TagSpecifications:  []types.TagSpecification{tagged(types.ResourceTypeImage, p.target.tags(b.plan.texts.image))},
	}
	for _, device := range image.BlockDeviceMappings {
		in.BlockDeviceMappings = append(in.BlockDeviceMappings, registeredDevice(device))
	}
	if !strings.HasPrefix(string(image.BootMode), "uefi") {
		return in, nil
	}
	// The variables of UEFI are not in an image's description.
	seen, err := p.api.DescribeImageAttribute(ctx, &ec2.DescribeImageAttributeInput{
		ImageId: aws.String(p.id), Attribute: types.ImageAttributeNameUefiData,
	})
	if err != nil {
		return in, err
	}
	if seen.UefiData != nil && aws.ToString(seen.UefiData.Value) != "" {
		in.UefiData = seen.UefiData.Value
	}
	return in, nil
}

// registeredDevice is a device without what follows from its snapshot, which a registration may not say.
func registeredDevice(device types.BlockDeviceMapping) types.BlockDeviceMapping {
	if device.Ebs == nil || device.Ebs.SnapshotId == nil {
		return device
	}
	ebs := *device.Ebs
	ebs.Encrypted, ebs.KmsKeyId = nil, nil
	if ebs.VolumeType == types.VolumeTypeGp2 {
		ebs.Iops = nil // told by EC2, and not taken
	}
	device.Ebs = &ebs
	return device
}

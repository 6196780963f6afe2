package amazonlinux

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// A target is a region that gets the image, of the build's own account or of another.
type target struct {
	region   string
	account  *account      // nil for the build's own
	name     string        // what the image is made under: ami_name, or a temporary name
	replaced []types.Image // those that have ami_name now and give it to the new one
	encrypt  bool          // of a copy: encrypt it whatever the image is
	key      string        // the KMS key, "" for the region's default
}

// images are where the image is made and where it is copied to.
type images struct {
	build     target
	copies    []target
	accounts  []*account // whose copies are among them, in the order of ami_copy
	keepBuild bool       // the image of the build region stays
}

// all are the targets where an image stays.
func (i *images) all() []target {
	if i.keepBuild {
		return append([]target{i.build}, i.copies...)
	}
	return i.copies
}

// planImages decides in which regions which images are made, and finds what
// would stand against it at the end of the build.
func (p *plan) planImages(ctx context.Context, b *build) error {
	c := b.config
	p.images = images{build: target{region: b.aws.config.Region, name: c.AMIName}, keepBuild: !c.SkipSaveBuildRegion}
	if c.SkipCreateAMI {
		return nil
	}
	if err := p.planCopies(ctx, b); err != nil {
		return err
	}
	if err := p.planAccounts(ctx, b); err != nil {
		return err
	}
	looks := make([]func() error, 0, len(p.images.copies)+1)
	if p.images.keepBuild {
		looks = append(looks, func() error { return p.images.build.claimName(ctx, b) })
	} else {
		p.images.build.name = temporaryName(b)
	}
	for i := range p.images.copies {
		looks = append(looks, func() error { return p.images.copies[i].claimName(ctx, b) })
	}
	return all(looks...)
}

func (p *plan) planCopies(ctx context.Context, b *build) error {
	c, home := b.config, p.images.build.region
	if c.SkipSaveBuildRegion && slices.Contains(c.AMIRegions, home) {
		return fmt.Errorf("skip_save_build_region: ami_regions names the build region %q, too; delete one of them", home)
	}
	if c.EncryptBoot.True() {
		p.images.build.key = c.KMSKeyID
		if key := c.RegionKMSKeyIDs[home]; c.KMSKeyID == "" {
			p.images.build.key = key
		}
	}
	for _, region := range c.AMIRegions {
		if region == home {
			continue
		}
		key, named := c.RegionKMSKeyIDs[region]
		p.images.copies = append(p.images.copies, target{
			region: region, name: c.AMIName, encrypt: named || c.EncryptBoot.True(), key: key,
		})
	}
	if len(p.images.copies) == 0 || c.SkipRegionValidation {
		return nil
	}
	return checkRegions(ctx, &b.aws.ec2, "ami_regions", c.AMIRegions)
}

// checkRegions makes sure that the account can use the regions.
func checkRegions(ctx context.Context, api *ec2Calls, option string, names []string) error {
	found, err := api.DescribeRegions(ctx, &ec2.DescribeRegionsInput{})
	if awsclient.Denied(err) {
		return fmt.Errorf("%s: %w, or set skip_region_validation = true", option, awsclient.Err(err))
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		usable := slices.ContainsFunc(found.Regions, func(r types.Region) bool { return aws.ToString(r.RegionName) == name })
		if !usable {
			return fmt.Errorf("%s: the account has no region %q; check the name, or enable the region for the account", option, name)
		}
	}
	return nil
}

// claimName makes sure that the image can have its name: nobody has it, or may keep it.
func (t *target) claimName(ctx context.Context, b *build) error {
	found, err := b.api(*t).DescribeImages(ctx, &ec2.DescribeImagesInput{
		Owners:  []string{"self"},
		Filters: []types.Filter{filter("name", t.name)},
	})
	if err != nil || len(found.Images) == 0 {
		return err
	}
	id := aws.ToString(found.Images[0].ImageId)
	if !b.config.ForceDeregister {
		return fmt.Errorf("ami_name: %q is taken by %s in %s; choose another name, such as %q, set force_deregister = true, or run: "+
			"aws ec2 deregister-image --region %s --image-id %s",
			t.name, id, t.where(), t.name+"-{{timestamp}}", t.region, id)
	}
	for _, image := range found.Images {
		if protection := aws.ToString(image.DeregistrationProtection); protection != "" && protection != disabled {
			return fmt.Errorf("force_deregister: %s in %s is protected from that (%s); run: "+
				"aws ec2 disable-image-deregistration-protection --region %s --image-id %s",
				id, t.where(), protection, t.region, id)
		}
	}
	b.ui.Say(fmt.Sprintf("%s in %s has the name %q; it is replaced once the new image is available everywhere", id, t.where(), t.name))
	t.replaced, t.name = found.Images, temporaryName(b)
	return nil
}

// temporaryName is a name that nobody else gives.
func temporaryName(b *build) string {
	name := b.config.AMIName
	if room := maxNameLength - len(b.id) - 1; len(name) > room {
		name = name[:room]
	}
	return name + "-" + b.id
}

// tryCopies asks in each region whether the caller may copy there. The source
// image stands in for the one that is not there yet.
func (p *plan) tryCopies(ctx context.Context, b *build) error {
	tries := make([]func() error, 0, len(p.images.copies))
	for _, t := range p.images.copies {
		tries = append(tries, func() error {
			in := copyInput(b, p, t, aws.ToString(p.source.image.ImageId), "")
			in.DryRun = aws.Bool(true)
			_, err := b.api(t).CopyImage(ctx, in)
			return onlyDenied(err)
		})
	}
	return all(tries...)
}

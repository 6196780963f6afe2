package amazonlinux

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// copy makes the copies and waits until all of them are available. Those of an
// earlier try that are, or still may be, are not made again.
func (s *stepDistribute) copy(ctx context.Context, b *build) error {
	if s.copies == nil {
		for _, t := range b.plan.images.copies {
			s.copies = append(s.copies, &pending{target: t, api: b.aws.in(t.region)})
		}
	}
	if len(s.copies) > 0 {
		regions := make([]string, len(s.copies))
		for i, p := range s.copies {
			regions[i] = p.target.region
		}
		b.ui.Say(fmt.Sprintf("Copying %s to %s...", b.images[0].id, strings.Join(regions, ", ")))
	}
	err := together(ctx, s.copies, func(ctx context.Context, p *pending) error { return copyImage(ctx, b, p) })
	b.images = b.images[:1]
	for _, p := range s.copies {
		if p.available {
			b.images = append(b.images, p)
		}
	}
	if len(b.images) == len(s.copies)+1 {
		return nil // whatever came after the last of them
	}
	return err
}

func copyImage(ctx context.Context, b *build, p *pending) error {
	if p.available {
		return nil
	}
	if p.dead {
		if err := p.discard(ctx, b); err != nil {
			return err
		}
	}
	if p.id == "" {
		if err := askCopy(ctx, b, p); err != nil {
			return err
		}
	}
	return p.awaitAvailable(ctx, b)
}

func askCopy(ctx context.Context, b *build, p *pending) error {
	p.asked++
	ctx, cancel := creating(ctx)
	defer cancel()
	token := fmt.Sprintf("packer-%s-copy-%d", b.id, b.tokens.Add(1))
	made, err := p.api.CopyImage(ctx, copyInput(b, b.plan, p.target, b.images[0].id, token))
	if awsclient.Code(err) == "InvalidAMIName.Duplicate" {
		return p.adopt(ctx, b, err)
	}
	if err != nil {
		return err
	}
	p.known(b, aws.ToString(made.ImageId))
	return nil
}

// copyInput is a copy as EC2 takes it, described and tagged as the image itself.
func copyInput(b *build, p *plan, t target, from, token string) *ec2.CopyImageInput {
	in := &ec2.CopyImageInput{
		Name:              aws.String(t.name),
		SourceImageId:     aws.String(from),
		SourceRegion:      aws.String(p.images.build.region),
		TagSpecifications: imageTags(p),
	}
	if p.texts.description != "" {
		in.Description = aws.String(p.texts.description)
	}
	if token != "" {
		in.ClientToken = aws.String(token)
	}
	if t.encrypt {
		in.Encrypted = aws.Bool(true)
	}
	if t.key != "" {
		in.KmsKeyId = aws.String(t.key)
	}
	if minutes := b.config.SnapshotCopyDurationMinutes; minutes != 0 {
		in.SnapshotCopyCompletionDurationMinutes = aws.Int64(minutes)
	}
	return in
}

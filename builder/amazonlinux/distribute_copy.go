package amazonlinux

import (
	"context"
	"fmt"
	"slices"
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
			s.copies = append(s.copies, &pending{target: t, api: b.api(t)})
		}
	}
	if !slices.ContainsFunc(s.copies, func(p *pending) bool { return !p.available }) {
		return nil // there are none, or an earlier try made them
	}
	if err := s.lend(ctx, b); err != nil {
		return err
	}
	places := make([]string, len(s.copies))
	for i, p := range s.copies {
		places[i] = p.target.where()
	}
	b.ui.Say(fmt.Sprintf("Copying %s to %s...", b.images[0].id, strings.Join(places, ", ")))
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
	err := p.awaitAvailable(ctx, b)
	if p.dead && p.target.account != nil && encryptedImage(b.images[0].image) {
		return fmt.Errorf("%w; the policy of the key of %s must let account %s use it (kms:DescribeKey, kms:Decrypt, kms:ReEncrypt*, kms:CreateGrant), "+
			"and so must the policies of %s", err, b.images[0].id, p.target.account.id, p.target.account.role)
	}
	return err
}

// askCopy asks for a copy. Another account sees what it was lent only after a moment.
func askCopy(ctx context.Context, b *build, p *pending) error {
	token := fmt.Sprintf("packer-%s-copy-%d", b.id, b.tokens.Add(1))
	if p.target.account == nil {
		return askCopyOnce(ctx, b, p, token)
	}
	what := fmt.Sprintf("%s seen by account %s", b.images[0].id, p.target.account.id)
	return await(ctx, what, visibleLimit, func(ctx context.Context) (bool, string, error) {
		err := askCopyOnce(ctx, b, p, token)
		if code := awsclient.Code(err); code == "InvalidAMIID.NotFound" || code == "InvalidRequest" {
			return false, err.Error(), nil
		}
		return err == nil, "", err
	})
}

func askCopyOnce(ctx context.Context, b *build, p *pending, token string) error {
	p.asked++
	ctx, cancel := creating(ctx)
	defer cancel()
	in := copyInput(b, b.plan, p.target, b.images[0].id, token)
	if encryptedImage(b.images[0].image) {
		in.Encrypted = aws.Bool(true) // never undone, so AWS is not left to guess what is meant
	}
	made, err := p.api.CopyImage(ctx, in)
	if awsclient.Code(err) == "InvalidAMIName.Duplicate" {
		return p.adopt(ctx, b, err)
	}
	if err != nil {
		return awsclient.Err(err)
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
		TagSpecifications: imageTags(p, t),
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

package amazonlinux

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// encrypt makes the volumes of the launch what the image's are to be.
func (p *plan) encrypt(ctx context.Context, b *build) error {
	switch choice := b.config.EncryptBoot; {
	case choice.True():
		return p.encryptVolumes()
	case choice.False():
		return p.checkPlain(ctx, b)
	}
	return nil
}

func (p *plan) encryptVolumes() error {
	for i := range p.volumes {
		ebs := p.volumes[i].Ebs
		if ebs == nil {
			continue
		}
		if ebs.Encrypted != nil && !*ebs.Encrypted {
			return fmt.Errorf("encrypt_boot: %s is not to be encrypted; delete one of the two", aws.ToString(p.volumes[i].DeviceName))
		}
		ebs.Encrypted = aws.Bool(true)
		if ebs.KmsKeyId == nil && p.images.build.key != "" {
			ebs.KmsKeyId = aws.String(p.images.build.key)
		}
	}
	return nil
}

// checkPlain finds what would encrypt the image that must not be. AWS makes no
// plain copy of what is encrypted.
func (p *plan) checkPlain(ctx context.Context, b *build) error {
	if encryptedImage(p.source.image) {
		return fmt.Errorf("encrypt_boot: it is false, and the source image %s is encrypted, which AWS never undoes; choose a source that is not, or delete encrypt_boot",
			aws.ToString(p.source.image.ImageId))
	}
	for _, volume := range p.volumes {
		if volume.Ebs != nil && aws.ToBool(volume.Ebs.Encrypted) {
			return fmt.Errorf("encrypt_boot: it is false, and %s is to be encrypted; delete one of the two", aws.ToString(volume.DeviceName))
		}
	}
	var errs []error
	for _, t := range p.images.all() {
		if t.account != nil {
			continue // encrypt_boot is about the build's own
		}
		always, err := encryptsAlways(ctx, b.aws.in(t.region))
		if always {
			err = fmt.Errorf("encrypt_boot: it is false, and the account encrypts every new volume in %s; delete encrypt_boot, or switch that off", t.region)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func encryptedImage(image types.Image) bool {
	for _, device := range image.BlockDeviceMappings {
		if device.Ebs != nil && aws.ToBool(device.Ebs.Encrypted) {
			return true
		}
	}
	return false
}

// encryptsAlways tells whether the account encrypts what does not ask for it. A
// caller who may not know is not stopped by that.
func encryptsAlways(ctx context.Context, api *ec2Calls) (bool, error) {
	found, err := api.GetEbsEncryptionByDefault(ctx, &ec2.GetEbsEncryptionByDefaultInput{})
	if awsclient.Denied(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return aws.ToBool(found.EbsEncryptionByDefault), nil
}

// checkSharing finds before the launch what AWS would refuse to share at the end,
// or for the time in which other accounts copy the image.
func (p *plan) checkSharing(ctx context.Context, b *build) error {
	var looks []func() error
	if b.config.shares() {
		for _, t := range p.images.all() {
			looks = append(looks, func() error { return p.checkSharingIn(ctx, b, t, len(b.config.AMIGroups) > 0) })
		}
	}
	if p.images.lends() && (len(looks) == 0 || !p.images.keepBuild) {
		looks = append(looks, func() error { return p.checkSharingIn(ctx, b, p.images.build, false) })
	}
	return all(looks...)
}

func (p *plan) checkSharingIn(ctx context.Context, b *build, t target, public bool) error {
	api := b.api(t)
	if public {
		if err := checkPublic(ctx, api, t); err != nil {
			return err
		}
	}
	encrypted, key := p.encryption(t)
	if !encrypted {
		always, err := encryptsAlways(ctx, api)
		if err != nil {
			return err
		}
		encrypted = always
	}
	switch {
	case !encrypted:
		return nil
	case public:
		return fmt.Errorf("ami_groups: the image in %s will be encrypted, and such a one can't be public; delete ami_groups", t.where())
	case key == "" && (t.account != nil || !encryptedImage(p.source.image)):
		return checkDefaultKey(ctx, api, t)
	case key == awsEBSKey:
		return defaultKeyError(t)
	}
	return nil
}

// encryption is what is known of the image's, without asking.
func (p *plan) encryption(t target) (encrypted bool, key string) {
	encrypted, key = t.encrypt || encryptedImage(p.source.image), t.key
	for _, volume := range p.volumes {
		if volume.Ebs == nil || !aws.ToBool(volume.Ebs.Encrypted) {
			continue
		}
		encrypted = true
		if t.region == p.region && t.account == nil && key == "" {
			key = aws.ToString(volume.Ebs.KmsKeyId)
		}
	}
	return encrypted, key
}

// checkDefaultKey refuses AWS's own key, which nobody else can use. An
// account's default key may also be one of its own.
func checkDefaultKey(ctx context.Context, api *ec2Calls, t target) error {
	found, err := api.GetEbsDefaultKmsKeyId(ctx, &ec2.GetEbsDefaultKmsKeyIdInput{})
	if awsclient.Denied(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if strings.HasSuffix(aws.ToString(found.KmsKeyId), awsEBSKey) {
		return defaultKeyError(t)
	}
	return nil
}

func defaultKeyError(t target) error {
	return fmt.Errorf("sharing: the image in %s will be encrypted with AWS's own key for EBS, which other accounts can't use; "+
		"set kms_key_id or region_kms_key_ids to a key of yours, whose policy lets them use it", t.where())
}

// checkPublic asks whether the account lets images be public in the region.
func checkPublic(ctx context.Context, api *ec2Calls, t target) error {
	found, err := api.GetImageBlockPublicAccessState(ctx, &ec2.GetImageBlockPublicAccessStateInput{})
	if awsclient.Denied(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if state := aws.ToString(found.ImageBlockPublicAccessState); state != "unblocked" {
		return fmt.Errorf("ami_groups: the account blocks public images in %s (%s); delete ami_groups, or run: "+
			"aws ec2 disable-image-block-public-access --region %s", t.where(), state, t.region)
	}
	return nil
}

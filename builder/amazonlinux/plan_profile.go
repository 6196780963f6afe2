package amazonlinux

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// A profile is where the agent is to have its permissions from. The zero value
// is a temporary role and profile.
type profile struct {
	given   string // an existing one, by name or ARN
	shared  string // the name of one that builds share
	missing bool   // the shared one is to be made
	none    bool   // Default Host Management gives the permissions
}

// hostManagement is the setting that names the role of Default Host Management.
const hostManagement = "/ssm/managed-instance/default-ec2-instance-management-role"

// existing is the profile as far as it is there already.
func (p profile) existing() string {
	switch {
	case p.given != "":
		return p.given
	case p.missing:
		return ""
	}
	return p.shared
}

// makes tells whether a role and profile are to be made.
func (p profile) makes() bool { return p.missing || p == profile{} }

// String tells the user what is used.
func (p profile) String() string {
	switch {
	case p.given != "":
		return p.given
	case p.missing:
		return p.shared + ", to be made for this build and those after it"
	case p.shared != "":
		return p.shared + ", shared by builds"
	case p.none:
		return "none; Default Host Management gives the agent its permissions"
	}
	return "temporary, with just what the agent needs"
}

// remedy is what to look at where the agent does not come online.
func (p profile) remedy() string {
	switch {
	case p.given != "":
		return fmt.Sprintf("its role must allow what AmazonSSMManagedInstanceCore does (iam_instance_profile %s)", p.given)
	case p.shared != "":
		return fmt.Sprintf("the role %s must still allow what AmazonSSMManagedInstanceCore does (shared_iam_instance_profile)", p.shared)
	case p.none:
		return "none: Default Host Management needs agent 3.2.582 or newer and a role that allows what AmazonSSMManagedEC2InstanceDefaultPolicy does"
	}
	return "the temporary profile was in place, so look at the network; a permissions boundary must allow what the agent needs"
}

// findProfile decides on the profile and makes sure that what is to be there is.
func (p *plan) findProfile(ctx context.Context, b *build) error {
	c := b.config
	switch {
	case c.IAMMode == iamHostManagement:
		p.profile.none = true
		return checkHostManagement(ctx, b)
	case c.IAMInstanceProfile != "":
		p.profile.given = c.IAMInstanceProfile
		return checkProfile(ctx, b)
	case c.SharedIAMInstanceProfile != "":
		p.profile.shared = c.SharedIAMInstanceProfile
		return p.findShared(ctx, b)
	}
	return nil
}

// checkProfile makes sure that the given instance profile exists and has a role.
func checkProfile(ctx context.Context, b *build) error {
	given := b.config.IAMInstanceProfile
	if b.config.SkipProfileValidation {
		return nil
	}
	found, err := b.aws.iam.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: aws.String(baseName(given))})
	switch {
	case awsclient.Code(err) == noSuchEntity:
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

// findShared looks whether the shared profile is there. One without a role is
// another build's that is still at work on it, or died over it: it is made whole.
func (p *plan) findShared(ctx context.Context, b *build) error {
	if b.config.SkipProfileValidation {
		return nil
	}
	found, err := b.aws.iam.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: aws.String(p.profile.shared)})
	switch {
	case awsclient.Code(err) == noSuchEntity:
		p.profile.missing = true
		return nil
	case awsclient.Denied(err):
		return fmt.Errorf("shared_iam_instance_profile: %w, or set skip_profile_validation = true once it exists", awsclient.Err(err))
	case err != nil:
		return err
	}
	p.profile.missing = len(found.InstanceProfile.Roles) == 0
	return nil
}

// checkHostManagement makes sure that Default Host Management is on. A caller who may
// not ask learns it from the agent.
func checkHostManagement(ctx context.Context, b *build) error {
	found, err := b.aws.ssm.GetServiceSetting(ctx, &ssm.GetServiceSettingInput{SettingId: aws.String(hostManagement)})
	if awsclient.Denied(err) {
		b.ui.Say("iam_mode: whether Default Host Management is on can't be seen, for want of ssm:GetServiceSetting; going on.")
		return nil
	}
	if err != nil {
		return err
	}
	if value := aws.ToString(found.ServiceSetting.SettingValue); value == "" || value == "$None" {
		return fmt.Errorf("iam_mode: Default Host Management is off in %s; switch it on with a role that allows what AmazonSSMManagedEC2InstanceDefaultPolicy does: "+
			"aws ssm update-service-setting --region %[1]s --setting-id %s --setting-value service-role/AWSSystemsManagerDefaultEC2InstanceManagementRole, or delete iam_mode",
			b.aws.config.Region, hostManagement)
	}
	return nil
}

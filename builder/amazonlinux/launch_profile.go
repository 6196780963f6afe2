package amazonlinux

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// stepProfile makes the role and instance profile that the plan has to be made:
// temporary ones, or those that builds share and that stay.
// Both have the same name, which is known before they are made, so that they
// are found again whatever happens.
type stepProfile struct {
	name   string // set before anything is made
	shared bool   // not this build's alone: never removed
}

const (
	policyVersion  = "2012-10-17"
	agentPolicy    = "agent"
	extraPolicy    = "template"
	profileRemoval = time.Minute
	noSuchEntity   = "NoSuchEntity"
	alreadyExists  = "EntityAlreadyExists"
	deleteConflict = "DeleteConflict"
)

// agentActions is what the agent needs to register, to take Run Commands and to
// carry sessions, and nothing else: no parameters, no inventory, no bucket.
// Older agents take commands by ec2messages, newer ones by ssmmessages.
var agentActions = []string{
	"ssm:UpdateInstanceInformation",
	"ssmmessages:CreateControlChannel", "ssmmessages:OpenControlChannel",
	"ssmmessages:CreateDataChannel", "ssmmessages:OpenDataChannel",
	"ec2messages:AcknowledgeMessage", "ec2messages:DeleteMessage", "ec2messages:FailMessage",
	"ec2messages:GetEndpoint", "ec2messages:GetMessages", "ec2messages:SendReply",
}

func (s *stepProfile) Run(ctx context.Context, bag multistep.StateBag) multistep.StepAction {
	return conclude(bag, phase("launch", s.create(ctx, buildOf(bag))))
}

// Cleanup removes profile and role.
func (s *stepProfile) Cleanup(bag multistep.StateBag) {
	undo(bag, profileRemoval, s.remove)
}

func (s *stepProfile) create(ctx context.Context, b *build) error {
	p := b.plan.profile
	if !p.makes() {
		b.profile = p.existing()
		return nil
	}
	switch {
	case s.name != "":
	case p.missing:
		s.name, s.shared = p.shared, true
		b.ui.Say("Making role and instance profile " + s.name + ", which stay for other builds")
	default:
		s.name = "packer-" + b.id
		b.ui.Say("Making temporary role and instance profile " + s.name)
	}
	ctx, cancel := creating(ctx)
	defer cancel()
	for _, next := range []func(context.Context, *build) error{s.createRole, s.putPolicies, s.createProfile, s.addRole} {
		if err := next(ctx, b); err != nil {
			return err
		}
	}
	b.profile = s.name
	return nil
}

func (s *stepProfile) role() string    { return "role " + s.name }
func (s *stepProfile) profile() string { return "instance profile " + s.name }

// enter records what goes with the build.
func (s *stepProfile) enter(b *build, what, remove string, args ...any) {
	if !s.shared {
		b.made.enter(what, remove, args...)
	}
}

// tags are those of the build; what stays after it carries neither its id nor
// its expiry, by which it would be taken for forgotten.
func (s *stepProfile) tags(b *build) []types.Tag {
	all := maps.Clone(b.plan.texts.run)
	if s.shared {
		for _, own := range ownTags {
			delete(all, own)
		}
		all["packer-plugin-ssm:shared"] = "true"
	}
	return iamTags(all)
}

// createRole makes the role. A temporary name is this build's alone, so a role that is
// there already is one whose answer was lost on the way, or an earlier try's; a shared
// one may be another build's that is at it now, and both make the same of it.
func (s *stepProfile) createRole(ctx context.Context, b *build) error {
	c := b.config
	s.enter(b, s.role(), "%s", s.removal(c))
	in := &iam.CreateRoleInput{
		RoleName:                 aws.String(s.name),
		Description:              aws.String("Packer build " + b.id + ": what the SSM agent on the build instance may do"),
		AssumeRolePolicyDocument: aws.String(trustPolicy(b.plan.caller.Partition)),
		Tags:                     s.tags(b),
	}
	if s.shared {
		in.Description = aws.String("Packer builds: what the SSM agent on a build instance may do")
	}
	if path := c.TemporaryIAMInstanceProfilePath; path != "" {
		in.Path = aws.String(path)
	}
	if boundary := c.TemporaryIAMInstanceProfilePermissionsBoundary; boundary != "" {
		in.PermissionsBoundary = aws.String(boundary)
	}
	return repeated(ctx, busyCode, func(ctx context.Context) error {
		_, err := b.aws.iam.CreateRole(ctx, in)
		return unlessCode(err, alreadyExists)
	})
}

// removal is how to remove the role by hand.
func (s *stepProfile) removal(c *Config) string {
	steps := []string{"aws iam delete-role-policy --role-name " + s.name + " --policy-name " + agentPolicy}
	if c.TemporaryIAMInstanceProfilePolicyDocument != nil {
		steps = append(steps, "aws iam delete-role-policy --role-name "+s.name+" --policy-name "+extraPolicy)
	}
	for _, arn := range c.TemporaryIAMInstanceProfilePolicyARNs {
		steps = append(steps, "aws iam detach-role-policy --role-name "+s.name+" --policy-arn "+arn)
	}
	return strings.Join(append(steps, "aws iam delete-role --role-name "+s.name), "; ")
}

func (s *stepProfile) putPolicies(ctx context.Context, b *build) error {
	agent := PolicyDocument{Version: policyVersion, Statement: []Statement{{Effect: "Allow", Action: agentActions, Resource: []string{"*"}}}}
	if err := s.putPolicy(ctx, b, agentPolicy, agent); err != nil {
		return err
	}
	if s.shared {
		return nil
	}
	if extra := b.config.TemporaryIAMInstanceProfilePolicyDocument; extra != nil {
		if err := s.putPolicy(ctx, b, extraPolicy, *extra); err != nil {
			return err
		}
	}
	for _, arn := range b.config.TemporaryIAMInstanceProfilePolicyARNs {
		if err := s.attachPolicy(ctx, b, arn); err != nil {
			return err
		}
	}
	return nil
}

// attachPolicy attaches a managed policy. That the policy does not exist has the code by
// which IAM also says that it does not know the new role yet; the wait ends in either case.
func (s *stepProfile) attachPolicy(ctx context.Context, b *build, arn string) error {
	err := repeated(ctx, func(code string, err error) bool {
		return code == noSuchEntity && !strings.Contains(awsclient.Message(err), arn) || busyCode(code, err)
	}, func(ctx context.Context) error {
		_, err := b.aws.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String(s.name), PolicyArn: aws.String(arn)})
		return err
	})
	if awsclient.Code(err) == noSuchEntity {
		return fmt.Errorf("temporary_iam_instance_profile_policy_arns: %s: %w", arn, err)
	}
	return err
}

// busyCode tells IAM's answer to a change that meets another build's of the same role.
func busyCode(code string, _ error) bool { return code == "ConcurrentModification" }

// repeated calls until the answer is none of those that pass.
func repeated(ctx context.Context, passing func(code string, err error) bool, call func(context.Context) error) error {
	return await(ctx, "settling", visibleLimit, func(ctx context.Context) (bool, string, error) {
		err := call(ctx)
		if err != nil && passing(awsclient.Code(err), err) {
			return false, err.Error(), nil
		}
		return err == nil, "", awsclient.Err(err)
	})
}

// unsettled tells the answers of IAM to what has just been made, or is being made by another build.
func unsettled(code string, err error) bool { return code == noSuchEntity || busyCode(code, err) }

func (s *stepProfile) putPolicy(ctx context.Context, b *build, name string, policy PolicyDocument) error {
	text, err := json.Marshal(policy)
	if err != nil {
		return err
	}
	return repeated(ctx, unsettled, func(ctx context.Context) error {
		_, err := b.aws.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{
			RoleName:       aws.String(s.name),
			PolicyName:     aws.String(name),
			PolicyDocument: aws.String(string(text)),
		})
		return err
	})
}

func (s *stepProfile) createProfile(ctx context.Context, b *build) error {
	s.enter(b, s.profile(), "aws iam remove-role-from-instance-profile --instance-profile-name %[1]s --role-name %[1]s; aws iam delete-instance-profile --instance-profile-name %[1]s", s.name)
	in := &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String(s.name), Tags: s.tags(b)}
	if path := b.config.TemporaryIAMInstanceProfilePath; path != "" {
		in.Path = aws.String(path)
	}
	return repeated(ctx, busyCode, func(ctx context.Context) error {
		_, err := b.aws.iam.CreateInstanceProfile(ctx, in)
		return unlessCode(err, alreadyExists)
	})
}

// addRole puts the role into the profile before the launch: an agent that
// starts without credentials asks again only half an hour later. A profile
// takes one role, so the limit is exceeded where it is in already.
func (s *stepProfile) addRole(ctx context.Context, b *build) error {
	return repeated(ctx, unsettled, func(ctx context.Context) error {
		_, err := b.aws.iam.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{
			InstanceProfileName: aws.String(s.name),
			RoleName:            aws.String(s.name),
		})
		return unlessCode(err, "LimitExceeded")
	})
}

// remove removes the profile, then the role. Each call presumes that the one
// before it did its work, so the first that fails ends it.
func (s *stepProfile) remove(ctx context.Context, b *build) error {
	if s.name == "" || s.shared {
		return nil
	}
	_, err := b.aws.iam.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{
		InstanceProfileName: aws.String(s.name), RoleName: aws.String(s.name),
	})
	if err = unlessCode(err, noSuchEntity); err != nil {
		return fmt.Errorf("%s: %w", s.profile(), err)
	}
	return errors.Join(s.removeProfile(ctx, b), s.removeRole(ctx, b))
}

func (s *stepProfile) removeProfile(ctx context.Context, b *build) error {
	return s.struck(b, s.profile(), settled(ctx, deleteConflict, func(ctx context.Context) error {
		_, err := b.aws.iam.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: aws.String(s.name)})
		return err
	}))
}

func (s *stepProfile) removeRole(ctx context.Context, b *build) error {
	policies := []string{agentPolicy}
	if b.config.TemporaryIAMInstanceProfilePolicyDocument != nil {
		policies = append(policies, extraPolicy)
	}
	for _, policy := range policies {
		_, err := b.aws.iam.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: aws.String(s.name), PolicyName: aws.String(policy)})
		if err = unlessCode(err, noSuchEntity); err != nil {
			return fmt.Errorf("%s: %w", s.role(), err)
		}
	}
	for _, arn := range b.config.TemporaryIAMInstanceProfilePolicyARNs {
		_, err := b.aws.iam.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: aws.String(s.name), PolicyArn: aws.String(arn)})
		if err = unlessCode(err, noSuchEntity); err != nil {
			return fmt.Errorf("%s: %w", s.role(), err)
		}
	}
	return s.struck(b, s.role(), settled(ctx, deleteConflict, func(ctx context.Context) error {
		_, err := b.aws.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String(s.name)})
		return err
	}))
}

// struck strikes a resource out whose deletion succeeded, or found nothing.
func (s *stepProfile) struck(b *build, what string, err error) error {
	if err = unlessCode(err, noSuchEntity); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	b.made.strike(what)
	return nil
}

// unlessCode takes an answer with the given code for success.
func unlessCode(err error, code string) error {
	if awsclient.Code(err) == code {
		return nil
	}
	return awsclient.Err(err)
}

// trustPolicy lets EC2 hand the role to its instances.
func trustPolicy(partition string) string {
	service := "ec2.amazonaws.com"
	if partition == "aws-cn" {
		service = "ec2.amazonaws.com.cn"
	}
	return fmt.Sprintf(`{"Version":%q,"Statement":[{"Effect":"Allow","Principal":{"Service":%q},"Action":"sts:AssumeRole"}]}`, policyVersion, service)
}

// iamTag is what IAM takes in a tag; EC2 takes anything.
var iamTag = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// iamTags leaves out what IAM would refuse: the launch must not fail for a bracket in a tag.
func iamTags(tags map[string]string) []types.Tag {
	fit := map[string]string{}
	for key, value := range tags {
		if iamTag.MatchString(key) && iamTag.MatchString(value) {
			fit[key] = value
		}
	}
	return sortedTags(fit, func(key, value *string) types.Tag { return types.Tag{Key: key, Value: value} })
}

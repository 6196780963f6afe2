package amazonlinux

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// clients are the calls that a build makes, all with the same credentials and
// region.
//
// They are functions instead of the SDK's clients for the sake of the linker. A
// client whose type gets into an interface, even as a field of something in the
// state bag, keeps all of its methods in the binary, because something
// somewhere finds methods by reflection; EC2 alone has seven hundred. With
// functions the plugin is a third of the size.
type clients struct {
	config aws.Config
	ec2    ec2Calls
	iam    iamCalls
	ssm    ssmCalls
	sts    stsCalls
}

// A call is one method of a client.
type call[In, Out, Options any] func(context.Context, *In, ...func(*Options)) (*Out, error)

type (
	ec2Call[In, Out any] = call[In, Out, ec2.Options]
	iamCall[In, Out any] = call[In, Out, iam.Options]
	ssmCall[In, Out any] = call[In, Out, ssm.Options]
	stsCall[In, Out any] = call[In, Out, sts.Options]
)

type ec2Calls struct {
	AuthorizeSecurityGroupEgress        ec2Call[ec2.AuthorizeSecurityGroupEgressInput, ec2.AuthorizeSecurityGroupEgressOutput]
	CopyImage                           ec2Call[ec2.CopyImageInput, ec2.CopyImageOutput]
	CreateFleet                         ec2Call[ec2.CreateFleetInput, ec2.CreateFleetOutput]
	CreateImage                         ec2Call[ec2.CreateImageInput, ec2.CreateImageOutput]
	CreateLaunchTemplate                ec2Call[ec2.CreateLaunchTemplateInput, ec2.CreateLaunchTemplateOutput]
	CreateSecurityGroup                 ec2Call[ec2.CreateSecurityGroupInput, ec2.CreateSecurityGroupOutput]
	DeleteFleets                        ec2Call[ec2.DeleteFleetsInput, ec2.DeleteFleetsOutput]
	DeleteLaunchTemplate                ec2Call[ec2.DeleteLaunchTemplateInput, ec2.DeleteLaunchTemplateOutput]
	DeleteSecurityGroup                 ec2Call[ec2.DeleteSecurityGroupInput, ec2.DeleteSecurityGroupOutput]
	DeleteSnapshot                      ec2Call[ec2.DeleteSnapshotInput, ec2.DeleteSnapshotOutput]
	DeregisterImage                     ec2Call[ec2.DeregisterImageInput, ec2.DeregisterImageOutput]
	DescribeImageAttribute              ec2Call[ec2.DescribeImageAttributeInput, ec2.DescribeImageAttributeOutput]
	DescribeImages                      ec2Call[ec2.DescribeImagesInput, ec2.DescribeImagesOutput]
	DescribeInstanceTypeOfferings       ec2Call[ec2.DescribeInstanceTypeOfferingsInput, ec2.DescribeInstanceTypeOfferingsOutput]
	DescribeInstanceTypes               ec2Call[ec2.DescribeInstanceTypesInput, ec2.DescribeInstanceTypesOutput]
	DescribeInstances                   ec2Call[ec2.DescribeInstancesInput, ec2.DescribeInstancesOutput]
	DescribeRegions                     ec2Call[ec2.DescribeRegionsInput, ec2.DescribeRegionsOutput]
	DescribeSecurityGroups              ec2Call[ec2.DescribeSecurityGroupsInput, ec2.DescribeSecurityGroupsOutput]
	DescribeSnapshots                   ec2Call[ec2.DescribeSnapshotsInput, ec2.DescribeSnapshotsOutput]
	DescribeSubnets                     ec2Call[ec2.DescribeSubnetsInput, ec2.DescribeSubnetsOutput]
	DescribeVpcs                        ec2Call[ec2.DescribeVpcsInput, ec2.DescribeVpcsOutput]
	EnableImageDeprecation              ec2Call[ec2.EnableImageDeprecationInput, ec2.EnableImageDeprecationOutput]
	EnableImageDeregistrationProtection ec2Call[ec2.EnableImageDeregistrationProtectionInput, ec2.EnableImageDeregistrationProtectionOutput]
	GetConsoleOutput                    ec2Call[ec2.GetConsoleOutputInput, ec2.GetConsoleOutputOutput]
	GetEbsDefaultKmsKeyId               ec2Call[ec2.GetEbsDefaultKmsKeyIdInput, ec2.GetEbsDefaultKmsKeyIdOutput] //nolint:revive // the SDK's name
	GetEbsEncryptionByDefault           ec2Call[ec2.GetEbsEncryptionByDefaultInput, ec2.GetEbsEncryptionByDefaultOutput]
	GetImageBlockPublicAccessState      ec2Call[ec2.GetImageBlockPublicAccessStateInput, ec2.GetImageBlockPublicAccessStateOutput]
	ModifyImageAttribute                ec2Call[ec2.ModifyImageAttributeInput, ec2.ModifyImageAttributeOutput]
	ModifySnapshotAttribute             ec2Call[ec2.ModifySnapshotAttributeInput, ec2.ModifySnapshotAttributeOutput]
	RegisterImage                       ec2Call[ec2.RegisterImageInput, ec2.RegisterImageOutput]
	ModifyInstanceAttribute             ec2Call[ec2.ModifyInstanceAttributeInput, ec2.ModifyInstanceAttributeOutput]
	RevokeSecurityGroupEgress           ec2Call[ec2.RevokeSecurityGroupEgressInput, ec2.RevokeSecurityGroupEgressOutput]
	RunInstances                        ec2Call[ec2.RunInstancesInput, ec2.RunInstancesOutput]
	StopInstances                       ec2Call[ec2.StopInstancesInput, ec2.StopInstancesOutput]
	TerminateInstances                  ec2Call[ec2.TerminateInstancesInput, ec2.TerminateInstancesOutput]
}

type iamCalls struct {
	AddRoleToInstanceProfile      iamCall[iam.AddRoleToInstanceProfileInput, iam.AddRoleToInstanceProfileOutput]
	AttachRolePolicy              iamCall[iam.AttachRolePolicyInput, iam.AttachRolePolicyOutput]
	CreateInstanceProfile         iamCall[iam.CreateInstanceProfileInput, iam.CreateInstanceProfileOutput]
	CreateRole                    iamCall[iam.CreateRoleInput, iam.CreateRoleOutput]
	DeleteInstanceProfile         iamCall[iam.DeleteInstanceProfileInput, iam.DeleteInstanceProfileOutput]
	DeleteRole                    iamCall[iam.DeleteRoleInput, iam.DeleteRoleOutput]
	DeleteRolePolicy              iamCall[iam.DeleteRolePolicyInput, iam.DeleteRolePolicyOutput]
	DetachRolePolicy              iamCall[iam.DetachRolePolicyInput, iam.DetachRolePolicyOutput]
	GetInstanceProfile            iamCall[iam.GetInstanceProfileInput, iam.GetInstanceProfileOutput]
	PutRolePolicy                 iamCall[iam.PutRolePolicyInput, iam.PutRolePolicyOutput]
	RemoveRoleFromInstanceProfile iamCall[iam.RemoveRoleFromInstanceProfileInput, iam.RemoveRoleFromInstanceProfileOutput]
}

type ssmCalls struct {
	CancelCommand               ssmCall[ssm.CancelCommandInput, ssm.CancelCommandOutput]
	DescribeSessions            ssmCall[ssm.DescribeSessionsInput, ssm.DescribeSessionsOutput]
	DescribeInstanceInformation ssmCall[ssm.DescribeInstanceInformationInput, ssm.DescribeInstanceInformationOutput]
	GetCommandInvocation        ssmCall[ssm.GetCommandInvocationInput, ssm.GetCommandInvocationOutput]
	GetParameter                ssmCall[ssm.GetParameterInput, ssm.GetParameterOutput]
	GetServiceSetting           ssmCall[ssm.GetServiceSettingInput, ssm.GetServiceSettingOutput]
	ResumeSession               ssmCall[ssm.ResumeSessionInput, ssm.ResumeSessionOutput]
	SendCommand                 ssmCall[ssm.SendCommandInput, ssm.SendCommandOutput]
	StartSession                ssmCall[ssm.StartSessionInput, ssm.StartSessionOutput]
	TerminateSession            ssmCall[ssm.TerminateSessionInput, ssm.TerminateSessionOutput]
}

type stsCalls struct {
	DecodeAuthorizationMessage stsCall[sts.DecodeAuthorizationMessageInput, sts.DecodeAuthorizationMessageOutput]
	GetCallerIdentity          stsCall[sts.GetCallerIdentityInput, sts.GetCallerIdentityOutput]
}

func newClients(cfg aws.Config) clients {
	return clients{
		config: cfg,
		ec2:    newEC2Calls(ec2.NewFromConfig(cfg)),
		iam:    newIAMCalls(iam.NewFromConfig(cfg)),
		ssm:    newSSMCalls(ssm.NewFromConfig(cfg)),
		sts:    newSTSCalls(sts.NewFromConfig(cfg)),
	}
}

// in is EC2 in a region; in the build's own it is ec2.
func (c *clients) in(region string) *ec2Calls {
	if region == c.config.Region {
		return &c.ec2
	}
	cfg := c.config.Copy()
	cfg.Region = region
	calls := newEC2Calls(ec2.NewFromConfig(cfg))
	return &calls
}

func newEC2Calls(c *ec2.Client) ec2Calls {
	return ec2Calls{
		AuthorizeSecurityGroupEgress:        c.AuthorizeSecurityGroupEgress,
		CopyImage:                           c.CopyImage,
		CreateFleet:                         c.CreateFleet,
		CreateImage:                         c.CreateImage,
		CreateLaunchTemplate:                c.CreateLaunchTemplate,
		CreateSecurityGroup:                 c.CreateSecurityGroup,
		DeleteFleets:                        c.DeleteFleets,
		DeleteLaunchTemplate:                c.DeleteLaunchTemplate,
		DeleteSecurityGroup:                 c.DeleteSecurityGroup,
		DeleteSnapshot:                      c.DeleteSnapshot,
		DeregisterImage:                     c.DeregisterImage,
		DescribeImageAttribute:              c.DescribeImageAttribute,
		DescribeImages:                      c.DescribeImages,
		DescribeInstanceTypeOfferings:       c.DescribeInstanceTypeOfferings,
		DescribeInstanceTypes:               c.DescribeInstanceTypes,
		DescribeInstances:                   c.DescribeInstances,
		DescribeRegions:                     c.DescribeRegions,
		DescribeSecurityGroups:              c.DescribeSecurityGroups,
		DescribeSnapshots:                   c.DescribeSnapshots,
		DescribeSubnets:                     c.DescribeSubnets,
		DescribeVpcs:                        c.DescribeVpcs,
		EnableImageDeprecation:              c.EnableImageDeprecation,
		EnableImageDeregistrationProtection: c.EnableImageDeregistrationProtection,
		GetConsoleOutput:                    c.GetConsoleOutput,
		GetEbsDefaultKmsKeyId:               c.GetEbsDefaultKmsKeyId,
		GetEbsEncryptionByDefault:           c.GetEbsEncryptionByDefault,
		GetImageBlockPublicAccessState:      c.GetImageBlockPublicAccessState,
		ModifyImageAttribute:                c.ModifyImageAttribute,
		ModifySnapshotAttribute:             c.ModifySnapshotAttribute,
		RegisterImage:                       c.RegisterImage,
		ModifyInstanceAttribute:             c.ModifyInstanceAttribute,
		RevokeSecurityGroupEgress:           c.RevokeSecurityGroupEgress,
		RunInstances:                        c.RunInstances,
		StopInstances:                       c.StopInstances,
		TerminateInstances:                  c.TerminateInstances,
	}
}

func newIAMCalls(c *iam.Client) iamCalls {
	return iamCalls{
		AddRoleToInstanceProfile:      c.AddRoleToInstanceProfile,
		AttachRolePolicy:              c.AttachRolePolicy,
		CreateInstanceProfile:         c.CreateInstanceProfile,
		CreateRole:                    c.CreateRole,
		DeleteInstanceProfile:         c.DeleteInstanceProfile,
		DeleteRole:                    c.DeleteRole,
		DeleteRolePolicy:              c.DeleteRolePolicy,
		DetachRolePolicy:              c.DetachRolePolicy,
		GetInstanceProfile:            c.GetInstanceProfile,
		PutRolePolicy:                 c.PutRolePolicy,
		RemoveRoleFromInstanceProfile: c.RemoveRoleFromInstanceProfile,
	}
}

func newSSMCalls(c *ssm.Client) ssmCalls {
	return ssmCalls{
		CancelCommand:               c.CancelCommand,
		DescribeSessions:            c.DescribeSessions,
		DescribeInstanceInformation: c.DescribeInstanceInformation,
		GetCommandInvocation:        c.GetCommandInvocation,
		GetParameter:                c.GetParameter,
		GetServiceSetting:           c.GetServiceSetting,
		ResumeSession:               c.ResumeSession,
		SendCommand:                 c.SendCommand,
		StartSession:                c.StartSession,
		TerminateSession:            c.TerminateSession,
	}
}

func newSTSCalls(c *sts.Client) stsCalls {
	return stsCalls{
		DecodeAuthorizationMessage: c.DecodeAuthorizationMessage,
		GetCallerIdentity:          c.GetCallerIdentity,
	}
}

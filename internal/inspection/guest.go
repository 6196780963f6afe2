package inspection

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"
)

const (
	trust      = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	corePolicy = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"

	pollEvery = 250 * time.Millisecond
	// cleanUp bounds Close, which runs when the caller's own context has ended.
	cleanUp = time.Minute
)

// A Guest is an instance launched from an image to look inside it.
type Guest struct {
	config  aws.Config
	ec2     *ec2.Client
	ssm     *ssm.Client
	profile string // of the role that lets its agent register; the role has the same name
	id      string // "" until launched
}

// Profile makes a role that an instance's agent can register with, and an instance profile of the same name.
func Profile(ctx context.Context, config aws.Config, name string) error {
	api := iam.NewFromConfig(config)
	if _, err := api.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(trust)}); err != nil {
		return err
	}
	if _, err := api.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &name, PolicyArn: aws.String(corePolicy)}); err != nil {
		return err
	}
	if _, err := api.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: &name}); err != nil {
		return err
	}
	_, err := api.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: &name, RoleName: &name})
	return err
}

// RemoveProfile removes what Profile made, as much of it as is there.
func RemoveProfile(ctx context.Context, config aws.Config, name string) error {
	api := iam.NewFromConfig(config)
	_, err1 := api.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: &name, RoleName: &name})
	_, err2 := api.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: &name})
	_, err3 := api.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: &name, PolicyArn: aws.String(corePolicy)})
	_, err4 := api.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &name})
	return errors.Join(gone(err1), gone(err2), gone(err3), gone(err4))
}

// gone forgives that there was nothing to remove.
func gone(err error) error {
	if codeIs(err, "NoSuchEntity") {
		return nil
	}
	return err
}

func codeIs(err error, code string) bool {
	var refusal smithy.APIError
	return errors.As(err, &refusal) && refusal.ErrorCode() == code
}

// Launch starts an instance of the image and returns when its agent is online. On an error nothing is left.
func Launch(ctx context.Context, config aws.Config, image string) (*Guest, error) {
	g := &Guest{
		config: config, ec2: ec2.NewFromConfig(config), ssm: ssm.NewFromConfig(config),
		profile: fmt.Sprintf("inspection-%d", time.Now().UnixNano()),
	}
	if err := g.launch(ctx, image); err != nil {
		return nil, errors.Join(fmt.Errorf("launch %s: %w", image, err), g.Close(ctx))
	}
	return g, nil
}

func (g *Guest) launch(ctx context.Context, image string) error {
	if err := Profile(ctx, g.config, g.profile); err != nil {
		return err
	}
	kind, err := g.instanceType(ctx, image)
	if err != nil {
		return err
	}
	err = poll(ctx, "the instance profile to be visible to EC2", func() (bool, error) {
		out, err := g.ec2.RunInstances(ctx, &ec2.RunInstancesInput{
			ImageId: &image, InstanceType: kind, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
			IamInstanceProfile: &types.IamInstanceProfileSpecification{Name: &g.profile},
		})
		if codeIs(err, "InvalidParameterValue") && strings.Contains(err.Error(), g.profile) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		g.id = aws.ToString(out.Instances[0].InstanceId)
		return true, nil
	})
	if err != nil {
		return err
	}
	return poll(ctx, "the agent of "+g.id+" to be online", func() (bool, error) { return g.online(ctx) })
}

// instanceType is a small type of the image's architecture.
func (g *Guest) instanceType(ctx context.Context, image string) (types.InstanceType, error) {
	out, err := g.ec2.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{image}})
	if err != nil {
		return "", err
	}
	if out.Images[0].Architecture == types.ArchitectureValuesArm64 {
		return types.InstanceTypeT4gMicro, nil
	}
	return types.InstanceTypeT3Micro, nil
}

func (g *Guest) online(ctx context.Context) (bool, error) {
	out, err := g.ssm.DescribeInstanceInformation(ctx, &ssm.DescribeInstanceInformationInput{
		Filters: []ssmtypes.InstanceInformationStringFilter{{Key: aws.String("InstanceIds"), Values: []string{g.id}}},
	})
	if err != nil {
		return false, err
	}
	return len(out.InstanceInformationList) == 1 && out.InstanceInformationList[0].PingStatus == ssmtypes.PingStatusOnline, nil
}

// ID is the instance's.
func (g *Guest) ID() string { return g.id }

// Run runs a shell script in the guest as root and returns what it printed. Its error has what it printed to stderr.
func (g *Guest) Run(ctx context.Context, script string) (string, error) {
	sent, err := g.ssm.SendCommand(ctx, &ssm.SendCommandInput{
		DocumentName: aws.String("AWS-RunShellScript"),
		InstanceIds:  []string{g.id},
		Parameters:   map[string][]string{"commands": {script}},
	})
	if err != nil {
		return "", err
	}
	var result *ssm.GetCommandInvocationOutput
	err = poll(ctx, "the command to end", func() (bool, error) {
		result, err = g.ssm.GetCommandInvocation(ctx, &ssm.GetCommandInvocationInput{CommandId: sent.Command.CommandId, InstanceId: &g.id})
		if codeIs(err, "InvocationDoesNotExist") {
			return false, nil
		}
		return err == nil && ended(result.Status), err
	})
	if err != nil {
		return "", err
	}
	if result.Status != ssmtypes.CommandInvocationStatusSuccess {
		return "", fmt.Errorf("command in %s: %s, exit %d: %s", g.id, result.Status, result.ResponseCode, aws.ToString(result.StandardErrorContent))
	}
	return aws.ToString(result.StandardOutputContent), nil
}

func ended(s ssmtypes.CommandInvocationStatus) bool {
	return s != ssmtypes.CommandInvocationStatusPending && s != ssmtypes.CommandInvocationStatusInProgress &&
		s != ssmtypes.CommandInvocationStatusDelayed && s != ssmtypes.CommandInvocationStatusCancelling
}

// Close terminates the instance and removes its profile and role, also when ctx has been cancelled.
func (g *Guest) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUp)
	defer cancel()
	return errors.Join(g.terminate(ctx), RemoveProfile(ctx, g.config, g.profile))
}

func (g *Guest) terminate(ctx context.Context) error {
	if g.id == "" {
		return nil
	}
	if _, err := g.ec2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{g.id}}); err != nil {
		return err
	}
	return poll(ctx, g.id+" to be terminated", func() (bool, error) {
		out, err := g.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{g.id}})
		if err != nil {
			return false, err
		}
		return out.Reservations[0].Instances[0].State.Name == types.InstanceStateNameTerminated, nil
	})
}

// poll asks until the answer is yes, an error, or the end of ctx.
func poll(ctx context.Context, what string, done func() (bool, error)) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		}
	}
}

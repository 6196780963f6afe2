//go:build linux

package communicator_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/taccoform/packer-plugin-ssm/communicator"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
	"github.com/taccoform/packer-plugin-ssm/internal/runcommand"
	"github.com/taccoform/packer-plugin-ssm/session"
)

// cloud is a simulated AWS with one instance whose agent is online.
type cloud struct {
	server   *localaws.Server
	ssm      *ssm.Client
	instance string
}

const amazonLinux2 = "/aws/service/ami-amazon-linux-latest/amzn2-ami-kernel-5.10-hvm-x86_64-gp2"

func newCloud(t *testing.T) *cloud {
	t.Helper()
	return newCloudWith(t, localaws.Delays{})
}

func newCloudWith(t *testing.T, delays localaws.Delays) *cloud {
	t.Helper()
	server, err := localaws.Start(t.Context(), localaws.Options{Dir: t.TempDir(), Delays: &delays})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	id, secret := server.Credentials(localaws.DefaultAccount)
	conf := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL()),
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""),
	}
	c := &cloud{server: server, ssm: ssm.NewFromConfig(conf)}
	makeProfile(t, iam.NewFromConfig(conf))
	c.launch(t, ec2.NewFromConfig(conf))
	if err := c.online(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

func makeProfile(t *testing.T, client *iam.Client) {
	t.Helper()
	name := aws.String("agents")
	_, err := client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)})
	if err == nil {
		_, err = client.AttachRolePolicy(t.Context(), &iam.AttachRolePolicyInput{
			RoleName: name, PolicyArn: aws.String("arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore")})
	}
	if err == nil {
		_, err = client.CreateInstanceProfile(t.Context(), &iam.CreateInstanceProfileInput{InstanceProfileName: name})
	}
	if err == nil {
		_, err = client.AddRoleToInstanceProfile(t.Context(), &iam.AddRoleToInstanceProfileInput{InstanceProfileName: name, RoleName: name})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (c *cloud) launch(t *testing.T, client *ec2.Client) {
	t.Helper()
	image, err := c.ssm.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String(amazonLinux2)})
	if err != nil {
		t.Fatal(err)
	}
	started, err := client.RunInstances(t.Context(), &ec2.RunInstancesInput{
		ImageId: image.Parameter.Value, InstanceType: ec2types.InstanceTypeT3Micro,
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		IamInstanceProfile: &ec2types.IamInstanceProfileSpecification{Name: aws.String("agents")},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.instance = aws.ToString(started.Instances[0].InstanceId)
}

// online returns when the agent is connected.
func (c *cloud) online(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := c.ssm.GetConnectionStatus(ctx, &ssm.GetConnectionStatusInput{Target: aws.String(c.instance)})
		if err == nil && out.Status == "connected" {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *cloud) run(ctx context.Context, script string) (string, error) {
	result, err := runcommand.Run(ctx, c.ssm, runcommand.Shell(c.instance, script, time.Minute))
	return result.Stdout, err
}

func (c *cloud) open(ctx context.Context, port int) (*session.Port, error) {
	grant := func(id, url, token *string) session.Grant {
		return session.Grant{SessionID: aws.ToString(id), StreamURL: aws.ToString(url), Token: aws.ToString(token)}
	}
	return session.OpenPort(ctx, session.Service{
		Start: func(ctx context.Context) (session.Grant, error) {
			number := []string{strconv.Itoa(port)}
			out, err := c.ssm.StartSession(ctx, &ssm.StartSessionInput{
				Target: aws.String(c.instance), DocumentName: aws.String("AWS-StartPortForwardingSession"),
				Parameters: map[string][]string{"portNumber": number, "localPortNumber": number},
			})
			if err != nil {
				return session.Grant{}, err
			}
			return grant(out.SessionId, out.StreamUrl, out.TokenValue), nil
		},
		Resume: func(ctx context.Context, id string) (session.Grant, error) {
			out, err := c.ssm.ResumeSession(ctx, &ssm.ResumeSessionInput{SessionId: aws.String(id)})
			if err != nil {
				return session.Grant{}, err
			}
			return grant(out.SessionId, out.StreamUrl, out.TokenValue), nil
		},
		Terminate: func(ctx context.Context, id string) error {
			_, err := c.ssm.TerminateSession(ctx, &ssm.TerminateSessionInput{SessionId: aws.String(id)})
			return err
		},
	}, session.Options{})
}

func (c *cloud) connect(t *testing.T, cfg communicator.Config) *communicator.Communicator {
	t.Helper()
	comm, err := communicator.Connect(t.Context(), communicator.Link{OpenPort: c.open, Run: c.run, Online: c.online}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(comm.Disconnect)
	return comm
}

// left are the sessions that nobody closed.
func (c *cloud) left(t *testing.T) {
	t.Helper()
	for _, thing := range c.server.Leftovers() {
		if strings.Contains(thing, "session") || strings.Contains(thing, "command") {
			t.Errorf("left behind: %s", thing)
		}
	}
}

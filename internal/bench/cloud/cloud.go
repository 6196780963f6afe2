// Package cloud is what the benchmark and the soak stand on: a simulated AWS with one instance in it, and the way to that
// instance, which is the builder's without a build around it.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/taccoform/packer-plugin-ssm/internal/inspection"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws/datachannel"
	"github.com/taccoform/packer-plugin-ssm/internal/runcommand"
)

// image is the public parameter of the image that the instance is launched from.
const image = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"

// scriptLimit bounds one script of Run Command's.
const scriptLimit = 5 * time.Minute

// A Cloud is a simulated AWS with one instance whose agent is online.
type Cloud struct {
	Server   *localaws.Server
	Config   aws.Config // of clients that find it
	Instance string     // the instance's id

	guest *inspection.Guest
	http  *http.Client // of Config, so that Close can end its idle connections
	slow  func()       // takes back what SlowCalls did; nil if it did nothing
}

// Start starts an AWS and launches the instance. On an error nothing is left.
func Start(ctx context.Context, o localaws.Options) (*Cloud, error) {
	server, err := localaws.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	c := &Cloud{Server: server, http: &http.Client{Transport: &http.Transport{}}}
	c.Config = Config(server.Environ())
	c.Config.HTTPClient = c.http
	if err := c.launch(ctx); err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return c, nil
}

func (c *Cloud) launch(ctx context.Context) error {
	found, err := ssm.NewFromConfig(c.Config).GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(image)})
	if err != nil {
		return err
	}
	c.guest, err = inspection.Launch(ctx, c.Config, aws.ToString(found.Parameter.Value))
	if err != nil {
		return err
	}
	c.Instance = c.guest.ID()
	return nil
}

// Close terminates the instance and stops the AWS. It fails too if anything but that instance was left.
func (c *Cloud) Close(ctx context.Context) error {
	err := c.guest.Close(ctx)
	if left := c.Server.Leftovers(); err == nil && len(left) > 0 {
		err = fmt.Errorf("left behind: %q", left)
	}
	c.http.CloseIdleConnections()
	return errors.Join(err, c.Server.Close())
}

// Config is what clients use in a process with the environment of an AWS CLI, or with localaws.Server.Environ.
func Config(environ []string) aws.Config { return inspection.Config(environ) }

// Run runs a script on the instance as root, by Run Command: with nothing of what is measured or tried in between.
func (c *Cloud) Run(ctx context.Context, script string) (string, error) {
	result, err := runcommand.Run(ctx, ssm.NewFromConfig(c.Config), runcommand.Shell(c.Instance, script, scriptLimit))
	return result.Stdout, err
}

// SetRoundTrip makes every message of a session take half of d to arrive, and every call to the API all of it.
func (c *Cloud) SetRoundTrip(d time.Duration) {
	c.Server.Channels().Faults().ImpairBoth(datachannel.Impairment{Delay: d / 2})
	if c.slow != nil {
		c.slow()
	}
	c.slow = c.Server.Inject(localaws.Fault{Times: -1, Delay: d})
}

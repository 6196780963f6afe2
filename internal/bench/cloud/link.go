package cloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/taccoform/packer-plugin-ssm/communicator"
	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
	"github.com/taccoform/packer-plugin-ssm/internal/runcommand"
	"github.com/taccoform/packer-plugin-ssm/session"
)

const (
	portDocument = "AWS-StartPortForwardingSession"
	pollEvery    = 250 * time.Millisecond
)

// passing are the refusals that end by themselves.
var passing = []string{"TargetNotConnected", "ThrottlingException", "Throttling", "InternalServerError"}

// A Way is the way to an instance: what the builder gives the communicator, made of an AWS client and an id alone, so
// that a process which doesn't hold the Cloud can go it.
type Way struct {
	Config   aws.Config
	Instance string
	Log      *slog.Logger // nil is silence
	HTTP     *http.Client // opens the websockets; nil is session's own

	// Ran is told how long each script took, if it is not nil.
	Ran func(time.Duration)
}

// Link is the way as the communicator wants it.
func (w *Way) Link() communicator.Link {
	return communicator.Link{OpenPort: w.openPort, Run: w.run, Online: w.online}
}

func (w *Way) ssm() *ssm.Client { return ssm.NewFromConfig(w.Config) }

func (w *Way) openPort(ctx context.Context, port int) (*session.Port, error) {
	api := w.ssm()
	return session.OpenPort(ctx, session.Service{
		Start:  func(ctx context.Context) (session.Grant, error) { return w.start(ctx, port) },
		Resume: w.resume,
		Terminate: func(ctx context.Context, id string) error {
			_, err := api.TerminateSession(ctx, &ssm.TerminateSessionInput{SessionId: &id})
			return err
		},
		Sign: w.sign,
	}, session.Options{Logger: w.Log, HTTPClient: w.HTTP})
}

// start starts a session, again and again while the agent is not connected or AWS too busy.
func (w *Way) start(ctx context.Context, port int) (session.Grant, error) {
	api, number := w.ssm(), []string{strconv.Itoa(port)}
	for {
		out, err := api.StartSession(ctx, &ssm.StartSessionInput{
			Target: &w.Instance, DocumentName: aws.String(portDocument),
			Parameters: map[string][]string{"portNumber": number, "localPortNumber": number},
		})
		if err == nil {
			return grant(out.SessionId, out.StreamUrl, out.TokenValue), nil
		}
		if !slices.Contains(passing, awsclient.Code(err)) || pause(ctx, pollEvery) != nil {
			return session.Grant{}, awsclient.Err(err)
		}
	}
}

func (w *Way) resume(ctx context.Context, id string) (session.Grant, error) {
	out, err := w.ssm().ResumeSession(ctx, &ssm.ResumeSessionInput{SessionId: &id})
	switch {
	case awsclient.Code(err) == "DoesNotExistException":
		return session.Grant{}, fmt.Errorf("%w: %w", session.ErrNotResumable, awsclient.Err(err))
	case err != nil:
		return session.Grant{}, awsclient.Err(err)
	}
	return grant(&id, out.StreamUrl, out.TokenValue), nil
}

func grant(id, url, token *string) session.Grant {
	return session.Grant{SessionID: aws.ToString(id), StreamURL: aws.ToString(url), Token: aws.ToString(token)}
}

// sign signs a copy of the websocket's upgrade, because the signer rewrites the query and the URL has to stay as it is.
func (w *Way) sign(ctx context.Context, r *http.Request) error {
	credentials, err := w.Config.Credentials.Retrieve(ctx)
	if err != nil {
		return err
	}
	nothing := sha256.Sum256(nil)
	signed := r.Clone(ctx)
	err = v4.NewSigner().SignHTTP(ctx, credentials, signed, hex.EncodeToString(nothing[:]), "ssmmessages", w.Config.Region, time.Now())
	if err != nil {
		return err
	}
	for _, name := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token"} {
		if value := signed.Header.Get(name); value != "" {
			r.Header.Set(name, value)
		}
	}
	return nil
}

func (w *Way) run(ctx context.Context, script string) (string, error) {
	began := time.Now()
	result, err := runcommand.Run(ctx, w.ssm(), runcommand.Shell(w.Instance, script, scriptLimit))
	if w.Ran != nil {
		w.Ran(time.Since(began))
	}
	return result.Stdout, err
}

// online returns when Systems Manager has the agent online.
func (w *Way) online(ctx context.Context) error {
	api := w.ssm()
	for {
		out, err := api.DescribeInstanceInformation(ctx, &ssm.DescribeInstanceInformationInput{
			Filters: []types.InstanceInformationStringFilter{{Key: aws.String("InstanceIds"), Values: []string{w.Instance}}},
		})
		if err == nil && len(out.InstanceInformationList) == 1 && out.InstanceInformationList[0].PingStatus == types.PingStatusOnline {
			return nil
		}
		if pause(ctx, pollEvery) != nil {
			return fmt.Errorf("agent of %s online: %w", w.Instance, context.Cause(ctx))
		}
	}
}

// pause waits for d, or fails with the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package amazonlinux

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"github.com/taccoform/packer-plugin-ssm/communicator"
	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
	"github.com/taccoform/packer-plugin-ssm/internal/runcommand"
	"github.com/taccoform/packer-plugin-ssm/session"
)

// The document that forwards a port and multiplexes connections on it.
const portDocument = "AWS-StartPortForwardingSession"

// A link is how the communicator reaches the instance.
type link struct {
	b      *build
	signer *v4.Signer

	unanswered atomic.Bool // a StartSession had no answer: there may be a session that nobody knows
}

func newLink(b *build) *link { return &link{b: b, signer: v4.NewSigner()} }

func (l *link) forCommunicator() communicator.Link {
	return communicator.Link{OpenPort: l.openPort, Run: l.run, Online: l.online, Alive: l.alive}
}

// openPort opens a session to a port. An agent that has just registered, or
// comes back from a reboot, is not connected for a moment: that is waited for,
// as long as ctx lasts.
func (l *link) openPort(ctx context.Context, port int) (*session.Port, error) {
	service := session.Service{
		Start:     func(ctx context.Context) (session.Grant, error) { return l.start(ctx, port) },
		Resume:    l.resume,
		Terminate: l.terminate,
		Sign:      l.sign,
	}
	return session.OpenPort(ctx, service, session.Options{
		HTTPClient: awsclient.WebsocketClient(l.b.aws.config), Logger: slog.Default(),
	})
}

// start starts a session, again and again while the agent is not connected, or AWS too busy to answer.
func (l *link) start(ctx context.Context, port int) (session.Grant, error) {
	failed := 0
	for began := time.Now(); ; {
		g, err := l.startOnce(ctx, port)
		if err == nil || ctx.Err() != nil {
			return g, err
		}
		switch code := awsclient.Code(err); {
		case code == notConnected:
		case l.passes(err) && failed < startTries:
			failed++
		default:
			return session.Grant{}, l.startError(err)
		}
		if sleep(ctx, pollInterval(time.Since(began))) != nil {
			return session.Grant{}, fmt.Errorf("session to %s: %w; if the agent stays unconnected: its role must allow ssmmessages:*, "+
				"and its network must reach ssmmessages.%s.amazonaws.com on TCP port 443", l.b.instance.id, awsclient.Err(err), l.b.plan.region)
		}
	}
}

const (
	notConnected = "TargetNotConnected"
	startTries   = 10
)

// startOnce sends StartSession without the SDK's own retries: one that is not
// answered may have started a session that nobody knows, and that must not go unnoticed.
func (l *link) startOnce(ctx context.Context, port int) (session.Grant, error) {
	ctx, cancel := creating(ctx)
	defer cancel()
	number := []string{strconv.Itoa(port)}
	out, err := l.b.aws.ssm.StartSession(ctx, &ssm.StartSessionInput{
		Target:       aws.String(l.b.instance.id),
		DocumentName: aws.String(portDocument),
		Reason:       aws.String(l.reason()),
		Parameters:   map[string][]string{"portNumber": number, "localPortNumber": number},
	}, func(o *ssm.Options) { o.Retryer = aws.NopRetryer{} })
	if err != nil {
		if awsclient.Code(err) == "" {
			l.unanswered.Store(true)
		}
		return session.Grant{}, err
	}
	return grant(out.SessionId, out.StreamUrl, out.TokenValue), nil
}

// reason marks the sessions of this build.
func (l *link) reason() string { return "Packer build " + l.b.id }

// passes tells what the SDK would try again: no answer, throttling, a fault of the service.
func (l *link) passes(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return true
	}
	return api.ErrorFault() == smithy.FaultServer || slices.Contains([]string{"ThrottlingException", "Throttling", "InternalServerError"}, api.ErrorCode())
}

// endLost terminates this build's sessions that are still there once the
// communicator has closed its own.
func (l *link) endLost(ctx context.Context) error {
	if !l.unanswered.Load() {
		return nil
	}
	found, err := l.b.aws.ssm.DescribeSessions(ctx, &ssm.DescribeSessionsInput{
		State:   types.SessionStateActive,
		Filters: []types.SessionFilter{{Key: types.SessionFilterKeyTargetId, Value: aws.String(l.b.instance.id)}},
	})
	if err != nil {
		return fmt.Errorf("look for a session whose start was not answered: %w", awsclient.Err(err))
	}
	var errs []error
	for _, s := range found.Sessions {
		if aws.ToString(s.Reason) == l.reason() {
			errs = append(errs, l.terminate(ctx, aws.ToString(s.SessionId)))
		}
	}
	return errors.Join(errs...)
}

// tellLost tells of sessions that may be left because endLost failed.
func (l *link) tellLost(err error) {
	l.b.ui.Error(fmt.Sprintf("cleanup: %v; AWS ends a session once it has idled for 20 minutes, or run: "+
		"aws ssm describe-sessions --region %s --state Active --filters key=Target,value=%s has its id; aws ssm terminate-session --region %[2]s --session-id",
		err, l.b.plan.region, l.b.instance.id))
}

func (l *link) startError(err error) error {
	if !awsclient.Denied(err) {
		return awsclient.Err(err)
	}
	return fmt.Errorf("%w, on the instance and on arn:%s:ssm:%s::document/%s",
		awsclient.Err(err), l.b.plan.caller.Partition, l.b.plan.region, portDocument)
}

// resume asks for a new token. The SDK renews expired credentials by itself.
func (l *link) resume(ctx context.Context, id string) (session.Grant, error) {
	out, err := l.b.aws.ssm.ResumeSession(ctx, &ssm.ResumeSessionInput{SessionId: aws.String(id)})
	switch {
	case awsclient.Code(err) == "DoesNotExistException":
		return session.Grant{}, fmt.Errorf("%w: %w", session.ErrNotResumable, awsclient.Err(err))
	case awsclient.Denied(err):
		return session.Grant{}, fmt.Errorf("%w: %w, on the caller's own sessions", session.ErrNotResumable, awsclient.Err(err))
	case err != nil:
		return session.Grant{}, awsclient.Err(err)
	}
	g := grant(out.SessionId, out.StreamUrl, out.TokenValue)
	if g.SessionID == "" {
		g.SessionID = id
	}
	return g, nil
}

func grant(id, url, token *string) session.Grant {
	return session.Grant{SessionID: aws.ToString(id), StreamURL: aws.ToString(url), Token: aws.ToString(token)}
}

func (l *link) terminate(ctx context.Context, id string) error {
	_, err := l.b.aws.ssm.TerminateSession(ctx, &ssm.TerminateSessionInput{SessionId: aws.String(id)})
	return awsclient.Err(err)
}

// noBody is the hash of an empty payload, which an upgrade request has.
var noBody = func() string {
	sum := sha256.Sum256(nil)
	return hex.EncodeToString(sum[:])
}()

// sign signs the websocket's upgrade. It signs a copy, because the signer
// rewrites the query, and the service compares the URL byte for byte.
func (l *link) sign(ctx context.Context, r *http.Request) error {
	credentials, err := l.b.aws.config.Credentials.Retrieve(ctx)
	if err != nil {
		return err
	}
	signed := r.Clone(ctx)
	err = l.signer.SignHTTP(ctx, credentials, signed, noBody, "ssmmessages", l.b.plan.region, time.Now())
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

// commands is what runcommand needs of SSM.
type commands struct{ ssm *ssmCalls }

func (c commands) SendCommand(ctx context.Context, in *ssm.SendCommandInput, opts ...func(*ssm.Options)) (*ssm.SendCommandOutput, error) {
	return c.ssm.SendCommand(ctx, in, opts...)
}

func (c commands) GetCommandInvocation(ctx context.Context, in *ssm.GetCommandInvocationInput, opts ...func(*ssm.Options)) (*ssm.GetCommandInvocationOutput, error) {
	return c.ssm.GetCommandInvocation(ctx, in, opts...)
}

func (c commands) CancelCommand(ctx context.Context, in *ssm.CancelCommandInput, opts ...func(*ssm.Options)) (*ssm.CancelCommandOutput, error) {
	return c.ssm.CancelCommand(ctx, in, opts...)
}

// scriptLimit bounds one script of the communicator's; none takes long.
const scriptLimit = 5 * time.Minute

func (l *link) run(ctx context.Context, script string) (string, error) {
	request := runcommand.Shell(l.b.instance.id, script, scriptLimit)
	request.Comment = "Packer build " + l.b.id
	result, err := runcommand.Run(ctx, commands{&l.b.aws.ssm}, request)
	if err != nil && awsclient.Denied(err) {
		err = fmt.Errorf("%w; the caller's IAM policy must allow ssm:SendCommand and ssm:GetCommandInvocation, on the instance and on arn:%s:ssm:%s::document/%s",
			err, l.b.plan.caller.Partition, l.b.plan.region, runcommand.ShellDocument)
	}
	return result.Stdout, err
}

// online is asked when a connection was lost. An instance that is going away ends the wait.
func (l *link) online(ctx context.Context) error {
	return awaitAgent(ctx, l.b, l.b.config.SSMTimeout, time.Time{})
}

// alive is asked while a lost connection is made again: an instance that was shut down won't be there again.
func (l *link) alive(ctx context.Context) error {
	err := checkAlive(ctx, l.b)
	if dead := (*deathError)(nil); errors.As(err, &dead) && dead.forGood(l.b.config) {
		l.b.dead.tell(err)
	}
	return err
}

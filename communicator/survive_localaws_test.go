//go:build linux

package communicator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	sdkcommunicator "github.com/hashicorp/packer-plugin-sdk/communicator"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/communicator"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws/datachannel"
	"github.com/taccoform/packer-plugin-ssm/session"
)

// trial is one communicator through Session Manager, and what happens to it.
type trial struct {
	*cloud
	t    *testing.T
	comm *communicator.Communicator
	http *http.Client // of the websockets, nil for the default

	mu       sync.Mutex
	sessions []string // ids, in the order of opening
	said     []string
}

// through is what is between the test and the cloud.
func (c *cloud) through(t *testing.T, client *http.Client, rewrite func(string) string) *trial {
	t.Helper()
	x := &trial{cloud: c, t: t, http: client}
	open := func(ctx context.Context, number int) (*session.Port, error) {
		p, err := session.OpenPort(ctx, c.service(number, rewrite), session.Options{HTTPClient: client})
		if err == nil {
			x.mu.Lock()
			x.sessions = append(x.sessions, p.ID())
			x.mu.Unlock()
		}
		return p, err
	}
	var err error
	x.comm, err = communicator.Connect(t.Context(), communicator.Link{OpenPort: open, Run: c.run, Online: c.alive}, communicator.Config{
		Sessions: 1,
		SSH: &sdkcommunicator.Config{SSH: sdkcommunicator.SSH{
			SSHKeepAliveInterval: time.Second, SSHReadWriteTimeout: 8 * time.Second,
		}},
		Say: func(s string) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.said = append(x.said, s)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.comm.Disconnect)
	return x
}

// service is the control API of a session to a port.
func (c *cloud) service(port int, rewrite func(string) string) session.Service {
	grant := func(id, to, token *string) session.Grant {
		return session.Grant{SessionID: aws.ToString(id), StreamURL: rewrite(aws.ToString(to)), Token: aws.ToString(token)}
	}
	return session.Service{
		Start: func(ctx context.Context) (session.Grant, error) {
			number := []string{fmt.Sprint(port)}
			out, err := c.ssm.StartSession(ctx, &ssm.StartSessionInput{
				Target: &c.instance, DocumentName: aws.String("AWS-StartPortForwardingSession"),
				Parameters: map[string][]string{"portNumber": number, "localPortNumber": number},
			})
			if err != nil {
				return session.Grant{}, err
			}
			return grant(out.SessionId, out.StreamUrl, out.TokenValue), nil
		},
		Resume: func(ctx context.Context, id string) (session.Grant, error) {
			out, err := c.ssm.ResumeSession(ctx, &ssm.ResumeSessionInput{SessionId: &id})
			if err != nil && strings.Contains(err.Error(), "DoesNotExist") {
				err = fmt.Errorf("%w: %w", session.ErrNotResumable, err)
			}
			if err != nil {
				return session.Grant{}, err
			}
			return grant(&id, out.StreamUrl, out.TokenValue), nil
		},
		Terminate: func(ctx context.Context, id string) error {
			_, err := c.ssm.TerminateSession(ctx, &ssm.TerminateSessionInput{SessionId: &id})
			return err
		},
	}
}

func asItIs(to string) string { return to }

// alive is online, until the instance is no more.
func (c *cloud) alive(ctx context.Context) error {
	found, err := ec2.NewFromConfig(c.config()).DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{c.instance}})
	if err != nil {
		return err
	}
	if state := found.Reservations[0].Instances[0].State.Name; state != "running" && state != "pending" {
		return fmt.Errorf("%w: the instance is %s", communicator.ErrPermanent, state)
	}
	return c.online(ctx)
}

func (c *cloud) config() aws.Config {
	o := c.ssm.Options()
	return aws.Config{Region: o.Region, BaseEndpoint: o.BaseEndpoint, Credentials: o.Credentials}
}

// wire is the newest session, as the service has it.
func (x *trial) wire() *datachannel.Session {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.server.Channels().Session(x.sessions[len(x.sessions)-1])
}

func (x *trial) opened() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.sessions)
}

func (x *trial) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-x.t.Context().Done():
	}
}

// command writes both streams for a second or two, and exits with 37.
const (
	lines   = 300
	command = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo $i; echo $i >&2; [ $((i%10)) != 0 ] || sleep 0.06; done; exit 37"
)

// survive has the fault happen while a command runs and files go both ways.
func (x *trial) survive(fault func(*trial)) {
	t := x.t
	t.Helper()
	content := random(200 << 10)
	if err := x.comm.Upload("/tmp/"+x.comm.Name()+"-there", bytes.NewReader(content), nil); err != nil {
		t.Fatal(err)
	}
	var together sync.WaitGroup
	began := make(chan struct{})
	stdout, stderr := &trigger{due: map[int]func(){20: func() { close(began) }}}, &bytes.Buffer{}
	cmd := &packersdk.RemoteCmd{Command: command, Stdout: stdout, Stderr: stderr}
	if err := x.comm.Start(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	together.Go(func() { <-began; fault(x) })
	together.Go(func() {
		<-began
		if err := x.comm.Upload("/tmp/"+x.comm.Name(), bytes.NewReader(content), nil); err != nil {
			t.Errorf("upload: %v", err)
		}
		var back bytes.Buffer
		if err := x.comm.Download("/tmp/"+x.comm.Name(), &back); err != nil || !bytes.Equal(back.Bytes(), content) {
			t.Errorf("download: %v, %d bytes", err, back.Len())
		}
	})
	if status := cmd.Wait(); status != 37 {
		t.Errorf("exit status %d", status)
	}
	together.Wait()
	same(t, "stdout", stdout.String(), numbers(lines))
	same(t, "stderr", stderr.String(), numbers(lines))
	if status, out, _ := execute(t, x.comm, "echo again; exit 3", nil); status != 3 || out != "again\n" {
		t.Errorf("afterwards: status %d, stdout %q", status, out)
	}
	t.Logf("%d sessions, %d websockets of the last", x.opened(), x.wire().Stats().Opened)
	if err := x.comm.Close(); err != nil {
		t.Error(err)
	}
}

// TestSurvives is the table of what a build survives, with every byte right and
// the command's true exit status.
func TestSurvives(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "")
	shared := newCloud(t)
	bad := datachannel.Impairment{LoseData: 0.05, LoseAcks: 0.05, Repeat: 0.05, Reorder: 0.05, Delay: 5 * time.Millisecond}
	table := map[string]func(*trial){
		"nothing":                                func(*trial) {},
		"loss of messages":                       func(x *trial) { x.wire().Faults().ImpairBoth(datachannel.Impairment{LoseData: 0.05}) },
		"loss of acknowledgements":               func(x *trial) { x.wire().Faults().ImpairBoth(datachannel.Impairment{LoseAcks: 0.05}) },
		"duplication":                            func(x *trial) { x.wire().Faults().ImpairBoth(datachannel.Impairment{Repeat: 0.05}) },
		"reordering":                             func(x *trial) { x.wire().Faults().ImpairBoth(datachannel.Impairment{Reorder: 0.05}) },
		"loss, duplication and reordering of 5%": func(x *trial) { x.wire().Faults().ImpairBoth(bad) },
		"client websocket cut": func(x *trial) {
			for range 3 {
				x.wire().CutClient()
				x.pause(300 * time.Millisecond)
			}
		},
		"agent websocket cut": func(x *trial) { x.wire().CutAgent(time.Second) },
		"hourly close ten times": func(x *trial) {
			for range 10 {
				x.wire().Bye()
				x.pause(400 * time.Millisecond)
			}
		},
		"pause for seconds": func(x *trial) { x.wire().Pause(3 * time.Second) },
		"frozen agent that comes back": func(x *trial) {
			thaw := x.wire().Freeze()
			x.pause(4 * time.Second)
			thaw()
		},
		"network silent for seconds": func(x *trial) {
			restore := x.wire().Silence()
			x.pause(4 * time.Second)
			restore()
		},
		"agent restart": func(x *trial) {
			if status, _, errs := execute(x.t, x.comm, "sudo systemctl restart amazon-ssm-agent", nil); status != 0 {
				x.t.Errorf("restart: status %d: %s", status, errs)
			}
		},
		"worker lost": func(x *trial) { x.wire().WorkerLost() },
		"together": func(x *trial) {
			x.wire().Faults().ImpairBoth(bad)
			x.pause(200 * time.Millisecond)
			x.wire().CutClient()
			x.pause(300 * time.Millisecond)
			x.wire().Pause(time.Second)
			x.wire().CutAgent(300 * time.Millisecond)
			x.wire().Bye()
			x.pause(500 * time.Millisecond)
			thaw := x.wire().Freeze()
			x.pause(time.Second)
			thaw()
			x.wire().WorkerLost()
		},
	}
	for name, fault := range table {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shared.through(t, nil, asItIs).survive(fault)
		})
	}
	t.Run("frozen agent that does not come back", func(t *testing.T) { t.Parallel(); frozen(t, shared) })
	t.Run("session lost ten times", func(t *testing.T) { t.Parallel(); lostTenTimes(t, shared) })
	t.Run("credentials that expire", func(t *testing.T) { t.Parallel(); expiring(t, shared) })
	t.Run("proxy", func(t *testing.T) { t.Parallel(); proxied(t, shared) })
	t.Run("maximum session duration", func(t *testing.T) { t.Parallel(); maximum(t) })
	t.Run("reboot", func(t *testing.T) { t.Parallel(); rebooted(t) })
}

// frozen has a session stop for good in mid-flood: its sshd is there, and can't
// get rid of what it has.
func frozen(t *testing.T, shared *cloud) {
	x := shared.through(t, nil, asItIs)
	thaws := make(chan func(), 1)
	stdout := &trigger{due: map[int]func(){1 << 20: func() { thaws <- x.wire().Freeze() }}}
	cmd := &packersdk.RemoteCmd{Command: "seq 1 1500000; exit 21", Stdout: stdout}
	if err := x.comm.Start(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	if status := cmd.Wait(); status != 21 {
		t.Errorf("exit status %d", status)
	}
	(<-thaws)()
	same(t, "stdout", stdout.String(), numbers(1_500_000))
	if err := x.comm.Close(); err != nil {
		t.Error(err)
	}
}

// lostTenTimes ends session after session for good, as soon as the command has
// brought something through it.
func lostTenTimes(t *testing.T, shared *cloud) {
	x := shared.through(t, nil, asItIs)
	due := map[int]func(){}
	for n := range 10 {
		due[20+100*n] = func() { x.wire().WorkerLost() }
	}
	stdout, stderr := &trigger{due: due}, &bytes.Buffer{}
	cmd := &packersdk.RemoteCmd{Command: command, Stdout: stdout, Stderr: stderr}
	if err := x.comm.Start(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	if status := cmd.Wait(); status != 37 {
		t.Errorf("exit status %d", status)
	}
	same(t, "stdout", stdout.String(), numbers(lines))
	same(t, "stderr", stderr.String(), numbers(lines))
	t.Logf("%d sessions", x.opened())
	if err := x.comm.Close(); err != nil {
		t.Error(err)
	}
}

// expiring has credentials that are good for a second at a time.
func expiring(t *testing.T, shared *cloud) {
	var looked atomic.Int32
	fixed := shared.ssm.Options().Credentials
	short := aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		looked.Add(1)
		got, err := fixed.Retrieve(ctx)
		got.CanExpire, got.Expires = true, time.Now().Add(time.Second)
		return got, err
	}))
	conf := shared.config()
	conf.Credentials = short
	own := &cloud{server: shared.server, ssm: ssm.NewFromConfig(conf), instance: shared.instance}
	x := own.through(t, nil, asItIs)
	x.survive(func(x *trial) {
		before := looked.Load()
		id := x.wire().ID()
		// The service has not heard of the new ones yet.
		defer own.server.Inject(localaws.Fault{
			Service: "ssm", Action: "ResumeSession", Where: map[string]string{"SessionId": id}, Times: 2, Code: "ExpiredTokenException",
		})()
		x.pause(1100 * time.Millisecond)
		x.wire().CutClient()
		for start := time.Now(); x.wire().Stats().Opened < 2 && time.Since(start) < 20*time.Second; {
			x.pause(20 * time.Millisecond)
		}
		if looked.Load() == before || x.wire().Stats().Opened < 2 {
			t.Errorf("credentials were looked up %d times, and %d before the cut", looked.Load(), before)
		}
	})
}

// maximum has sessions that last three seconds.
func maximum(t *testing.T) {
	c := newCloud(t)
	model := c.server.Channels().Model()
	model.MaxDuration = 3 * time.Second
	c.server.SetChannelModel(model)
	x := c.through(t, nil, asItIs)
	x.survive(func(x *trial) {
		status, out, _ := execute(x.t, x.comm, "sleep 5; echo slept; exit 8", nil)
		if status != 8 || out != "slept\n" {
			x.t.Errorf("status %d, stdout %q", status, out)
		}
	})
	if x.opened() < 2 {
		t.Errorf("%d sessions", x.opened())
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if said := strings.Join(x.said, "\n"); !strings.Contains(said, "maximum") {
		t.Errorf("the user was told\n%s", said)
	}
}

// rebooted is what is left of a command when the instance reboots: nothing, and
// that is what the user asked for. The next one runs.
func rebooted(t *testing.T) {
	x := newCloud(t).through(t, nil, asItIs)
	began := time.Now()
	if status, _, _ := execute(t, x.comm, "sudo reboot; sleep 600", nil); status != packersdk.CmdDisconnect {
		t.Errorf("exit status %d, want the one of a lost connection", status)
	}
	t.Logf("known after %s", time.Since(began).Round(time.Millisecond))
	x.survive(func(*trial) {})
}

// TestEnds is the table of what a build does not survive, and how it is told.
func TestEnds(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "")
	t.Run("terminated by an operator", func(t *testing.T) {
		t.Parallel()
		x := newCloud(t).through(t, nil, asItIs)
		err := x.end(func() {
			_, err := x.ssm.TerminateSession(t.Context(), &ssm.TerminateSessionInput{SessionId: aws.String(x.wire().ID())})
			if err != nil {
				t.Error(err)
			}
		})
		var ended *session.EndedError
		if !errors.As(err, &ended) || ended.Reason != session.ReasonTerminated {
			t.Errorf("error %v", err)
		}
		out, err := x.run(t.Context(), "pgrep -f 'sleep 471[1]' || :")
		if err != nil || out != "" {
			t.Errorf("the command goes on: %q, %v", out, err)
		}
	})
	t.Run("instance gone", func(t *testing.T) {
		t.Parallel()
		x := newCloud(t).through(t, nil, asItIs)
		err := x.end(func() {
			_, err := ec2.NewFromConfig(x.config()).TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{x.instance}})
			if err != nil {
				t.Error(err)
			}
		})
		if !errors.Is(err, communicator.ErrPermanent) {
			t.Errorf("error %v", err)
		}
	})
}

// end has something end the build in the middle of a command, and gives the
// error of the next.
func (x *trial) end(how func()) error {
	began := make(chan struct{})
	cmd := &packersdk.RemoteCmd{Command: "echo up; sleep 4711", Stdout: &trigger{due: map[int]func(){3: func() { close(began) }}}}
	if err := x.comm.Start(x.t.Context(), cmd); err != nil {
		x.t.Fatal(err)
	}
	<-began
	start := time.Now()
	how()
	if status := cmd.Wait(); status != packersdk.CmdDisconnect {
		x.t.Errorf("exit status %d", status)
	}
	err := x.comm.Start(x.t.Context(), &packersdk.RemoteCmd{Command: "exit 0"})
	x.t.Logf("after %s: %v", time.Since(start).Round(time.Millisecond), err)
	return err
}

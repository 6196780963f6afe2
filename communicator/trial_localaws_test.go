//go:build linux

package communicator_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	sdkcommunicator "github.com/hashicorp/packer-plugin-sdk/communicator"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/communicator"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws/datachannel"
	"github.com/taccoform/packer-plugin-ssm/session"
)

// trial is one communicator through Session Manager, and what happens to it.
type trial struct {
	*cloud
	t    *testing.T
	comm *communicator.Communicator
	http *http.Client // of the websockets, nil for the default

	size int // of what survive transfers, in bytes: nearly half a second's worth

	mu       sync.Mutex
	sessions []string // ids, in the order of opening
	said     []string
}

// through is what is between the test and the cloud.
func (c *cloud) through(t *testing.T, client *http.Client, rewrite func(string) string, sessions int) *trial {
	t.Helper()
	x := &trial{cloud: c, t: t, http: client, size: 400 << 10}
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
		Sessions: sessions,
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

// live are the sessions that are open, the first one first.
func (x *trial) live() []*datachannel.Session {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := x.server.Channels().Live()
	all = slices.DeleteFunc(all, func(s *datachannel.Session) bool { return !slices.Contains(x.sessions, s.ID()) })
	slices.SortFunc(all, func(a, b *datachannel.Session) int {
		return slices.Index(x.sessions, a.ID()) - slices.Index(x.sessions, b.ID())
	})
	return all
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

// survive has the fault happen in the middle of a command, of an upload, of a
// download, and of all three at once.
func (x *trial) survive(fault func(*trial)) {
	x.t.Helper()
	content := random(x.size)
	x.inACommand(fault)
	x.inAnUpload(content, fault)
	x.inADownload(content, fault)
	x.inAll(fault)
	if status, out, _ := execute(x.t, x.comm, "echo again; exit 3", nil); status != 3 || out != "again\n" {
		x.t.Errorf("afterwards: status %d, stdout %q", status, out)
	}
	x.t.Logf("%d sessions, %d websockets of the last", x.opened(), x.wire().Stats().Opened)
	if err := x.comm.Close(); err != nil {
		x.t.Error(err)
	}
}

// running starts the command, and returns when it has written a few lines. With end one waits for the rest.
func (x *trial) running() (end func()) {
	x.t.Helper()
	began := make(chan struct{})
	stdout, stderr := &trigger{due: map[int]func(){20: func() { close(began) }}}, &bytes.Buffer{}
	cmd := &packersdk.RemoteCmd{Command: command, Stdout: stdout, Stderr: stderr}
	if err := x.comm.Start(x.t.Context(), cmd); err != nil {
		x.t.Fatal(err)
	}
	ended := make(chan int, 1)
	go func() { ended <- cmd.Wait() }() // the command ends, if only with the communicator
	select {
	case <-began:
	case status := <-ended:
		x.t.Fatalf("ended at once: status %d, stdout %q, stderr %q\n%s", status, stdout, stderr, x.told())
	}
	return func() {
		if status := <-ended; status != 37 {
			x.t.Errorf("exit status %d\n%s", status, x.told())
		}
		same(x.t, "stdout", stdout.String(), numbers(lines))
		same(x.t, "stderr", stderr.String(), numbers(lines))
	}
}

// told is what the user was told.
func (x *trial) told() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return strings.Join(x.said, "\n")
}

func (x *trial) inACommand(fault func(*trial)) {
	x.t.Helper()
	end := x.running()
	fault(x)
	end()
}

func (x *trial) inAnUpload(content []byte, fault func(*trial)) {
	var together sync.WaitGroup
	begun := x.wire().Stats().FromClient
	together.Go(func() {
		if err := x.comm.Upload("/tmp/"+x.comm.Name()+"-up", onlyReader{bytes.NewReader(content)}, nil); err != nil {
			x.t.Errorf("upload: %v", err)
		}
	})
	x.until("the upload is under way", func() bool { return x.wire().Stats().FromClient > begun+100 })
	fault(x)
	together.Wait()
	if got := there(x.t, x.comm, "/tmp/"+x.comm.Name()+"-up"); got != hexSum(content)+"  -\n" {
		x.t.Error("upload: wrong content")
	}
}

// inADownload fetches what inAnUpload has sent.
func (x *trial) inADownload(content []byte, fault func(*trial)) {
	var back bytes.Buffer
	var together sync.WaitGroup
	var once sync.Once
	err := x.comm.Download("/tmp/"+x.comm.Name()+"-up", writerFunc(func(b []byte) (int, error) {
		once.Do(func() { together.Go(func() { fault(x) }) })
		return back.Write(b)
	}))
	if err != nil || !bytes.Equal(back.Bytes(), content) {
		x.t.Errorf("download: %v, %d bytes", err, back.Len())
	}
	together.Wait()
}

// inAll has small files go both ways beside a command.
func (x *trial) inAll(fault func(*trial)) {
	content := random(200 << 10)
	var together sync.WaitGroup
	end := x.running()
	together.Go(func() { fault(x) })
	together.Go(func() {
		if err := x.comm.Upload("/tmp/"+x.comm.Name(), bytes.NewReader(content), nil); err != nil {
			x.t.Errorf("upload: %v", err)
		}
		var back bytes.Buffer
		if err := x.comm.Download("/tmp/"+x.comm.Name(), &back); err != nil || !bytes.Equal(back.Bytes(), content) {
			x.t.Errorf("download: %v, %d bytes", err, back.Len())
		}
	})
	end()
	together.Wait()
}

// until returns when something is so.
func (x *trial) until(what string, so func() bool) {
	for start := time.Now(); !so(); x.pause(5 * time.Millisecond) {
		if time.Since(start) > 5*time.Minute {
			x.t.Errorf("five minutes have passed, and it is not so that %s", what)
			return
		}
	}
}

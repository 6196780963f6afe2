//go:build linux

package communicator_test

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws/datachannel"
)

// TestSurvives is the table of what a build survives, with every byte right and
// the command's true exit status.
func TestSurvives(t *testing.T) {
	t.Parallel()
	shared := newCloud(t)
	shared.server.SetChannelModel(datachannel.Model{MessagesPerSecond: 1000})
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
				x.pause(200 * time.Millisecond)
			}
		},
		"pause for seconds": func(x *trial) { x.wire().Pause(3 * time.Second) },
		"frozen agent that comes back": func(x *trial) {
			thaw := x.wire().Freeze()
			x.pause(3500 * time.Millisecond)
			thaw()
		},
		"network silent for seconds": func(x *trial) {
			restore := x.wire().Silence()
			x.pause(3500 * time.Millisecond)
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
			shared.through(t, nil, asItIs, 1).survive(fault)
		})
	}
	t.Run("frozen agent that does not come back", func(t *testing.T) { t.Parallel(); frozen(t, shared) })
	t.Run("session lost ten times", func(t *testing.T) { t.Parallel(); lostTenTimes(t, shared) })
	t.Run("credentials that expire", func(t *testing.T) { t.Parallel(); expiring(t, shared) })
	t.Run("proxy", func(t *testing.T) { t.Parallel(); proxied(t, shared) })
	t.Run("proxy of the environment", func(t *testing.T) { t.Parallel(); proxiedByEnvironment(t, shared) })
	t.Run("maximum session duration", func(t *testing.T) { t.Parallel(); maximum(t) })
	t.Run("reboot", func(t *testing.T) { t.Parallel(); rebooted(t) })
}

// frozen has a session stop for good in mid-flood: its sshd is there, and can't
// get rid of what it has.
func frozen(t *testing.T, shared *cloud) {
	x := shared.through(t, nil, asItIs, 1)
	thaws := make(chan func(), 1)
	stdout := &trigger{due: map[int]func(){1 << 20: func() { thaws <- x.wire().Freeze() }}}
	cmd := &packersdk.RemoteCmd{Command: "seq 1 800000; exit 21", Stdout: stdout}
	if err := x.comm.Start(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	if status := cmd.Wait(); status != 21 {
		t.Errorf("exit status %d", status)
	}
	(<-thaws)()
	same(t, "stdout", stdout.String(), numbers(800_000))
	if err := x.comm.Close(); err != nil {
		t.Error(err)
	}
}

// lostTenTimes ends session after session for good, as soon as the command has
// brought something through it.
func lostTenTimes(t *testing.T, shared *cloud) {
	x := shared.through(t, nil, asItIs, 1)
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
	x := own.through(t, nil, asItIs, 1)
	x.survive(func(x *trial) {
		before, id, opened := looked.Load(), x.wire().ID(), x.wire().Stats().Opened
		// The service has not heard of the new ones yet.
		defer own.server.Inject(localaws.Fault{
			Service: "ssm", Action: "ResumeSession", Where: map[string]string{"SessionId": id}, Times: 2, Code: "ExpiredTokenException",
		})()
		x.pause(1100 * time.Millisecond)
		x.wire().CutClient()
		x.until("the session is resumed", func() bool { return x.wire().Stats().Opened > opened })
		if looked.Load() == before {
			t.Errorf("credentials were looked up %d times, and %d before the cut", looked.Load(), before)
		}
	})
}

// maximum has sessions that last two seconds, and work that takes longer.
func maximum(t *testing.T) {
	c := newCloud(t)
	c.server.SetChannelModel(datachannel.Model{MessagesPerSecond: 1000, MaxDuration: 2 * time.Second})
	x := c.through(t, nil, asItIs, 1)
	if status, out, _ := execute(t, x.comm, "sleep 3; echo slept; exit 8", nil); status != 8 || out != "slept\n" {
		t.Errorf("status %d, stdout %q", status, out)
	}
	x.size = 2500 << 10
	x.survive(func(*trial) {})
	if x.opened() < 4 {
		t.Errorf("%d sessions", x.opened())
	}
	if said := x.told(); !strings.Contains(said, "maximum") {
		t.Errorf("the user was told\n%s", said)
	}
}

// rebooted is what is left of a command when the instance reboots: nothing, and
// that is what the user asked for. The next one runs. The instance is away for a
// second: what it said a moment ago counts as a sign of life.
func rebooted(t *testing.T) {
	c := newCloudWith(t, localaws.Delays{AgentOnline: time.Second})
	c.server.SetChannelModel(datachannel.Model{MessagesPerSecond: 1000})
	x := c.through(t, nil, asItIs, 1)
	began := time.Now()
	if status, _, _ := execute(t, x.comm, "sudo reboot; sleep 600", nil); status != packersdk.CmdDisconnect {
		t.Errorf("exit status %d, want the one of a lost connection", status)
	}
	t.Logf("known after %s", time.Since(began).Round(time.Millisecond))
	if status, _, _ := execute(t, x.comm, "exit 5", nil); status != 5 {
		t.Errorf("exit status %d of the next command", status)
	}
	content := random(x.size + 1) // what survive sends is other
	x.inAnUpload(content, reboot)
	x.inADownload(content, reboot)
	x.survive(func(*trial) {})
}

// reboot returns when the instance is up again.
func reboot(x *trial) {
	const id = "cat /proc/sys/kernel/random/boot_id"
	before, err := x.run(x.t.Context(), id+"; (sleep 0.1; reboot) >/dev/null 2>&1 &")
	if err != nil {
		x.t.Error(err)
	}
	x.until("the instance is up again", func() bool {
		now, err := x.run(x.t.Context(), id)
		return err == nil && now != before
	})
}

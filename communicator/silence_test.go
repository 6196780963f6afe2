package communicator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdkcommunicator "github.com/hashicorp/packer-plugin-sdk/communicator"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// These tests are about time, and take none: the instance, its daemon and the
// connection are in a bubble.

func timed(keepAlive, readWrite time.Duration) Config {
	return Config{SSH: &sdkcommunicator.Config{SSH: sdkcommunicator.SSH{SSHKeepAliveInterval: keepAlive, SSHReadWriteTimeout: readWrite}}}
}

// Keepalives arrive at the daemon as often as ssh_keep_alive_interval says.
func TestKeepAlivesArrive(t *testing.T) {
	const long = 10 * time.Minute
	for interval, want := range map[time.Duration]int64{0: 120, time.Second: 600, 20 * time.Second: 30, -time.Second: 0} {
		t.Run(interval.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newInstanceInMemory(t)
				connectTo(t, i, timed(interval, 0))
				synctest.Wait()
				before := i.keepalives.Load()
				time.Sleep(long)
				synctest.Wait()
				if got := i.keepalives.Load() - before; got != want {
					t.Errorf("%d keepalives in %s, want %d", got, long, want)
				}
			})
		})
	}
}

// A session in which the agent has much to repeat is left for another, but not
// while a command runs that would end with it.
func TestMuchToRepeat(t *testing.T) {
	for name, row := range map[string]struct {
		missing  int32
		command  bool
		replaced bool
	}{
		"much":                   {900, false, true},
		"little":                 {gapMost - 1, false, false},
		"much, beside a command": {900, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newInstanceInMemory(t)
				c := connectTo(t, i, timed(0, 0))
				if row.command {
					hang(t, c)
				}
				before := c.line
				i.miss(row.missing)
				time.Sleep(gapLook + gapLook/2)
				if !before.alive() {
					t.Error("left at the first look, which may be of what is on its way")
				}
				time.Sleep(time.Minute)
				if before.alive() == row.replaced {
					t.Errorf("left: %v, want %v", !before.alive(), row.replaced)
				}
				if on, err := c.current(t.Context()); err != nil || (on == before) == row.replaced {
					t.Errorf("replaced: %v, %v", on != before, err)
				}
			})
		})
	}
}

// A command that would end with its session keeps it from when it is sent: it
// can't be sent again, since it may have begun.
func TestMuchToRepeatWhenACommandStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newInstanceInMemory(t)
		c := connectTo(t, i, timed(0, 0))
		before := c.line
		i.told = func(string) bool {
			i.miss(900)
			time.Sleep(10 * gapLook)
			i.miss(0)
			return true
		}
		cmd := &packersdk.RemoteCmd{Command: "exit 3"}
		if err := c.Start(t.Context(), cmd); err != nil || cmd.Wait() != 3 || !before.alive() {
			t.Errorf("%v, session kept: %v", err, before.alive())
		}
		i.miss(900)
		time.Sleep(10 * gapLook)
		if before.alive() {
			t.Error("kept after the command, too")
		}
	})
}

// An instance that falls silent is given ssh_read_write_timeout, counted from
// a keepalive, and what waits for it ends then. Without keepalives nobody notices.
func TestSilenceEndsWhatWaits(t *testing.T) {
	const never = time.Duration(0)
	for name, row := range map[string]struct{ keepAlive, readWrite, least, most time.Duration }{
		"as it is":                       {0, 0, 15 * time.Second, 25 * time.Second},
		"ssh_read_write_timeout, short":  {0, 2 * time.Second, 2 * time.Second, 10 * time.Second},
		"ssh_read_write_timeout, long":   {0, 3 * time.Minute, 3 * time.Minute, 190 * time.Second},
		"ssh_keep_alive_interval, short": {time.Second, 4 * time.Second, 4 * time.Second, 6 * time.Second},
		"ssh_keep_alive_interval, long":  {time.Minute, 4 * time.Second, time.Minute, 2 * time.Minute},
		"no keepalives":                  {-time.Second, 0, never, never},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newInstanceInMemory(t)
				c := connectTo(t, i, timed(row.keepAlive, row.readWrite))
				cmd := hang(t, c)
				began := time.Now()
				i.freeze()
				ended := make(chan time.Duration, 1)
				go func() { cmd.Wait(); ended <- time.Since(began) }()
				select {
				case after := <-ended:
					if row.least == never || after < row.least || after > row.most {
						t.Errorf("ended after %s, want between %s and %s", after, row.least, row.most)
					}
				case <-time.After(24 * time.Hour):
					if row.least != never {
						t.Error("has not ended in a day")
					}
					c.Disconnect()
					<-ended
				}
			})
		})
	}
}

// A command that says nothing for hours is not cut as long as keepalives are
// answered, and neither is an instance that answers none but says something.
func TestSteadyConnectionsAreKept(t *testing.T) {
	for name, row := range map[string]struct {
		command string
		deaf    bool
	}{"a quiet command": {"hang", false}, "no answer but output": {"tick", true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newInstanceInMemory(t)
				c := connectTo(t, i, timed(time.Second, 3*time.Second))
				i.deaf.Store(row.deaf)
				cmd := &packersdk.RemoteCmd{Command: row.command}
				if err := c.Start(t.Context(), cmd); err != nil {
					t.Fatal(err)
				}
				ended := make(chan int, 1)
				go func() { ended <- cmd.Wait() }()
				select {
				case status := <-ended:
					t.Errorf("ended with %d", status)
				case <-time.After(3 * time.Hour):
					c.Disconnect()
					<-ended
				}
			})
		})
	}
}

// A server that takes connections and never says anything is waited for as
// long as ssh_timeout, the plugin's own daemon and the machine's.
func TestConnectEndsWithItsTimeout(t *testing.T) {
	for name, row := range map[string]struct {
		own           bool
		timeout, want time.Duration
	}{
		"own daemon":              {false, 95 * time.Second, 95 * time.Second},
		"own daemon, default":     {false, 0, 5 * time.Minute},
		"machine's daemon":        {true, 95 * time.Second, 95 * time.Second},
		"machine's daemon, short": {true, time.Second, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newInstanceInMemory(t)
				i.mute.Store(true)
				if row.own {
					i.mu.Lock()
					i.startLocked(t.Context(), "22")
					i.mu.Unlock()
				}
				began := time.Now()
				_, err := connectOver(t.Context(), i.links(), Config{OwnCredentials: row.own, SSH: &sdkcommunicator.Config{SSH: sdkcommunicator.SSH{
					SSHTimeout: row.timeout, SSHPassword: "correct", SSHDisableAgentForwarding: true,
				}}})
				want := fmt.Sprintf("no SSH connection within %s (ssh_timeout); last: port ", row.want)
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want %q", err, want)
				}
				if after := time.Since(began); after != row.want {
					t.Errorf("ended after %s", after)
				}
			})
		})
	}
}

// A limit of the caller's own is told by the name that the caller has for it.
func TestConnectEndsWithItsCallersLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newInstanceInMemory(t)
		defer i.goAway()()
		ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Second, errors.New("ssm_timeout"))
		defer cancel()
		_, err := connectOver(ctx, i.links(), Config{})
		if err == nil || !strings.Contains(err.Error(), "within 20s (ssm_timeout)") {
			t.Errorf("error %v", err)
		}
	})
}

package communicator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// An instance that does not come back is told within seconds of EC2's knowing
// it. Nobody asks before the connection is lost.
func TestDeathIsToldSoon(t *testing.T) {
	const soon = lifeSteady + time.Second
	for _, dies := range []time.Duration{0, 2 * time.Second, 7 * time.Second, 25 * time.Second, 50 * time.Second} {
		t.Run(dies.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i, dead := newInstanceInMemory(t), fmt.Errorf("instance i-1 is terminated: %w", ErrPermanent)
				var asked atomic.Int64
				var lost atomic.Pointer[time.Time]
				i.alive = func(context.Context) error {
					if asked.Add(1); time.Since(*lost.Load()) >= dies {
						return dead
					}
					return nil
				}
				c := connectTo(t, i, Config{})
				time.Sleep(20 * time.Minute)
				if n := asked.Load(); n != 0 {
					t.Errorf("asked %d times while all was well", n)
				}
				now := time.Now()
				lost.Store(&now)
				defer i.goAway()()
				err := c.Upload("f", strings.NewReader("text"), nil)
				if !errors.Is(err, dead) || strings.Contains(err.Error(), context.Canceled.Error()) {
					t.Errorf("error %v", err)
				}
				if after := time.Since(now); after > dies+soon {
					t.Errorf("told after %s", after)
				}
			})
		})
	}
}

// A reboot is waited for as long as EC2 calls the instance running, or does not
// answer, and costs few calls.
func TestARebootIsNoDeath(t *testing.T) {
	for name, answer := range map[string]error{"running": nil, "no answer": errors.New("throttled")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newInstanceInMemory(t)
				var asked atomic.Int64
				i.alive = func(context.Context) error { asked.Add(1); return answer }
				c := connectTo(t, i, Config{})
				time.AfterFunc(2*time.Minute, i.goAway())
				if err := c.Upload("f", strings.NewReader("text"), nil); err != nil {
					t.Error(err)
				}
				if n := asked.Load(); n < 20 || n > 30 {
					t.Errorf("asked %d times in two minutes", n)
				}
			})
		})
	}
}

// A command that takes the instance down before it is even known to have begun has lost its connection, and is
// not run again: neither after a reboot, nor where the instance does not come back.
func TestCommandThatTakesTheInstanceDownAtOnce(t *testing.T) {
	for name, back := range map[string]bool{"reboot": true, "power off": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newInstanceInMemory(t)
				i.jobs = true
				var runs, down atomic.Int64
				comeBack := make(chan func(), 1)
				i.told = func(text string) bool {
					if !strings.Contains(text, "ssm_verb=run") {
						return true
					}
					runs.Add(1)
					down.Store(1)
					comeBack <- i.goAway()
					return false
				}
				i.alive = func(context.Context) error {
					if down.Load() == 1 && !back {
						return ErrPermanent
					}
					return nil
				}
				c := connectTo(t, i, Config{})
				if back {
					go func() { time.Sleep(30 * time.Second); (<-comeBack)() }()
				}
				cmd := &packersdk.RemoteCmd{Command: "sudo reboot"}
				if err := c.Start(t.Context(), cmd); err != nil {
					t.Fatal(err)
				}
				if status := cmd.Wait(); status != packersdk.CmdDisconnect || runs.Load() != 1 {
					t.Errorf("status %d, run %d times", status, runs.Load())
				}
				if !back {
					(<-comeBack)()
				}
			})
		})
	}
}

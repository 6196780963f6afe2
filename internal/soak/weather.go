package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws/datachannel"
)

// weather lets faults happen, several at a time where chance will have it.
type weather struct {
	*world
	random  *rand.Rand // owned by rage
	ongoing sync.WaitGroup
}

// distance is one way between client and service; there is always some.
const distance = 5 * time.Millisecond

// A fault is one thing that may happen, and how often beside the others.
type fault struct {
	name   string
	weight int
	strike func(ctx context.Context)
}

func (w *weather) faults() []fault {
	return []fault{
		{"loss of messages", 3, w.impaired(datachannel.Impairment{LoseData: 0.02})},
		{"loss of acknowledgements", 3, w.impaired(datachannel.Impairment{LoseAcks: 0.05})},
		{"repeated messages", 3, w.impaired(datachannel.Impairment{Repeat: 0.05})},
		{"reordered messages", 3, w.impaired(datachannel.Impairment{Reorder: 0.05})},
		{"all of the four", 2, w.impaired(datachannel.Impairment{LoseData: 0.01, LoseAcks: 0.01, Repeat: 0.02, Reorder: 0.02})},
		{"client's websocket cut", 3, w.each((*datachannel.Session).CutClient)},
		{"agent's websocket cut", 3, w.each(func(s *datachannel.Session) { s.CutAgent(w.upTo(2 * time.Second)) })},
		{"close of the websockets", 2, w.each((*datachannel.Session).Bye)},
		{"pause", 3, w.each(func(s *datachannel.Session) { s.Pause(w.upTo(3 * time.Second)) })},
		{"frozen agent", 3, w.whileItLasts((*datachannel.Session).Freeze)},
		{"silent network", 2, w.whileItLasts((*datachannel.Session).Silence)},
		{"throttled ResumeSession", 3, w.refused("ResumeSession", "ThrottlingException", "client's websocket cut")},
		{"throttled StartSession", 1, w.refused("StartSession", "ThrottlingException", "")},
		{"ResumeSession without an answer", 1, w.refused("ResumeSession", "", "client's websocket cut")},
	}
}

const (
	firstReboot = 20 * time.Second // so that a short soak has one
	laterReboot = time.Minute      // after the one before, at the least
	pauseLeast  = 200 * time.Millisecond
	pauseMost   = 3 * time.Second
)

// rage lets something happen every second or so until ctx ends, then waits until all of it has passed, and heals the rest.
func (w *weather) rage(ctx context.Context) {
	channels := w.cloud.Server.Channels()
	channels.Faults().Seed(w.options.seed)
	channels.Faults().ImpairBoth(datachannel.Impairment{Delay: distance})
	defer channels.Faults().Heal()
	defer w.ongoing.Wait()
	faults := w.wanted()
	reboot := time.Now().Add(firstReboot)
	for sleep(ctx, pauseLeast+w.upTo(pauseMost-pauseLeast)) == nil {
		f := pick(w.random, faults)
		if again := w.rebooting(); w.wants(again) && time.Now().After(reboot) {
			f = again
			reboot = time.Now().Add(laterReboot + w.upTo(laterReboot))
		}
		if f.name != "" {
			w.counts.add(faultCount, f.name)
			f.strike(ctx)
		}
	}
}

// rebooting is the fault that comes by the clock, not by chance.
func (w *weather) rebooting() fault { return fault{"reboot", 0, w.reboot} }

func (w *weather) wants(f fault) bool {
	return w.options.only == nil || w.options.only.MatchString(f.name)
}

// wanted are the faults that come by chance.
func (w *weather) wanted() []fault {
	return slices.DeleteFunc(w.faults(), func(f fault) bool { return !w.wants(f) })
}

// pick chooses by weight. With nothing to choose from it has no name.
func pick(random *rand.Rand, all []fault) fault {
	sum := 0
	for _, f := range all {
		sum += f.weight
	}
	n := random.IntN(max(sum, 1))
	for _, f := range all {
		if n -= f.weight; n < 0 {
			return f
		}
	}
	return fault{}
}

func (w *weather) upTo(d time.Duration) time.Duration {
	return time.Duration(w.random.Int64N(int64(d) + 1))
}

// impaired makes every wire bad for some seconds. The next such fault takes the place of the one before.
func (w *weather) impaired(i datachannel.Impairment) func(context.Context) {
	i.Delay = distance
	return func(ctx context.Context) {
		lasts := time.Second + w.upTo(4*time.Second)
		w.cloud.Server.Channels().Faults().ImpairBoth(i)
		w.ongoing.Go(func() {
			_ = sleep(ctx, lasts)
			w.cloud.Server.Channels().Faults().ImpairBoth(datachannel.Impairment{Delay: distance})
		})
	}
}

// each does something to one session, or to all at once.
func (w *weather) each(do func(*datachannel.Session)) func(context.Context) {
	return func(context.Context) {
		for _, s := range w.some() {
			do(s)
		}
	}
}

// some are one of the live sessions in most cases, all of them in the others.
func (w *weather) some() []*datachannel.Session {
	live := w.cloud.Server.Channels().Live()
	if len(live) == 0 || w.random.IntN(4) == 0 {
		return live
	}
	return live[w.random.IntN(len(live)):][:1]
}

// whileItLasts does something to sessions that is taken back after some seconds.
func (w *weather) whileItLasts(begin func(*datachannel.Session) (end func())) func(context.Context) {
	return func(ctx context.Context) {
		lasts := w.upTo(5 * time.Second)
		for _, s := range w.some() {
			end := begin(s)
			w.ongoing.Go(func() {
				defer end()
				_ = sleep(ctx, lasts)
			})
		}
	}
}

// refused makes some calls fail, and lets something happen that needs them. Without a code they are not answered at all.
func (w *weather) refused(action, code, because string) func(context.Context) {
	return func(ctx context.Context) {
		name := "call of " + action + " that failed"
		remove := w.cloud.Server.Inject(localaws.Fault{
			Service: "ssm", Action: action, Times: 1 + w.random.IntN(5), Code: code, Drop: code == "",
			Before: func(localaws.Call) { w.counts.add(faultCount, name) },
		})
		lasts := time.Second + w.upTo(4*time.Second)
		w.ongoing.Go(func() {
			defer remove()
			_ = sleep(ctx, lasts)
		})
		if because != "" {
			w.counts.add(faultCount, because)
			w.each((*datachannel.Session).CutClient)(ctx)
		}
	}
}

// reboot reboots the instance and returns when it is up again.
func (w *weather) reboot(ctx context.Context) {
	before, err := w.bootID(ctx)
	if err != nil {
		return // the soak is over, or bootID has said what is wrong
	}
	w.boots.begin()
	defer w.boots.end()
	_, err = ec2.NewFromConfig(w.cloud.Config).RebootInstances(ctx, &ec2.RebootInstancesInput{InstanceIds: []string{w.cloud.Instance}})
	if err != nil {
		if ctx.Err() == nil {
			w.fail(fmt.Errorf("reboot: %w", err))
		}
		return
	}
	rebooting, cancel := context.WithTimeout(context.WithoutCancel(ctx), bootLimit)
	defer cancel()
	for {
		if now, err := w.bootID(rebooting); err != nil || now != before {
			return
		}
		if sleep(rebooting, lookAgain) != nil {
			return
		}
	}
}

// bootLimit is how long a reboot may take, the machine's part of it alone.
const bootLimit = 2 * time.Minute

// bootID asks the instance which boot it is in, until it answers.
func (w *weather) bootID(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	for {
		id, err := w.runOnce(ctx, "cat /proc/sys/kernel/random/boot_id")
		if err == nil {
			return id, nil
		}
		if sleep(ctx, lookAgain) != nil {
			if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
				w.fail(fmt.Errorf("the instance has not answered for %s: %w", bootLimit, err))
			}
			return "", err
		}
	}
}

// sleep waits for d, or fails with the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

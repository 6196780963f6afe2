package amazonlinux

import (
	"context"
	"fmt"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

const (
	// firstPoll and a quarter of the time waited so far, up to steadyPoll, is how
	// long a wait sleeps between two looks: what is there soon is seen soon, and a
	// wait looks every two seconds, after longWait every three. The SDK's own waiters go up to two
	// minutes, and a build pays for what they overshoot.
	firstPoll  = 250 * time.Millisecond
	steadyPoll = 2 * time.Second
	slowPoll   = 3 * time.Second
	longWait   = 30 * time.Second

	// creatingGrace is how long a request that makes something is waited for once
	// the build is cancelled: knowing what it made is worth more than the seconds.
	creatingGrace = 20 * time.Second
)

func pollInterval(waited time.Duration) time.Duration {
	if waited >= longWait {
		return slowPoll
	}
	return min(max(waited/4, firstPoll), steadyPoll)
}

// A look is one look at what is awaited: done, or what was seen.
type look func(ctx context.Context) (done bool, seen string, err error)

// A waitError is a wait that took too long.
type waitError struct {
	what  string
	limit time.Duration
	seen  string
}

func (e *waitError) Error() string {
	seen := e.seen
	if seen == "" {
		seen = "nothing"
	}
	return fmt.Sprintf("%s: not within %s; the last thing seen was: %s", e.what, seconds(e.limit), seen)
}

// await looks until the look is done, fails, or has gone on for limit.
func await(ctx context.Context, what string, limit time.Duration, at look) error {
	started := time.Now()
	var last string
	for {
		done, seen, err := at(ctx)
		if done || err != nil {
			return err
		}
		// What was not there at this look is AWS's time; what the next look comes too late, the plugin's.
		phasesOf(ctx).aws(started, time.Now())
		last = seen
		waited := time.Since(started)
		if waited >= limit {
			return &waitError{what, limit, last}
		}
		if err := sleep(ctx, min(pollInterval(waited), limit-waited)); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// creating is the context for a request that makes something: it goes on for
// a while after ctx is cancelled, so that the answer, which holds the new
// resource's id, is not lost.
func creating(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(creatingGrace, cancel) })
	return longer, func() {
		stop()
		cancel()
	}
}

// settled calls until the answer is not the given code: that of something made a
// moment ago which the part of the service that answers does not know yet, or
// which another still holds on to.
func settled(ctx context.Context, code string, call func(context.Context) error) error {
	return await(ctx, "settling", visibleLimit, func(ctx context.Context) (bool, string, error) {
		err := call(ctx)
		if awsclient.Code(err) == code {
			return false, err.Error(), nil
		}
		return err == nil, "", awsclient.Err(err)
	})
}

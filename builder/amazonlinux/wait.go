package amazonlinux

import (
	"context"
	"fmt"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

const (
	// firstPoll and half of the time waited so far, up to steadyPoll, is how long a wait
	// sleeps between two looks: what is there soon is seen soon. The SDK's own waiters go
	// up to two minutes, and a build pays for what they overshoot.
	firstPoll  = 250 * time.Millisecond
	closePoll  = time.Second     // while the end is near
	steadyPoll = 2 * time.Second // where nothing tells how near it is
	slowPoll   = 3 * time.Second // long before the end, or long after it was due
	longWait   = time.Minute

	// creatingGrace is how long a request that makes something is waited for once
	// the build is cancelled: knowing what it made is worth more than the seconds.
	creatingGrace = 20 * time.Second
)

// A pace is how long a wait that has gone on for so long sleeps before its next look.
type pace func(waited time.Duration) time.Duration

// pollInterval is the pace where nothing tells how near the end is.
func pollInterval(waited time.Duration) time.Duration {
	if waited >= longWait {
		return slowPoll
	}
	return min(rising(waited), steadyPoll)
}

// due is the pace for what takes so long at least on AWS: seldom before, every
// second from then on. A simulated AWS may be faster, so it begins with quick looks, too.
func due(after time.Duration) pace {
	return func(waited time.Duration) time.Duration {
		switch {
		case waited < after:
			return min(rising(waited), slowPoll, max(after-waited, firstPoll))
		case waited < after+longWait:
			return min(rising(waited), closePoll)
		}
		return pollInterval(waited)
	}
}

func rising(waited time.Duration) time.Duration { return max(waited/2, firstPoll) }

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

// await looks at the usual pace until the look is done, fails, or has gone on for limit.
func await(ctx context.Context, what string, limit time.Duration, at look) error {
	return awaitAt(ctx, what, limit, pollInterval, at)
}

// awaitAt is await at a pace of its own.
func awaitAt(ctx context.Context, what string, limit time.Duration, pace pace, at look) error {
	started := time.Now()
	for {
		asked := time.Now()
		done, seen, err := at(ctx)
		if done || err != nil {
			return err
		}
		phasesOf(ctx).waited(what, started, asked)
		waited := time.Since(started)
		if waited >= limit {
			return &waitError{what, limit, seen}
		}
		if err := sleep(ctx, min(pace(waited), limit-waited)); err != nil {
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

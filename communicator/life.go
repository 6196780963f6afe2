package communicator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// How long it is between two looks at the instance's life, by how long the
// connection has been looked for. A reboot takes less than lifeSettles, mostly.
const (
	lifeFirst   = time.Second
	lifeSteady  = 3 * time.Second
	lifeSlow    = 10 * time.Second
	lifeSettles = time.Minute
)

// lifePause is how long the next look waits once the looking has gone on for so
// long: a shutdown shows itself in seconds, so the first looks are close together.
func lifePause(waited time.Duration) time.Duration {
	if waited >= lifeSettles {
		return lifeSlow
	}
	return min(max(lifeFirst, waited/2), lifeSteady)
}

// endedError is an instance that nobody can connect to again.
type endedError struct{ error }

func (e endedError) Unwrap() error { return e.error }

// whileAlive is a context that also ends when the instance does. Without it an
// instance that was shut down looks like one that takes its time to reboot.
func (c *Communicator) whileAlive(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		for began := time.Now(); ; {
			if err := c.links.alive(ctx); errors.Is(err, ErrPermanent) {
				cancel(endedError{fmt.Errorf("connect: %w", err)})
				return
			}
			if wait(ctx, lifePause(time.Since(began))) != nil {
				return
			}
		}
	})
	return ctx, func() {
		cancel(context.Canceled)
		watching.Wait()
	}
}

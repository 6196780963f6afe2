package communicator

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// shift is a carrier's part in a transfer, from the greeting of its script on.
type shift struct {
	tube *tube
	by   carrier
	ends sync.WaitGroup // both directions
}

// feed sends by do. It does not wait for a write that hangs when ctx ends.
func (s *shift) feed(ctx context.Context, do func() error) (err error) {
	fed := make(chan error, 1)
	s.ends.Go(func() { fed <- do() })
	select {
	case err = <-fed:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		err = errors.Join(err, context.Cause(ctx))
	}
	return err
}

// laneGrace is how long a lane may take to come to rest after a transfer: less
// than a keepalive takes to find it dead.
const laneGrace = 5 * time.Second

// settle ends a shift without waiting for it. Others may have been faster than
// its session, and what is still on the way there is thrown away at the other
// end; the session is as good as before. One that does not come to rest hangs,
// and is given up.
func (c *Communicator) settle(s *shift) {
	rest := make(chan struct{})
	resting := func() {
		defer close(rest)
		s.tube.close()
		s.ends.Wait()
		_, _ = io.Copy(io.Discard, s.tube.out)
	}
	if !c.owned.goes(resting) {
		resting() // all lines are being cut
		return
	}
	if s.by.lane != nil {
		c.owned.goes(func() { s.by.lane.failUnless(rest) })
	}
}

// failUnless gives a lane up that does not come to rest.
func (l *line) failUnless(rest <-chan struct{}) {
	timer := time.NewTimer(laneGrace)
	defer timer.Stop()
	select {
	case <-rest:
	case <-timer.C:
		l.fail(errLate)
	}
}

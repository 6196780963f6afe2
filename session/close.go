package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taccoform/packer-plugin-ssm/session/internal/agentmsg"
)

const (
	drainTimeout     = 2 * time.Second // for what closed connections still have to send
	farewellTimeout  = time.Second     // for the agent to take the flag
	terminateTimeout = 15 * time.Second
)

// Close ends the session for good: open connections break off with ErrClosed,
// those that were closed before get up to two seconds to deliver what was
// written, the agent is told, and Service.Terminate is called with a deadline
// of its own. It returns when everything the session started is over; its
// error is Terminate's. It may be called at any time, and again.
func (p *Port) Close() error {
	if p.closing.CompareAndSwap(false, true) {
		p.closeErr = p.shut()
		close(p.shutDone)
	}
	<-p.shutDone
	return p.closeErr
}

func (p *Port) shut() error {
	over := isClosed(p.done)
	_ = p.mux.fail(ErrClosed)
	if !over && isClosed(p.ready) {
		p.farewell()
	}
	var err error
	if !over || !p.byPeer() {
		err = p.terminate()
	}
	p.stop(ErrClosed)
	<-p.done
	return err
}

// farewell lets closed connections finish, then tells the agent to end the
// session, for as long as there is any progress to expect.
func (p *Port) farewell() {
	p.settle(drainTimeout, func() bool { return !p.mux.pending() && p.stream.settled() })
	p.stream.order(agentmsg.Flag, agentmsg.TerminateSession.Encode())
	p.settle(farewellTimeout, p.stream.settled)
}

// settle waits until ok, which acknowledgements bring about, the session's
// end, or the time is over.
func (p *Port) settle(most time.Duration, ok func() bool) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	for !ok() {
		select {
		case <-p.stream.progress:
		case <-p.done:
			return
		case <-timer.C:
			return
		}
	}
}

// byPeer says whether the service or the agent ended the session: there is
// nothing left to terminate then.
func (p *Port) byPeer() bool {
	var ended *EndedError
	return errors.As(p.err, &ended) && ended.closed
}

// terminate calls Service.Terminate with a deadline. ctx must be one that is
// not cancelled: that the other ones are is often why a session is closed.
func terminate(ctx context.Context, svc *Service, id string) error {
	if svc.Terminate == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, terminateTimeout)
	defer cancel()
	if err := svc.Terminate(ctx, id); err != nil {
		return fmt.Errorf("terminate session %s: %w", id, err)
	}
	return nil
}

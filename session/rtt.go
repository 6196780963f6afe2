package session

import "time"

// The bounds of the retransmission timeout.
const (
	rtoInitial = time.Second // before the first sample (RFC 6298, 2.1)
	rtoFloor   = 200 * time.Millisecond
	rtoCap     = 2 * time.Second
	rtoGranule = 10 * time.Millisecond // RFC 6298's G
)

// rtt estimates the round trip by RFC 6298. Samples come only from messages
// that were sent once (Karn).
type rtt struct {
	smooth, vary time.Duration
	backoff      uint // timeouts in a row
}

// sample takes in one measured round trip and ends any back-off.
func (r *rtt) sample(d time.Duration) {
	r.backoff = 0
	if r.smooth == 0 {
		r.smooth, r.vary = max(d, 1), d/2
		return
	}
	r.vary = (3*r.vary + (r.smooth - d).Abs()) / 4
	r.smooth = max((7*r.smooth+d)/8, 1)
}

// timeout is the retransmission timeout.
func (r *rtt) timeout() time.Duration {
	rto := rtoInitial
	if r.smooth > 0 {
		rto = r.smooth + max(rtoGranule, 4*r.vary)
	}
	return min(max(rto, rtoFloor)<<min(r.backoff, 4), rtoCap)
}

// reordering is how much later than its successors a message may arrive
// before it counts as lost.
func (r *rtt) reordering() time.Duration { return max(rtoGranule, r.smooth/4) }

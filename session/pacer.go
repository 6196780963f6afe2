package session

import "time"

const (
	// serviceLimit is how many messages may go out in any one second: rate
	// plus burst stay under it. The service pauses a session above 1000.
	serviceLimit = 990

	burstMin = 10
	burstMax = 64 // also what a second of jitter on the way can bunch up

	rateMin  = 500 // what AWS's own client sends at least, and never slower: the service must bear it
	rateStep = 5   // a busy second without a pause adds this much
	rateBack = 25  // the same below the start rate

	calmBefore   = 5 * time.Second // no growth so soon after the start or a pause
	ceilingHolds = 5 * time.Minute // a rate that caused a pause is not tried again before
)

// pacer is a token bucket whose rate adapts: it begins at the start rate,
// falls when the service pauses a session that was sending fast, comes back,
// and creeps up to the top rate while it is used to the full and all is calm.
type pacer struct {
	rate, start, top float64 // messages a second
	tokens           float64
	filled           time.Time // when tokens was right

	ceiling     float64 // just under the rate of the last pause
	ceilingTill time.Time
	calmFrom    time.Time

	second     time.Time // start of the current second
	sent, last int       // messages in the current and the previous one
	limited    bool      // a message had to wait in the current one
}

func newPacer(start, top int, now time.Time) pacer {
	p := pacer{rate: float64(start), start: float64(start), top: float64(top), filled: now, second: now, calmFrom: now}
	p.tokens = p.burst()
	return p
}

// burst is how many messages may go out at once after a silence.
func (p *pacer) burst() float64 {
	return min(max(serviceLimit-p.rate, burstMin), burstMax, max(p.rate, 1))
}

// wait is how long until the next message may go out, 0 for now.
func (p *pacer) wait(now time.Time) time.Duration {
	p.tick(now)
	p.tokens = min(p.tokens+p.rate*now.Sub(p.filled).Seconds(), p.burst())
	p.filled = now
	if p.tokens >= 1 {
		return 0
	}
	p.limited = true
	return time.Duration((1-p.tokens)/p.rate*float64(time.Second)).Truncate(time.Microsecond) + time.Microsecond
}

// take spends a token that wait said is there.
func (p *pacer) take() {
	p.tokens--
	p.sent++
}

// tick closes the seconds that are over and adapts the rate.
func (p *pacer) tick(now time.Time) {
	over := now.Sub(p.second)
	if over < time.Second {
		return
	}
	if p.limited && over < 2*time.Second && now.Sub(p.calmFrom) >= calmBefore {
		p.rate = max(p.rate, min(p.rate+p.step(), p.limit(now)))
	}
	p.last = p.sent
	if over >= 2*time.Second {
		p.last = 0
	}
	p.second, p.sent, p.limited = now, 0, false
}

func (p *pacer) step() float64 {
	if p.rate < p.start {
		return rateBack
	}
	return rateStep
}

// limit is the rate that growth stops at.
func (p *pacer) limit(now time.Time) float64 {
	if now.Before(p.ceilingTill) {
		return min(p.top, p.ceiling)
	}
	return p.top
}

// paused takes in that the service told the session to stop. It slows down
// only if the session was fast: a pause also means that the agent is away.
func (p *pacer) paused(now time.Time) {
	p.tick(now)
	p.calmFrom = now
	if float64(max(p.sent, p.last)) < p.rate/2 {
		return
	}
	p.ceiling, p.ceilingTill = max(p.rate*0.95, rateMin), now.Add(ceilingHolds)
	p.rate = max(p.rate*0.7, min(rateMin, p.start))
	p.tokens = min(p.tokens, 1)
}

package datachannel

import "time"

const (
	meterSlot  = 100 * time.Millisecond
	meterSlots = 20 // 2 s
)

// A meter counts the stream data of one direction and tells when there was too much of it.
type meter struct {
	limit   int // messages per second; 0 is no limit
	slots   [meterSlots]int
	current int64 // number of the newest slot
	paused  time.Time
}

type verdict int

const (
	keepOn verdict = iota
	pauseNow
	resumeNow
	closeNow
)

// add counts a message.
func (m *meter) add(now time.Time) verdict {
	if m.limit == 0 {
		return keepOn
	}
	m.advance(now)
	m.slots[m.current%meterSlots]++
	if m.paused.IsZero() && m.within(meterSlots) > m.limit*2+m.limit/10 {
		m.paused = now
		return pauseNow
	}
	return keepOn
}

// review looks at a session that was paused: who still sends at half the limit after 2 s is cut off, who sends less may go on.
func (m *meter) review(now time.Time) verdict {
	if m.paused.IsZero() {
		return keepOn
	}
	m.advance(now)
	switch busy := m.within(meterSlots/2) > m.limit/2; {
	case !busy:
		m.paused = time.Time{}
		return resumeNow
	case now.Sub(m.paused) >= 2*time.Second:
		return closeNow
	}
	return keepOn
}

func (m *meter) advance(now time.Time) {
	slot := now.UnixNano() / int64(meterSlot)
	for gap := min(slot-m.current, meterSlots); gap > 0; gap-- {
		m.slots[(slot-gap+1)%meterSlots] = 0
	}
	m.current = max(m.current, slot)
}

// within counts the messages of the newest n slots.
func (m *meter) within(n int64) int {
	sum := 0
	for i := range n {
		sum += m.slots[(m.current-i+meterSlots)%meterSlots]
	}
	return sum
}

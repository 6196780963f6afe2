package communicator

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	progressFirst = 3 * time.Second // what is over before is not worth a word
	progressEvery = 5 * time.Second
)

// meter counts the bytes of a transfer and tells the user about a long one.
type meter struct {
	say   func(string)
	what  string // "Uploading to /x" and the like
	total int64  // -1: not known
	moved atomic.Int64
	begun time.Time
	lanes atomic.Int64 // the most that carried at the same time
}

func (c *Communicator) newMeter(what string, total int64) *meter {
	return &meter{say: c.say, what: what, total: total, begun: time.Now()}
}

// add counts bytes that have arrived.
func (m *meter) add(n int) { m.moved.Add(int64(n)) }

// carried takes in how many sessions carry at the moment.
func (m *meter) carried(n int) { m.lanes.Store(max(m.lanes.Load(), int64(n))) }

// watch tells of the progress until ctx ends.
func (m *meter) watch(ctx context.Context) {
	for pause := progressFirst; wait(ctx, pause) == nil; pause = progressEvery {
		m.say(m.line(time.Since(m.begun)))
	}
}

// line says how far it is after so long.
func (m *meter) line(after time.Duration) string {
	moved := m.moved.Load()
	rate := float64(moved) / after.Seconds()
	if m.total <= 0 {
		return fmt.Sprintf("%s: %s, %s/s", m.what, mib(moved), mib(int64(rate)))
	}
	left := "?"
	if rate > 0 {
		left = time.Duration(float64(max(m.total-moved, 0)) / rate * float64(time.Second)).Round(time.Second).String()
	}
	return fmt.Sprintf("%s: %s of %s (%d%%), %s/s, %s left",
		m.what, mib(moved), mib(m.total), min(moved*100/m.total, 100), mib(int64(rate)), left)
}

// close says what a long transfer came to.
func (m *meter) close(err error) {
	took := time.Since(m.begun)
	if err != nil || took < progressFirst {
		return
	}
	moved := m.moved.Load()
	m.say(fmt.Sprintf("%s: done, %s in %s (%s/s over %d sessions)", m.what, mib(moved),
		took.Round(100*time.Millisecond), mib(int64(float64(moved)/took.Seconds())), max(m.lanes.Load(), 1)))
}

func mib(n int64) string {
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

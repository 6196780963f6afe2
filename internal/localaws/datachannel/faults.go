package datachannel

import (
	"math/rand/v2"
	"sync"
	"time"
)

// An Impairment is what a wire does to the messages on it, in one direction. The zero value does nothing.
// The shares are from 0 to 1.
type Impairment struct {
	LoseData       float64       // share of the stream data that is lost
	LoseAcks       float64       // share of the acknowledgements that are lost
	Repeat         float64       // share of both that arrives twice
	Reorder        float64       // share of both that arrives up to ReorderBy late, so that others overtake it
	ReorderBy      time.Duration // 20 ms when 0
	Delay          time.Duration // one way; the upgrade of the websocket takes one round trip
	BytesPerSecond int           // 0 is no limit
}

// Direction says which wire is meant.
type Direction int

// The wires of a session.
const (
	ToAgent Direction = iota
	ToClient
)

// Faults holds the impairments of one session, or of all sessions that have none of their own. Changes act at once, on the
// messages sent from then on. Its methods may be called at any time from any goroutine.
type Faults struct {
	parent *Faults

	mu      sync.Mutex
	random  *rand.Rand
	impairs [2]*Impairment
}

func newFaults(parent *Faults) *Faults {
	f := &Faults{parent: parent}
	f.Seed(1)
	return f
}

// Seed restarts the random choices, so that a run with the same messages has the same faults.
func (f *Faults) Seed(seed uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.random = rand.New(rand.NewPCG(seed, seed))
}

// Impair sets what happens in a direction.
func (f *Faults) Impair(d Direction, i Impairment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.impairs[d] = &i
}

// ImpairBoth sets what happens in both directions: a delay of 20 ms makes a round trip of 40.
func (f *Faults) ImpairBoth(i Impairment) {
	f.Impair(ToAgent, i)
	f.Impair(ToClient, i)
}

// Heal takes every impairment back; a session's falls back to those of all sessions.
func (f *Faults) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.impairs = [2]*Impairment{}
}

func (f *Faults) impairment(d Direction) Impairment {
	f.mu.Lock()
	own := f.impairs[d]
	f.mu.Unlock()
	switch {
	case own != nil:
		return *own
	case f.parent != nil:
		return f.parent.impairment(d)
	}
	return Impairment{}
}

// chance is true in share of the cases.
func (f *Faults) chance(share float64) bool {
	if share <= 0 {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.random.Float64() < share
}

func (f *Faults) upTo(d time.Duration) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Duration(f.random.Int64N(int64(d) + 1))
}

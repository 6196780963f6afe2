package datachannel

import (
	"container/list"
	"encoding/binary"
	"math"
	"sync"
	"time"
)

const (
	resendInterval = 100 * time.Millisecond
	clockGrain     = 10 * time.Millisecond
	maxTimeout     = time.Second
)

// outgoing is what the agent has sent and not seen acknowledged, with the agent's estimate of how long that takes.
type outgoing struct {
	mu      sync.Mutex
	next    int64
	waiting *list.List // of *sentMessage, in order of sending
	rtt     float64    // ns
	rttVar  float64    // ns
	timeout time.Duration
}

type sentMessage struct {
	message
	last time.Time // of sending
}

func (o *outgoing) init() {
	o.waiting = list.New()
	o.rtt = float64(100 * time.Millisecond)
	o.timeout = 200 * time.Millisecond
}

// add gives m its sequence number and remembers it, unless too many are waiting: then it goes out and is forgotten.
func (o *outgoing) add(m *message, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	m.seq = o.next
	if m.seq == 0 {
		m.flags = flagsSyn
	}
	o.next++
	if o.waiting.Len() < bufferCapacity {
		o.waiting.PushBack(&sentMessage{*m, now})
	}
}

// upcoming is the number of the next message.
func (o *outgoing) upcoming() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.next
}

// acknowledged forgets a message and learns from the time since it was last sent, repeated or not.
func (o *outgoing) acknowledged(seq int64, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for e := o.waiting.Front(); e != nil; e = e.Next() {
		if sent, ok := e.Value.(*sentMessage); ok && sent.seq == seq {
			o.learn(float64(now.Sub(sent.last)))
			o.waiting.Remove(e)
			return
		}
	}
}

func (o *outgoing) learn(sample float64) {
	o.rttVar = 0.75*o.rttVar + 0.25*math.Abs(o.rtt-sample)
	o.rtt = 0.875*o.rtt + 0.125*sample
	o.timeout = min(maxTimeout, time.Duration(o.rtt+math.Max(float64(clockGrain), 4*o.rttVar)))
}

// due is the oldest message if it has waited for longer than the timeout. No other is ever looked at.
func (o *outgoing) due(now time.Time) (message, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.waiting.Front()
	if e == nil {
		return message{}, false
	}
	sent, ok := e.Value.(*sentMessage)
	if !ok || now.Sub(sent.last) <= o.timeout {
		return message{}, false
	}
	sent.last = now
	return sent.message, true
}

func (o *outgoing) empty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.waiting.Len() == 0
}

// send sends stream data. The payload is not copied. While publication is paused it is only remembered.
func (a *agent) send(payloadType uint32, payload []byte) {
	if len(payload) == 0 {
		return
	}
	a.gate.wait(a.life)
	m := newMessage(outputStreamData, payloadType, payload)
	a.out.add(&m, time.Now())
	if !a.paused.Load() {
		a.session.fromAgent(m)
	}
}

func (a *agent) sendFlag(flag uint32) {
	a.send(payloadFlag, binary.BigEndian.AppendUint32(nil, flag))
}

// sendPlain sends what is not stream data.
func (a *agent) sendPlain(kind string, payload []byte) {
	m := newMessage(kind, payloadNone, payload)
	m.flags = flagsSynFin
	a.session.fromAgent(m)
}

func (a *agent) ack(m message) {
	a.sendPlain(acknowledge, jsonOf(ackPayload{m.kind, m.id.String(), m.seq, true}))
}

// resend sends the oldest message again when it is due, and looks every 100 ms: a hole of n messages takes n tenths of a second.
func (a *agent) resend() {
	tick := time.NewTicker(resendInterval)
	defer tick.Stop()
	for {
		select {
		case <-a.life.Done():
			return
		case <-tick.C:
		}
		a.gate.wait(a.life)
		if a.paused.Load() {
			continue
		}
		if m, ok := a.out.due(time.Now()); ok {
			a.session.fromAgent(m)
		}
	}
}

// drain waits for the last acknowledgements, not for long.
func (a *agent) drain() {
	for deadline := time.Now().Add(drainTimeout); !a.out.empty() && time.Now().Before(deadline); {
		if !a.sleep(10 * time.Millisecond) {
			return
		}
	}
}

// pace gives the pause that a pump makes after each message, which is false when the worker was killed meanwhile.
func (a *agent) pace() (breathe func() bool, end func()) {
	if !a.model.Pump {
		return func() bool { return a.life.Err() == nil }, func() {}
	}
	nap, end := newNap()
	return func() bool {
		nap(time.Millisecond)
		return a.life.Err() == nil
	}, end
}

// active waits out a pause of publication, as the agent's pumps for ports and terminals do.
func (a *agent) active() bool {
	for a.paused.Load() {
		if !a.sleep(time.Millisecond) {
			return false
		}
	}
	return a.life.Err() == nil
}

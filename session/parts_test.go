package session

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taccoform/packer-plugin-ssm/session/internal/agentmsg"
)

// drive takes every token for d, and says the most it got in any second.
func drive(p *pacer, now time.Time, d time.Duration) (time.Time, int) {
	var at []time.Time
	for end := now.Add(d); now.Before(end); {
		if wait := p.wait(now); wait > 0 {
			now = now.Add(wait)
			continue
		}
		p.take()
		at = append(at, now)
	}
	return now, busiest(at)
}

func TestPacer(t *testing.T) {
	now := time.Unix(0, 0)
	p := newPacer(900, 970, now)
	check := func(what string, most, atLeast, atMost int) {
		t.Helper()
		if most > 1000 || int(p.rate) < atLeast || int(p.rate) > atMost {
			t.Errorf("%s: %d in a second, rate %.0f, want %d to %d", what, most, p.rate, atLeast, atMost)
		}
	}
	now, most := drive(&p, now, 4*time.Second)
	check("start", most, 900, 900)
	now, most = drive(&p, now, time.Minute)
	check("a calm minute", most, 970, 970)
	p.paused(now)
	check("paused", 0, 600, 700)
	now, most = drive(&p, now, 2*time.Minute)
	check("recovered to just under where it was paused", most, 915, 925)
	now, most = drive(&p, now.Add(ceilingHolds), time.Minute)
	check("long after", most, 970, 970)
	now = now.Add(time.Minute)
	p.paused(now)
	check("paused while idle: not its fault", 0, 970, 970)
	for range 100 {
		now, _ = drive(&p, now, 2*time.Second)
		p.paused(now)
	}
	check("paused again and again", 0, rateMin, rateMin+rateBack)
}

func TestPacerIdleDoesNotGrow(t *testing.T) {
	now := time.Unix(0, 0)
	p := newPacer(900, 970, now)
	for range 1000 {
		if p.wait(now) == 0 {
			p.take()
		}
		now = now.Add(100 * time.Millisecond)
	}
	if p.rate != 900 {
		t.Errorf("rate %.0f after sending slowly, want 900", p.rate)
	}
}

func TestRTT(t *testing.T) {
	var r rtt
	if got := r.timeout(); got != rtoInitial {
		t.Errorf("timeout %v before a sample", got)
	}
	r.sample(100 * time.Millisecond)
	if got := r.timeout(); got != 300*time.Millisecond { // 100 + 4*50
		t.Errorf("timeout %v after the first sample", got)
	}
	for range 100 {
		r.sample(10 * time.Millisecond)
	}
	if got := r.timeout(); got != rtoFloor {
		t.Errorf("timeout %v, want the floor", got)
	}
	for _, want := range []time.Duration{400, 800, 1600, 2000, 2000} {
		r.backoff++
		if got := r.timeout(); got != want*time.Millisecond {
			t.Errorf("timeout %v after %d timeouts, want %v", got, r.backoff, want*time.Millisecond)
		}
	}
	r.sample(10 * time.Millisecond)
	if got := r.timeout(); got != rtoFloor {
		t.Errorf("timeout %v after a sample, want the floor", got)
	}
}

func numbered(n int64, size int) agentmsg.Message {
	return agentmsg.Message{Type: agentmsg.TypeOutput, Sequence: n, Payload: make([]byte, size)}
}

func TestReceiverOrder(t *testing.T) {
	var r receiver
	rng := rand.New(rand.NewPCG(1, 2))
	var got []int64
	for _, n := range append(rng.Perm(1000), rng.Perm(1000)...) {
		turn, ack := r.accept(numbered(int64(n), 1))
		if !ack {
			t.Errorf("%d was not acknowledged", n)
		}
		for _, m := range turn {
			got = append(got, m.Sequence)
		}
	}
	if len(got) != 1000 || len(r.early) != 0 || r.size != 0 {
		t.Errorf("%d handled, %d kept, size %d", len(got), len(r.early), r.size)
	}
	for i, n := range got {
		if n != int64(i) {
			t.Fatalf("number %d came at place %d", n, i)
		}
	}
	if _, ack := r.accept(numbered(-1, 1)); ack {
		t.Error("a negative number was acknowledged")
	}
}

func TestReceiverIsBounded(t *testing.T) {
	var r receiver
	const size = 1 << 20
	refused := int64(0)
	for n := int64(1); refused == 0; n++ {
		if _, ack := r.accept(numbered(n, size)); !ack {
			refused = n
		}
	}
	if r.size > earlyLimit || refused < earlyLimit/(size+earlyOverhead) {
		t.Errorf("refused number %d with %d bytes kept", refused, r.size)
	}
	if _, ack := r.accept(numbered(1, size)); !ack {
		t.Error("a repeat of a kept message was not acknowledged")
	}
	if turn, ack := r.accept(numbered(0, size)); !ack || len(turn) != int(refused) {
		t.Errorf("handled %d, want %d", len(turn), refused)
	}
	if r.size != 0 {
		t.Errorf("%d bytes still kept", r.size)
	}
}

// TestSenderRepeats checks what goes again, and when.
func TestSenderRepeats(t *testing.T) {
	opts, err := Options{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	m := newMux("s", 1<<20, func() {})
	c, err := m.open()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(0, 0)
	s := newSender(&opts, now)
	s.openAt = now
	if _, err := c.Write(make([]byte, 20_000)); err != nil {
		t.Fatal(err)
	}
	var first []byte
	for n := 0; ; n++ {
		frame, wait := s.next(now, m)
		if frame == nil {
			if wait != firstTimeout {
				t.Errorf("waits %v after %d messages, want %v", wait, n, firstTimeout)
			}
			break
		}
		if n == 0 {
			first = frame
		}
	}
	frame, _ := s.next(now.Add(firstTimeout), m)
	if !bytes.Equal(frame, first) {
		t.Error("the first message does not go again, as it was, when the agent is not ready")
	}
	s.acknowledged(0, now.Add(100*time.Millisecond))
	later := now.Add(5 * time.Second)
	count := 0
	for {
		if frame, _ := s.next(later, m); frame == nil {
			break
		}
		count++
	}
	if count != resendFew {
		t.Errorf("%d messages go again at a timeout, want %d", count, resendFew)
	}
	s.attach(later)
	if s.due != s.unacked || s.unacked == 0 {
		t.Errorf("%d of %d go again over a new websocket", s.due, s.unacked)
	}
}

// TestSenderFindsTheMissing checks that a message is repeated soon after later
// ones have arrived, without waiting for its timeout.
func TestSenderFindsTheMissing(t *testing.T) {
	opts, err := Options{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(0, 0)
	s := newSender(&opts, now)
	for range 4 {
		s.orders = append(s.orders, order{agentmsg.Flag, []byte("x")})
		if frame, _ := s.next(now, nil); frame == nil {
			t.Fatal("nothing to send")
		}
		now = now.Add(30 * time.Millisecond)
	}
	now = now.Add(40 * time.Millisecond)
	s.acknowledged(0, now)
	s.acknowledged(3, now)
	if s.due != 1 || !s.flight[0].due {
		t.Errorf("%d due; want number 1, sent 60ms before 3, and not 2, sent 30ms before", s.due)
	}
}

func TestMuxRefuses(t *testing.T) {
	for _, frame := range []string{
		"\x02\x02\x01\x00\x03\x00\x00\x00x", // version 2
		"\x01\x04\x08\x00\x03\x00\x00\x00x", // window update of version 2
		"\x01\x01\x01\x00\x03\x00\x00\x00x", // FIN with data
	} {
		m := newMux("s", 1<<20, func() {})
		if err := m.feed([]byte(frame), false); err == nil {
			t.Errorf("%q was taken", frame)
		}
	}
	m := newMux("s", 1<<20, func() {})
	if err := m.feed([]byte("\x01\x02\x01\x00\x03\x00\x00\x00x\x01\x03\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x09\x00\x00\x00"), false); err != nil {
		t.Errorf("data and FIN of streams that are gone, NOP: %v", err)
	}
}

func TestGap(t *testing.T) {
	var r receiver
	for _, step := range []struct{ number, want int64 }{
		{0, 0}, {41, 40}, {44, 40}, {1, 39}, {1 << 40, 39}, {40, 38}, {2, 37},
	} {
		if r.accept(numbered(step.number, 1)); int64(r.gap()) != step.want {
			t.Errorf("after message %d: a gap of %d, want %d", step.number, r.gap(), step.want)
		}
	}
	for n := range int64(45) {
		r.accept(numbered(n, 1))
	}
	if r.gap() != gapMost {
		t.Errorf("a gap of %d in front of number 1<<40, want %d", r.gap(), gapMost)
	}
}

// TestBurst checks what a reader that does nothing is allowed: its buffer, and
// beside it the most that has come at once.
func TestBurst(t *testing.T) {
	m := newMux("s", 100, func() {})
	c, err := m.open()
	if err != nil {
		t.Fatal(err)
	}
	feed := func(size int, waited bool) {
		t.Helper()
		if err := m.feed(append(header(muxPSH, c.id, size), make([]byte, size)...), waited); err != nil {
			t.Fatal(err)
		}
	}
	feed(90, false)
	feed(200, true)
	feed(300, true)
	if c.in.len() != 590 || c.err != nil {
		t.Errorf("%d bytes held, %v", c.in.len(), c.err)
	}
	feed(40, false)
	if !errors.Is(c.err, ErrSlowReader) {
		t.Errorf("%d bytes held, %v", c.in.len(), c.err)
	}
	if n, err := io.ReadFull(c, make([]byte, 590)); err != nil || c.allowed != 0 {
		t.Errorf("%d bytes read, %v; %d more allowed for ever", n, err, c.allowed)
	}
}

// FuzzMux feeds a mux with anything, cut anywhere: it never panics and never
// keeps more than its limit.
func FuzzMux(f *testing.F) {
	f.Add([]byte("\x01\x02\x03\x00\x03\x00\x00\x00abc\x01\x01\x00\x00\x03\x00\x00\x00"), 3)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		const limit = 1000
		m := newMux("s", limit, func() {})
		c, err := m.open()
		if err != nil {
			t.Fatal(err)
		}
		cut = max(0, min(cut, len(b)))
		before := bytes.Clone(b)
		if m.feed(b[:cut], false) == nil {
			_ = m.feed(b[cut:], false)
		}
		m.refused()
		if c.in.len() > limit {
			t.Errorf("%d bytes kept", c.in.len())
		}
		if !bytes.Equal(before, b) {
			t.Error("the input was written to")
		}
	})
}

// TestCorpus fails when the fuzzer has lost its committed corpus.
func TestCorpus(t *testing.T) {
	entries, err := os.ReadDir("testdata/fuzz/FuzzMux")
	if err != nil || len(entries) < 5 {
		t.Errorf("%d entries, want at least 5; %v", len(entries), err)
	}
}

func TestQueue(t *testing.T) {
	var q queue
	var want []byte
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		b := noise(rng.IntN(3000))
		q.push(b)
		want = append(want, b...)
		got := make([]byte, rng.IntN(4000))
		got = got[:q.pop(got)]
		if !bytes.Equal(got, want[:len(got)]) || q.len() != len(want)-len(got) {
			t.Fatal("differs")
		}
		want = want[len(got):]
	}
	q.push(noise(100_000))
	want = append(want, noise(100_000)...)[:7]
	q.truncate(7)
	if got := make([]byte, 10); q.pop(got) != 7 || !bytes.Equal(got[:7], want) {
		t.Errorf("got %x after truncation, want %x", got, want)
	}
	if len(q.chunks) > 1 || q.len() != 0 {
		t.Errorf("%d bytes in %d chunks", q.len(), len(q.chunks))
	}
}

func TestOptions(t *testing.T) {
	for _, bad := range []Options{
		{PayloadSize: 1537}, {PayloadSize: -1}, {Rate: -1}, {Rate: 900, MaxRate: 100}, {ResumeTimeout: -1},
	} {
		if _, err := OpenPort(t.Context(), Service{}, bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	if _, err := OpenPort(t.Context(), Service{}, Options{}); err == nil || !strings.Contains(err.Error(), "Service.Start") {
		t.Errorf("a service without functions: %v", err)
	}
	o, err := Options{Rate: 300}.withDefaults()
	if err != nil || o.MaxRate != 300 {
		t.Errorf("a rate alone is also the top: %+v, %v", o, err)
	}
}

func TestEndedError(t *testing.T) {
	cause := errors.New("cause")
	e := &EndedError{SessionID: "s", Reason: ReasonAgent, Output: " text\n", Err: cause}
	if got := e.Error(); got != "session s ended by the agent: text: cause" || !errors.Is(e, cause) {
		t.Errorf("got %q", got)
	}
}

// TestUnknownActions checks the answer to what this client does not know.
func TestUnknownActions(t *testing.T) {
	r, err := respond([]byte(`{"AgentVersion":"9","RequestedClientActions":[
		{"ActionType":"KMSEncryption","ActionParameters":{}},{"ActionType":"Dance"},
		{"ActionType":"SessionType","ActionParameters":{"SessionType":"Port","Properties":{"type":"LocalPortForwarding"}}}]}`), "1.3.0.0")
	if err != nil || r.useless != nil || r.refusal == nil {
		t.Fatalf("got %+v, %v", r, err)
	}
	for _, want := range []string{
		`"ActionType":"KMSEncryption","ActionStatus":3`, `"ActionType":"Dance","ActionStatus":3`, `"ActionType":"SessionType","ActionStatus":1`,
	} {
		if !strings.Contains(string(r.payload), want) {
			t.Errorf("%s lacks %s", r.payload, want)
		}
	}
}

func TestVersions(t *testing.T) {
	for version, want := range map[string]bool{
		"3.0.196.0": false, "3.0.196.1": true, "3.0.222.0": true, "2.3.722.0": false, "10": true, "3": false, "": true, "dev": true,
	} {
		if got := parseVersion(version).after(lastSingle); got != want {
			t.Errorf("%q: %v, want %v", version, got, want)
		}
	}
}

// TestPauseStopsData checks that a pause stops new data within what was on the
// way, and that one message tries the way when nothing else would.
func TestPauseStopsData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(tg *target) { _, _ = tg.Read(make([]byte, 1)) })
		defer w.end()
		p := w.open(Options{})
		c := dialPort(t, p)
		time.Sleep(time.Second)
		w.say(agentmsg.TypePausePublication, "x")
		time.Sleep(50 * time.Millisecond)
		before := w.agent.count()
		if _, err := c.Write(make([]byte, 60_000)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(pauseProbe - 100*time.Millisecond)
		if n := w.agent.count() - before; n != 0 {
			t.Errorf("%d messages during the pause", n)
		}
		time.Sleep(5 * time.Second)
		if n := w.agent.count() - before; n < 58 {
			t.Errorf("%d messages after the pause, want all", n)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

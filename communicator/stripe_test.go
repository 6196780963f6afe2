package communicator

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pieces makes a board with n pieces of a byte.
func pieces(n int) *board {
	b := newBoard((&Communicator{}).newMeter("", int64(n)))
	next := 0
	b.more = func() bool { return next < n }
	b.fresh = func(*worker) *piece {
		if next == n {
			return nil
		}
		next++
		return &piece{off: int64(next - 1), size: 1}
	}
	b.end()
	return b
}

func TestNobodyWaitsForASlowSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := pieces(20)
		slow, fast := b.join(false), b.join(false)
		slow.limit, fast.limit = 1, 1
		if b.next(t.Context(), slow) == nil {
			t.Fatal("nothing to do")
		}
		began := time.Now()
		for p := b.next(t.Context(), fast); p != nil; p = b.next(t.Context(), fast) {
			time.Sleep(10 * time.Millisecond)
			b.finished(fast, p)
		}
		if !isDone(b.over) || b.failure() != nil {
			t.Errorf("not over: %v", b.failure())
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %s", took)
		}
		if !b.leave(slow, nil) {
			t.Error("nobody knows that the slow one may still be writing")
		}
	})
}

// TestNobodyIsRobbedWhileOnTime: who is done with small pieces soon does not
// take the large ones from those who are as fast and still at them, but does
// once they are late.
func TestNobodyIsRobbedWhileOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sizes := append(slices.Repeat([]int{pieceLeast}, 40), blockSize, blockSize)
		b := newBoard((&Communicator{}).newMeter("", 1))
		b.more = func() bool { return len(sizes) > 0 }
		b.fresh = func(*worker) *piece {
			if len(sizes) == 0 {
				return nil
			}
			p := &piece{size: sizes[0]}
			sizes = sizes[1:]
			return p
		}
		b.end()
		carry := func(p *piece) { time.Sleep(time.Duration(p.size) * 1500) }
		small, large := b.join(false), b.join(false)
		for range 40 {
			p := b.next(t.Context(), small)
			carry(p)
			b.finished(small, p)
		}
		first, second := b.next(t.Context(), large), b.next(t.Context(), large)
		for _, p := range []*piece{first, second} {
			carry(p)
			if p, _ := b.pick(small, time.Now()); p != nil {
				t.Error("a piece was taken from a session that is as fast as others")
			}
			if p == first {
				b.finished(large, p)
			}
		}
		for range 3 {
			carry(second)
		}
		if p, _ := b.pick(small, time.Now()); p != second {
			t.Errorf("got %v, want the piece that is late", p)
		}
	})
}

// TestALateAnswerEndsNothingTwice: the last answers of a session may be read
// after it was given up, before or after somebody else has its pieces.
func TestALateAnswerEndsNothingTwice(t *testing.T) {
	for name, handedOn := range map[string]bool{"given back": false, "handed on": true} {
		b := pieces(2)
		lost, other := b.join(false), b.join(false)
		late := b.next(t.Context(), lost)
		b.leave(lost, errors.New("lost"))
		if handedOn && b.next(t.Context(), other) != late {
			t.Fatalf("%s: it was not handed on", name)
		}
		if !b.finished(lost, late) {
			t.Errorf("%s: the late answer does not count", name)
		}
		if handedOn && b.finished(other, late) {
			t.Errorf("%s: a piece was done twice", name)
		}
		if p := b.next(t.Context(), other); p == nil || p == late || !b.finished(other, p) {
			t.Errorf("%s: the other piece was not handed out", name)
		}
		if !isDone(b.over) || b.failure() != nil || other.bytes != 0 {
			t.Errorf("%s: not over, or %d bytes still on the way", name, other.bytes)
		}
	}
}

func TestWhatALostSessionHadIsGivenToOthers(t *testing.T) {
	b := pieces(3)
	lost := b.join(false)
	for range 3 {
		b.next(t.Context(), lost)
	}
	b.leave(lost, errors.New("lost"))
	other := b.join(false)
	for want := range int64(3) {
		p := b.next(t.Context(), other)
		if p == nil || p.off != want {
			t.Fatalf("got %v, want the piece at %d", p, want)
		}
		b.finished(other, p)
	}
	if b.next(t.Context(), other) != nil || !isDone(b.over) {
		t.Error("not over")
	}
}

func TestTheLineWorksOnlyWhileNobodyElseDoes(t *testing.T) {
	b := pieces(5)
	line := b.join(true)
	p, _ := b.pick(line, time.Now())
	if p == nil {
		t.Fatal("the line does not begin")
	}
	b.finished(line, p)
	lane := b.join(false)
	if p, _ := b.pick(line, time.Now()); p != nil {
		t.Error("the line goes on beside a lane")
	}
	b.lend = func() bool { return true }
	if p, _ := b.pick(line, time.Now()); p == nil {
		t.Error("the line is lent and does nothing")
	}
	b.lend = never
	b.leave(lane, errors.New("lost"))
	if p, _ := b.pick(line, time.Now()); p == nil {
		t.Error("the line does not take over from the last lane")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.fail(errors.New("over"))
	if b.next(ctx, line) != nil {
		t.Error("work after a failure")
	}
}

func TestPackingPays(t *testing.T) {
	var k packer
	for name, c := range map[string]struct {
		raw []byte
		how string
	}{
		"text": {[]byte(strings.Repeat("words and words\n", 5000)), "gzip"}, "noise": {noise(100 << 10), "plain"},
		"noise behind text": {append([]byte(strings.Repeat(" ", sampleSize)), noise(400<<10)...), "plain"}, "short": {[]byte("x"), "plain"},
	} {
		how, data := k.pack(c.raw)
		if how != c.how {
			t.Errorf("%s is sent as %s", name, how)
		}
		if how == "gzip" {
			r, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if data, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(data, c.raw) {
			t.Errorf("%s comes back different", name)
		}
	}
}

func TestProgressLines(t *testing.T) {
	m := (&Communicator{}).newMeter("Uploading to /x", 64<<20)
	m.add(16 << 20)
	if got, want := m.line(4*time.Second), "Uploading to /x: 16.0 MiB of 64.0 MiB (25%), 4.0 MiB/s, 12s left"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	m.total = -1
	if got, want := m.line(4*time.Second), "Uploading to /x: 16.0 MiB, 4.0 MiB/s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLanesComeAndGo(t *testing.T) {
	i := newInstance(t)
	c := connectTo(t, i, Config{Sessions: 2})
	l := c.lanes[0]
	on, err := l.use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if l.idle() {
		t.Error("idle while it is used")
	}
	l.leave()
	if l.idle() {
		t.Error("idle at once")
	}
	l.mu.Lock()
	l.used = time.Now().Add(-laneIdle)
	l.mu.Unlock()
	if !l.idle() {
		t.Error("not idle after a minute")
	}
	c.Disconnect()
	if on.alive() {
		t.Error("alive after Disconnect")
	}
	if _, err := c.lanes[1].use(t.Context()); err == nil {
		t.Error("a lane of a closed communicator")
	}
}

package agentmsg

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// vector is a message that AWS's own encoder writes the same.
const vector = `00000074
696e7075745f73747265616d5f64617461202020202020202020202020202020
00000001 0000018bcfe56800 0000000000000005 0000000000000000
8899aabbccddeeff0011223344556677
8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4
00000001 00000002 6869`

func vectorMessage(t testing.TB) Message {
	t.Helper()
	id, err := ParseUUID("00112233-4455-6677-8899-aabbccddeeff")
	if err != nil {
		t.Fatal(err)
	}
	return Message{
		Type: TypeInput, SchemaVersion: 1, Created: 1700000000000, Sequence: 5, ID: id,
		PayloadType: Output, Payload: []byte("hi"),
	}
}

func vectorBytes(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(vector), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVector(t *testing.T) {
	m, b := vectorMessage(t), vectorBytes(t)
	got, err := m.Append([]byte("before"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append([]byte("before"), b...), got); diff != "" {
		t.Errorf("encoded (-want +got):\n%s", diff)
	}
	back, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, back); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
}

// TestEveryByteFlipped flips each byte of the vector: that is noticed, or shows
// in the message, but for the length, which is ignored unless it is 0.
func TestEveryByteFlipped(t *testing.T) {
	want, b := vectorMessage(t), vectorBytes(t)
	for i := range b {
		flipped := bytes.Clone(b)
		flipped[i] ^= 0xff
		before := bytes.Clone(flipped)
		got, err := Decode(flipped)
		if !bytes.Equal(before, flipped) {
			t.Fatalf("byte %d: the input was written to", i)
		}
		length := i >= 116 && i < 120
		if same := err == nil && cmp.Equal(want, got); same != length {
			t.Errorf("byte %d flipped: message %+v, error %v", i, got, err)
		}
		switch {
		case i < 4 && !errors.Is(err, ErrHeaderLength):
			t.Errorf("byte %d of the header length flipped: %v", i, err)
		case (i >= 80 && i < 112 || i >= 120) && !errors.Is(err, ErrDigest):
			t.Errorf("byte %d of digest or payload flipped: %v", i, err)
		}
	}
}

func TestDecodeKeepsNothing(t *testing.T) {
	b := vectorBytes(t)
	m, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if diff := cmp.Diff(vectorMessage(t), m); diff != "" {
		t.Errorf("the message changed with its input:\n%s", diff)
	}
}

func TestDecodeEveryLength(t *testing.T) {
	b := vectorBytes(t)
	for n := range len(b) {
		if _, err := Decode(b[:n]); err == nil {
			t.Errorf("%d of %d bytes were taken", n, len(b))
		}
	}
}

// edit gives the vector with bytes replaced from an offset on.
func edit(t *testing.T, at int, with string) []byte {
	t.Helper()
	b := vectorBytes(t)
	copy(b[at:], with)
	return b
}

func TestDecode(t *testing.T) {
	short := vectorBytes(t)
	short = append(short[:112:112], short[116:]...) // as the service sends channel_closed
	short[3] = 112
	short[80] ^= 0xff // not the payload's digest
	copy(short[4:], "channel_closed\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	table := []struct {
		name string
		in   []byte
		want Message
		err  error
	}{
		{name: "padded with NULs", in: edit(t, 4, "acknowledge"+strings.Repeat("\x00", 21)), want: Message{Type: TypeAcknowledge}},
		{name: "padded with both", in: edit(t, 4, "acknowledge \x00"+strings.Repeat("\x00 ", 10)), want: Message{Type: TypeAcknowledge}},
		{name: "header of 112", in: short, want: Message{Type: TypeChannelClosed, PayloadType: None}},
		{name: "header of 113", in: edit(t, 3, "\x71"), err: ErrHeaderLength},
		{name: "huge header", in: edit(t, 0, "\xff\xff\xff\xff"), err: ErrHeaderLength},
		{name: "length too long", in: edit(t, 116, "\x00\x00\xff\xff"), want: Message{Type: TypeInput}},
		{name: "length 0, wrong digest", in: edit(t, 80, strings.Repeat("\x00", 32)+"\x00\x00\x00\x01\x00\x00\x00\x00"), want: Message{Type: TypeInput}},
		{name: "wrong digest", in: edit(t, 80, "\x00"), err: ErrDigest},
		{name: "start_publication of garbage", in: edit(t, 4, "start_publication"+strings.Repeat("\x00", 15)+"\xff")[:40], want: Message{Type: TypeStartPublication}},
		{name: "pause_publication, bad length and digest", in: edit(t, 0, "\xff\x00\x00\x00pause_publication"+strings.Repeat(" ", 15)), want: Message{Type: TypePausePublication}},
		{name: "nothing", err: ErrTruncated},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			m, err := Decode(row.in)
			if !errors.Is(err, row.err) {
				t.Fatalf("got %v, want %v", err, row.err)
			}
			if m.Type != row.want.Type {
				t.Errorf("type %q, want %q", m.Type, row.want.Type)
			}
			if row.name == "header of 112" && (string(m.Payload) != "hi" || m.PayloadType != None) {
				t.Errorf("got %+v", m)
			}
		})
	}
}

func TestAppendRefuses(t *testing.T) {
	for _, row := range []struct {
		m   Message
		err error
	}{
		{Message{Type: TypeInput}, ErrEmptyPayload},
		{Message{Type: strings.Repeat("x", 33), Payload: []byte("x")}, ErrTypeTooLong},
	} {
		if b, err := row.m.Append(nil); !errors.Is(err, row.err) || len(b) > 0 {
			t.Errorf("got %d bytes, %v, want %v", len(b), err, row.err)
		}
	}
}

func TestUUID(t *testing.T) {
	const s = "00112233-4455-6677-8899-aabbccddeeff"
	u, err := ParseUUID(s)
	if err != nil || u.String() != s {
		t.Errorf("got %v, %v", u, err)
	}
	for _, bad := range []string{"", s[1:], s + "0", strings.Replace(s, "-", "0", 1), strings.Replace(s, "f", "g", 1)} {
		if _, err := ParseUUID(bad); !errors.Is(err, ErrUUID) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// FuzzDecode checks that whatever decodes encodes to something that decodes
// to the same, and that the input stays as it is.
func FuzzDecode(f *testing.F) {
	f.Add(vectorBytes(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		m, err := Decode(b)
		if !bytes.Equal(before, b) {
			t.Fatal("the input was written to")
		}
		if err != nil {
			return
		}
		again, err := m.Append(nil)
		if err != nil {
			if len(m.Payload) > 0 {
				t.Fatalf("%+v does not encode: %v", m, err)
			}
			return
		}
		m.SchemaVersion = schema
		if back, err := Decode(again); err != nil || !cmp.Equal(m, back) {
			t.Fatalf("%+v became %+v, %v", m, back, err)
		}
	})
}

// FuzzPayloads checks that no payload makes a reader of payloads panic.
func FuzzPayloads(f *testing.F) {
	f.Add([]byte(`{"AcknowledgedMessageSequenceNumber":1}`))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = DecodeAcknowledge(b)
		_, _ = DecodeChannelClosed(b)
		_, _ = DecodeComplete(b)
		_, _ = DecodeFlag(b)
		_, _, _ = DecodeSessionType(b)
		if r, err := DecodeRequest(b); err == nil {
			for _, a := range r.Actions {
				_, _, _ = DecodeSessionType(a.Parameters)
			}
		}
	})
}

// TestCorpus fails when a fuzzer has lost its committed corpus.
func TestCorpus(t *testing.T) {
	for _, name := range []string{"FuzzDecode", "FuzzPayloads"} {
		entries, err := os.ReadDir("testdata/fuzz/" + name)
		if err != nil || len(entries) < 5 {
			t.Errorf("corpus of %s has %d entries, want at least 5; %v", name, len(entries), err)
		}
	}
}

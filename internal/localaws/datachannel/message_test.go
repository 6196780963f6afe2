package datachannel

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// theVector is a message as AWS's client encodes it.
const theVector = "00000074" + "696e7075745f73747265616d5f64617461202020202020202020202020202020" + "00000001" + "0000018bcfe56800" +
	"0000000000000005" + "0000000000000000" + "8899aabbccddeeff0011223344556677" +
	"8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4" + "00000001" + "00000002" + "6869"

func vectorMessage() message {
	m := newMessage(inputStreamData, payloadOutput, []byte("hi"))
	m.seq, m.created = 5, 1700000000000
	copy(m.id[:], unhex("00112233445566778899aabbccddeeff"))
	return m
}

func unhex(text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func TestEncodeVector(t *testing.T) {
	m := vectorMessage()
	if got := hex.EncodeToString(m.encode()); got != theVector {
		t.Errorf("got  %s\nwant %s", got, theVector)
	}
	got, err := decode(unhex(theVector))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, got, cmp.AllowUnexported(message{})); diff != "" {
		t.Error(diff)
	}
	if text := got.id.String(); text != "00112233-4455-6677-8899-aabbccddeeff" {
		t.Errorf("id %s", text)
	}
}

func TestEncodeAsService(t *testing.T) {
	m := vectorMessage()
	frame := m.encodeAsService()
	if !bytes.Equal(frame[:4], []byte{0, 0, 0, 112}) || frame[offType+len(inputStreamData)] != 0 || len(frame) != 112+4+2 {
		t.Errorf("frame %x", frame)
	}
	got, err := decode(frame)
	if err != nil {
		t.Fatal(err)
	}
	if got.kind != inputStreamData || got.payloadType != payloadNone || string(got.payload) != "hi" {
		t.Errorf("decoded %+v", got)
	}
}

func TestDecodeRefuses(t *testing.T) {
	frame := unhex(theVector)
	wrongLength := bytes.Clone(frame)
	wrongLength[3] = 115
	for name, b := range map[string][]byte{
		"nothing": nil, "header alone": frame[:112], "no payload length": frame[:119], "header length": wrongLength,
	} {
		if m, err := decode(b); err == nil {
			t.Errorf("%s: decoded as %+v", name, m)
		}
	}
}

// TestDecodeIgnoresLength: the length that the service writes is not to be trusted.
func TestDecodeIgnoresLength(t *testing.T) {
	m, err := decode(garbled(pausePublication))
	if err != nil {
		t.Fatal(err)
	}
	if m.kind != pausePublication || len(m.payload) != 4 {
		t.Errorf("decoded %+v", m)
	}
}

// TestEveryByteCounts flips each byte of a message and finds it changed.
func TestEveryByteCounts(t *testing.T) {
	frame := unhex(theVector)
	original, err := decode(frame)
	if err != nil {
		t.Fatal(err)
	}
	for i := range frame {
		if i >= headerFull && i < maxHeaderAndSize {
			continue // PayloadLength
		}
		flipped := bytes.Clone(frame)
		flipped[i] ^= 0x41
		got, err := decode(flipped)
		if err == nil && cmp.Equal(original, got, cmp.AllowUnexported(message{})) {
			t.Errorf("byte %d does not matter", i)
		}
	}
}

func FuzzDecode(f *testing.F) {
	m := vectorMessage()
	f.Add(m.encode())
	f.Add(m.encodeAsService())
	f.Add(garbled(startPublication))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		m, err := decode(b)
		if !bytes.Equal(before, b) {
			t.Fatal("decode wrote to its input")
		}
		if err != nil {
			return
		}
		again, err := decode(m.encode())
		if err != nil {
			t.Fatal(err)
		}
		if len(m.kind) <= 32 && !strings.ContainsAny(m.kind, " \x00") && !cmp.Equal(m, again, cmp.AllowUnexported(message{})) {
			t.Errorf("%+v became %+v", m, again)
		}
	})
}

func TestCompareVersions(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"1.1.70", "1.1.70", 0}, {"1.1.69.0", "1.1.70", -1}, {"1.2.331.0", "1.2.331.0", 0}, {"1.3.0.0", "1.2.331.0", 1},
		{"1.10", "1.9", 1}, {"", "1.1.70", -1}, {"x.y", "0", 0},
	} {
		if got := compareVersions(test.a, test.b); got < 0 != (test.want < 0) || got > 0 != (test.want > 0) {
			t.Errorf("compareVersions(%q, %q) = %d", test.a, test.b, got)
		}
	}
}

func TestSplitWords(t *testing.T) {
	for line, want := range map[string][]string{
		`sh -c 'echo a | cat'`: {"sh", "-c", "echo a | cat"},
		`a "b \"c\" d" e\ f`:   {"a", `b "c" d`, "e f"},
		`a #comment`:           {"a"},
		`a#b ''`:               {"a#b", ""},
		"  ":                   nil,
	} {
		got, err := splitWords(line)
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: %q, %v", line, got, err)
		}
	}
	for _, line := range []string{`'a`, `"a`, `a\`} {
		if got, err := splitWords(line); err == nil {
			t.Errorf("%s: %q", line, got)
		}
	}
}

func TestTakeUTF8(t *testing.T) {
	for _, test := range []struct{ in, text, rest string }{
		{"plain", "plain", ""},
		{"\xe2\x82\xac", "\xe2\x82\xac", ""},
		{"a\xe2\x82", "a", "\xe2\x82"},
		{"\xff1234", "\xff1234", ""},
		{"\xff12", "", "\xff12"},
		{"\ufffd1234", "\xef1234", ""},
	} {
		text, rest := takeUTF8([]byte(test.in))
		if string(text) != test.text || string(rest) != test.rest {
			t.Errorf("%q: %q and %q", test.in, text, rest)
		}
	}
}

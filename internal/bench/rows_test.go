package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestRatio(t *testing.T) {
	t.Parallel()
	peer := func(v float64) *float64 { return &v }
	for _, test := range []struct {
		row  row
		want float64 // 0 is none
	}{
		{row{Ours: 6, Peer: peer(2), Unit: "MB/s"}, 3},
		{row{Ours: 2, Peer: peer(6), Unit: "s"}, 3},
		{row{Ours: 2, Peer: peer(1), Unit: "MiB"}, 0.5},
		{row{Ours: 2, Unit: "s"}, 0},
		{row{Ours: 0, Peer: peer(1), Unit: "s"}, 0},
	} {
		test.row.compare()
		got := 0.0
		if test.row.Ratio != nil {
			got = *test.row.Ratio
		}
		if got != test.want {
			t.Errorf("%+v: ratio %v, want %v", test.row, got, test.want)
		}
	}
}

func TestRound(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]float64{0: 0, 0.012345: 0.0123, 1.2345: 1.23, 123.45: 123, 12345.6: 12346, -0.5: -0.5} {
		if got := round(v); math.Abs(got-want) > 1e-12 {
			t.Errorf("round(%v) = %v, want %v", v, got, want)
		}
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	ratio := 7.9
	for _, test := range []struct {
		row  row
		want bool
	}{
		{row{Ratio: &ratio, bound: ratioAtLeast(8)}, false},
		{row{Ratio: &ratio, bound: ratioAtLeast(7)}, true},
		{row{bound: ratioAtLeast(8)}, true}, // the peer failed
		{row{Ours: 70, bound: oursAtMost(64)}, false},
		{row{Ours: 64, bound: oursAtMost(64)}, true},
		{row{Ours: 0.8, bound: oursAtLeast(0.8)}, true},
		{row{Ours: 1}, true},
	} {
		if got := test.row.met(); got != test.want {
			t.Errorf("%+v (%v): met is %t", test.row, test.row.bound, got)
		}
	}
}

// TestResults is the form that others read: null where there is no peer.
func TestResults(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "bench", "results.json")
	if err := writeResults(path, []*row{{Name: "alone", Ours: 1.5, Unit: "s"}}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"peer", "ratio"} {
		if value, there := got[0][name]; !there || value != nil {
			t.Errorf("%s is %v in %s", name, value, text)
		}
	}
	if got[0]["name"] != "alone" || got[0]["ours"] != 1.5 || got[0]["unit"] != "s" {
		t.Errorf("row is %s", text)
	}
}

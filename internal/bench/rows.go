package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
)

// A row is one line of the results. Ours and Peer are in Unit; Ratio says how many times better ours is, above 1 being
// better whatever the unit. A row that has no peer, or whose peer failed, has null for both.
type row struct {
	Name  string   `json:"name"`
	Ours  float64  `json:"ours"`
	Peer  *float64 `json:"peer"`
	Unit  string   `json:"unit"`
	Ratio *float64 `json:"ratio"`

	bound *bound // nil is none
}

// A bound is what a row promises.
type bound struct {
	of    string // "ratio" or "ours"
	least bool   // the value is the least, otherwise the most
	value float64
}

func ratioAtLeast(v float64) *bound { return &bound{"ratio", true, v} }
func oursAtLeast(v float64) *bound  { return &bound{"ours", true, v} }
func oursAtMost(v float64) *bound   { return &bound{"ours", false, v} }

func (b *bound) String() string {
	sign := "<="
	if b.least {
		sign = ">="
	}
	return b.of + " " + sign + " " + number(b.value)
}

// met says whether a row keeps its bound. A ratio without a peer promises nothing.
func (r *row) met() bool {
	if r.bound == nil || r.bound.of == "ratio" && r.Ratio == nil {
		return true
	}
	v := r.Ours
	if r.bound.of == "ratio" {
		v = *r.Ratio
	}
	return r.bound.least == (v >= r.bound.value) || v == r.bound.value
}

// moreIsBetter are the units of which one wants much.
var moreIsBetter = map[string]bool{"MB/s": true, "share": true}

// compare fills in the ratio.
func (r *row) compare() {
	if r.Peer == nil {
		return
	}
	ratio := *r.Peer / r.Ours
	if moreIsBetter[r.Unit] {
		ratio = r.Ours / *r.Peer
	}
	if math.IsNaN(ratio) || math.IsInf(ratio, 0) {
		return
	}
	ratio = round(ratio)
	r.Ratio = &ratio
}

// round keeps three figures and what is before the decimal point: more would be noise.
func round(v float64) float64 {
	if v == 0 || math.Abs(v) >= 1000 {
		return math.Round(v)
	}
	scale := math.Pow(10, 2-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func optional(v *float64) string {
	if v == nil {
		return "-"
	}
	return number(*v)
}

func missedBounds(rows []*row) int {
	missed := 0
	for _, r := range rows {
		if !r.met() {
			missed++
		}
	}
	return missed
}

func printTable(to io.Writer, rows []*row) {
	fmt.Fprintln(to)
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "name\tours\tpeer\tunit\tratio\tbound")
	for _, r := range rows {
		verdict := ""
		switch {
		case r.bound != nil && r.met():
			verdict = r.bound.String() + " ok"
		case r.bound != nil:
			verdict = r.bound.String() + " MISSED"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, number(r.Ours), optional(r.Peer), r.Unit, optional(r.Ratio), verdict)
	}
	_ = table.Flush() // to is a terminal or a file that Fprintln has written to
	fmt.Fprintln(to)
}

func writeResults(path string, rows []*row) error {
	text, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

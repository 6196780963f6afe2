package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"text/tabwriter"
)

type kind string

const (
	faultCount kind = "fault"
	workCount  kind = "verified"
	lostCount  kind = "interrupted" // by a reboot, which is no error
)

// counts is how often what has happened.
type counts struct {
	mu sync.Mutex
	of map[kind]map[string]int
}

func newCounts() *counts { return &counts{of: map[kind]map[string]int{}} }

func (c *counts) add(k kind, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[k] == nil {
		c.of[k] = map[string]int{}
	}
	c.of[k][name]++
}

func (c *counts) total(k kind) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := 0
	for _, n := range c.of[k] {
		sum += n
	}
	return sum
}

func (c *counts) print(to io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, k := range []kind{faultCount, workCount, lostCount} {
		for _, name := range slices.Sorted(maps.Keys(c.of[k])) {
			fmt.Fprintf(table, "%s\t%s\t%d\n", k, name, c.of[k][name])
		}
	}
	_ = table.Flush() // to standard output
}

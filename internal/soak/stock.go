package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"
)

// A stock is what this process holds.
type stock struct {
	goroutines  int
	descriptors int
	children    int
	heap        int64 // bytes in use after a collection
}

const (
	heapBound  = 8 << 20 // more than this at the end is a leak
	settling   = 15 * time.Second
	lookAgain  = 100 * time.Millisecond
	stackDepth = 1 // of pprof's goroutine profile: equal stacks together
)

func takeStock() stock {
	runtime.GC()
	runtime.GC() // finalizers of the first have run
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	descriptors, _ := os.ReadDir("/proc/self/fd")
	return stock{runtime.NumGoroutine(), len(descriptors), children(), int64(memory.HeapAlloc)}
}

// children counts the processes whose parent is this one.
func children() int {
	self, count := strconv.Itoa(os.Getpid()), 0
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) > 1 && fields[1] == self {
			count++
		}
	}
	return count
}

func (s stock) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d child processes, %.1f MiB of heap",
		s.goroutines, s.descriptors, s.children, float64(s.heap)/(1<<20))
}

func (s stock) exceeds(before stock) bool {
	return s.goroutines > before.goroutines || s.descriptors > before.descriptors || s.children > before.children ||
		s.heap > before.heap+heapBound
}

// compare fails if, after a while, this process holds more than it did.
func (s stock) compare(ctx context.Context) error {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	deadline := time.Now().Add(settling)
	now := takeStock()
	for now.exceeds(s) && time.Now().Before(deadline) && ctx.Err() == nil {
		<-tick.C
		now = takeStock()
	}
	fmt.Printf("before: %v\nafter:  %v\n", s, now)
	if !now.exceeds(s) {
		return nil
	}
	if now.goroutines > s.goroutines {
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, stackDepth)
	}
	return errors.New("leaked: more is held than before, see above")
}

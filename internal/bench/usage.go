package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// usage is what processes took: processor time, and memory beyond what they had before.
type usage struct {
	seconds float64
	extra   int64 // bytes
}

// A watch samples processes while something runs: the given ones, and the OpenSSH clients that this program starts.
type watch struct {
	fixed  []string
	before map[string]sample
	latest map[string]sample

	stop chan struct{}
	done sync.WaitGroup
}

// A sample is of one process since its start.
type sample struct {
	ticks int64 // of 10 ms
	rss   int64 // bytes, now
	peak  int64 // bytes, since the process, or the watch, began
}

const (
	sampleEvery   = 100 * time.Millisecond
	ticksInSecond = 100 // USER_HZ, which Linux shows everywhere
)

func startWatch(pids []string) *watch {
	w := &watch{fixed: pids, before: map[string]sample{}, latest: map[string]sample{}, stop: make(chan struct{})}
	for _, pid := range pids {
		_ = os.WriteFile(filepath.Join("/proc", pid, "clear_refs"), []byte("5"), 0) // resets the peak; without it the peak is of all time
		if s, ok := sampleOf(pid); ok {
			w.before[pid] = s
		}
	}
	w.done.Go(w.run)
	return w
}

func (w *watch) run() {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		for _, pid := range append(openSSH(), w.fixed...) {
			if s, ok := sampleOf(pid); ok {
				w.latest[pid] = s
			}
		}
		select {
		case <-tick.C:
		case <-w.stop:
			return
		}
	}
}

// end is what was used since the watch began.
func (w *watch) end() usage {
	close(w.stop)
	w.done.Wait()
	var u usage
	for pid, last := range w.latest {
		if now, ok := sampleOf(pid); ok {
			last = now
		}
		first := w.before[pid] // nothing, if it was started meanwhile
		u.seconds += float64(last.ticks-first.ticks) / ticksInSecond
		u.extra += max(0, last.peak-first.rss)
	}
	return u
}

// openSSH are the ssh and scp processes below this one.
func openSSH() []string {
	parents := map[string]string{}
	var clients []string
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		pid := filepath.Base(filepath.Dir(path))
		name, fields := statOf(pid)
		if len(fields) < 2 {
			continue
		}
		parents[pid] = fields[1]
		if name == "ssh" || name == "scp" {
			clients = append(clients, pid)
		}
	}
	self := strconv.Itoa(os.Getpid())
	var own []string
	for _, pid := range clients {
		for at := pid; at != "" && at != "0"; at = parents[at] {
			if at == self {
				own = append(own, pid)
				break
			}
		}
	}
	return own
}

// statOf is the name of a process and what follows it in its stat.
func statOf(pid string) (name string, fields []string) {
	text, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return "", nil
	}
	open, end := strings.IndexByte(string(text), '('), strings.LastIndexByte(string(text), ')')
	if open < 0 || end < open {
		return "", nil
	}
	return string(text[open+1 : end]), strings.Fields(string(text[end+1:]))
}

func sampleOf(pid string) (sample, bool) {
	_, fields := statOf(pid)
	if len(fields) < 13 {
		return sample{}, false
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	status, err := os.ReadFile(filepath.Join("/proc", pid, "status"))
	s := sample{ticks: user + system, rss: kilobytes(status, "VmRSS"), peak: kilobytes(status, "VmHWM")}
	return s, err == nil && s.peak > 0
}

// kilobytes is a value of /proc/<pid>/status, in bytes.
func kilobytes(status []byte, name string) int64 {
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, name+":"); found {
			var n int64
			_, _ = fmt.Sscan(rest, &n)
			return n << 10
		}
	}
	return 0
}

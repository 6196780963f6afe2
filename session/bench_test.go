package session

import (
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkUpload sends 16 MiB through a session without a pace: what the
// client itself can do, and what memory it takes at most beyond the start.
func BenchmarkUpload(b *testing.B) {
	const size = 16 << 20
	data := noise(size)
	b.SetBytes(size)
	var most atomic.Uint64
	for b.Loop() {
		arrived := make(chan struct{})
		w := newWorld(b, func(t *target) {
			_, _ = io.Copy(io.Discard, t)
			close(arrived)
		})
		w.setFaults(faults{})
		p := w.open(Options{Rate: 1_000_000})
		c := dialPort(b, p)
		stop := watchMemory(&most)
		if _, err := c.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
		<-arrived
		stop()
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
		w.end()
	}
	b.ReportMetric(float64(most.Load())/(1<<20), "MiB-extra")
}

// watchMemory notes the most heap in use beyond that at its start.
func watchMemory(most *atomic.Uint64) (stop func()) {
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			if now.HeapInuse > before.HeapInuse {
				most.Store(max(most.Load(), now.HeapInuse-before.HeapInuse))
			}
			select {
			case <-quit:
				return
			case <-ticker.C:
			}
		}
	}()
	return func() { close(quit); <-done }
}

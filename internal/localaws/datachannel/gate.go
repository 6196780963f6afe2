package datachannel

import (
	"context"
	"sync"
)

// A gate lets everybody through until it is shut, and then nobody until every one that shut it has opened it again.
type gate struct {
	mu     sync.Mutex
	shuts  int
	opened chan struct{} // closed when the gate opens
}

func newGate() *gate { return &gate{opened: make(chan struct{})} }

// shut closes the gate. The function opens it; calling it again does nothing.
func (g *gate) shut() (open func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shuts++
	return sync.OnceFunc(g.open)
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shuts--; g.shuts == 0 {
		close(g.opened)
		g.opened = make(chan struct{})
	}
}

// wait blocks while the gate is shut, until ctx ends.
func (g *gate) wait(ctx context.Context) {
	g.mu.Lock()
	shut, opened := g.shuts > 0, g.opened
	g.mu.Unlock()
	if !shut {
		return
	}
	select {
	case <-opened:
		g.wait(ctx)
	case <-ctx.Done():
	}
}

package main

import "sync"

// boots tells whether something that took a while can have been interrupted by a reboot.
type boots struct {
	mu      sync.Mutex
	changes int // each reboot is two: down and up
}

func (b *boots) begin() { b.change() }
func (b *boots) end()   { b.change() }

func (b *boots) change() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changes++
}

// mark is to be given to disturbed at the end.
func (b *boots) mark() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changes
}

func (b *boots) disturbed(mark int) bool { return mark%2 == 1 || b.mark() != mark }

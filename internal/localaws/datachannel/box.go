package datachannel

import "sync"

// A box holds a value that is set by one goroutine and looked at by others.
type box[T any] struct {
	mu    sync.Mutex
	value T
	full  bool
}

func (b *box[T]) put(v T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.value, b.full = v, true
}

func (b *box[T]) get() (T, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.value, b.full
}

package session

// queueChunk is the size of the pieces that a queue holds its bytes in.
const queueChunk = 32 << 10

// queue is a FIFO of bytes. Its memory is what it holds, rounded up to chunks.
type queue struct {
	chunks [][]byte // all of size queueChunk but the last, which may be smaller
	head   int      // bytes of the first chunk that are gone
	size   int
}

func (q *queue) len() int { return q.size }

// push copies b to the end.
func (q *queue) push(b []byte) {
	q.size += len(b)
	for len(b) > 0 {
		last := len(q.chunks) - 1
		if last < 0 || len(q.chunks[last]) == queueChunk {
			q.chunks = append(q.chunks, nil)
			last++
		}
		n := min(len(b), queueChunk-len(q.chunks[last]))
		q.chunks[last] = append(q.chunks[last], b[:n]...)
		b = b[n:]
	}
}

// pop moves bytes from the front to b and says how many.
func (q *queue) pop(b []byte) int {
	n := 0
	for n < len(b) && q.size > 0 {
		k := copy(b[n:], q.chunks[0][q.head:])
		n, q.head, q.size = n+k, q.head+k, q.size-k
		if q.head == len(q.chunks[0]) {
			q.dropFirst()
		}
	}
	return n
}

// dropFirst lets go of the first chunk, or uses it again if it is the only one.
func (q *queue) dropFirst() {
	q.head = 0
	if len(q.chunks) == 1 {
		q.chunks[0] = q.chunks[0][:0]
		return
	}
	q.chunks[0] = nil
	q.chunks = q.chunks[1:]
}

// truncate keeps the first n bytes.
func (q *queue) truncate(n int) {
	kept := make([]byte, n)
	n = q.pop(kept)
	q.clear()
	q.push(kept[:n])
}

func (q *queue) clear() { *q = queue{} }

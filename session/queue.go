package session

// queueKeep is the capacity that an empty queue holds on to, in bytes.
const queueKeep = 64 << 10

// queue is a FIFO of bytes that gives memory back when it is empty.
type queue struct {
	buf  []byte
	head int // buf[head:] is what is queued
}

func (q *queue) len() int { return len(q.buf) - q.head }

// push copies b to the end.
func (q *queue) push(b []byte) {
	if q.head > 0 && len(q.buf)+len(b) > cap(q.buf) {
		q.buf = q.buf[:copy(q.buf, q.buf[q.head:])]
		q.head = 0
	}
	q.buf = append(q.buf, b...)
}

// pop moves bytes from the front to b and says how many.
func (q *queue) pop(b []byte) int {
	n := copy(b, q.buf[q.head:])
	q.head += n
	if q.head == len(q.buf) {
		q.clear()
	}
	return n
}

// truncate keeps the first n bytes.
func (q *queue) truncate(n int) {
	q.buf = q.buf[:q.head+n]
	if n == 0 {
		q.clear()
	}
}

func (q *queue) clear() {
	q.buf, q.head = q.buf[:0], 0
	if cap(q.buf) > queueKeep {
		q.buf = nil
	}
}

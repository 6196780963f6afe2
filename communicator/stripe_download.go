package communicator

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	_ "embed" // the scripts
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
)

//go:embed download.sh
var downloadScript string

//go:embed send.sh
var sendScript string

const (
	ahead    = 16 << 20 // bytes asked for before those in front of them are written
	resample = 16 << 20 // bytes sent as they are before compression is tried again
)

// errChanged is a file that was not the same all the time.
var errChanged = errors.New("the file changed while it was downloaded")

// download fetches one file in ranges over several sessions, and gives them to
// the output in order.
type download struct {
	c      *Communicator
	output io.Writer
	target string
	what   string // "file" or "tree": a folder, which arrives as a tar stream
	name   string

	keep  *keeper
	board *board
	file  string
	size  int64
	gzip  bool // the instance has it
	lanes int  // wanted

	// Under board.mu:
	next    int64            // what is not asked for yet
	written int64            // what has gone to the output
	arrived map[int64][]byte // what has to wait for its turn
	plain   int64            // up to here no compression

	free sync.Pool // of *[]byte of blockSize that have been written
}

// buffer has the size of its piece: many small ones of the line wait for large
// ones of the lanes.
func (d *download) buffer(size int) []byte {
	if size < blockSize {
		return make([]byte, size)
	}
	if b, ok := d.free.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, size)
}

// release keeps a buffer for the next piece of its size.
func (d *download) release(b []byte) {
	if len(b) == blockSize {
		d.free.Put(&b)
	}
}

// fetchStriped downloads a file, or a folder as a tar stream. It gives
// errNotHere before anything was written if that has to be done the plain way.
func (c *Communicator) fetchStriped(ctx context.Context, what, target string, output io.Writer) (err error) {
	d := &download{c: c, output: output, target: target, what: what, name: passing(), arrived: map[int64][]byte{}}
	d.keep = &keeper{c: c, script: func() string {
		return withVariables(downloadScript, "target", plainPath(d.target), "what", what, "name", d.name, "spool", d.keep.folder())
	}}
	defer d.keep.close()
	if err := d.keep.open(ctx); err != nil {
		if errors.Is(err, errNoTube) {
			return errNotHere
		}
		return err
	}
	hello := d.keep.hello
	if d.size, err = strconv.ParseInt(hello["size"], 10, 64); hello["way"] != "file" || err != nil || d.size <= 0 {
		return errNotHere
	}
	if d.file, err = unhex(hello["file"]); err != nil {
		return err
	}
	d.gzip = hello["gzip"] == "1"
	if what == "tree" {
		c.litter(d.file)
		defer d.drop(ctx)
	}
	m := c.newMeter("Downloading "+target, d.size)
	err = d.run(ctx, m)
	m.close(err)
	return err
}

func unhex(text string) (string, error) {
	b, err := hex.DecodeString(text)
	return string(b), err
}

// drop removes what was packed.
func (d *download) drop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, dropLimit)
	defer cancel()
	if _, err := d.keep.ask(ctx, "drop"); err == nil {
		d.c.swept(d.file)
	}
}

func (d *download) run(ctx context.Context, m *meter) error {
	d.board = newBoard(m)
	d.board.fresh, d.board.more = d.cut, func() bool { return d.next < d.size }
	d.board.lend, d.lanes = d.c.quiet, d.c.lanesFor(d.size)
	d.board.end() // it is all there to be asked for
	before := d.keep.hello["state"]
	var there []string // the hash as the guest has it
	var lost error
	var asking, writing sync.WaitGroup
	asking.Go(func() { there, lost = d.keep.ask(ctx, "hash") })
	defer asking.Wait()
	sum := sha256.New()
	var broken error
	writing.Go(func() { broken = d.write(io.MultiWriter(sum, d.output)) })
	d.c.crew(ctx, d.board, d.lanes, d.work)
	writing.Wait()
	if err := cmp.Or(d.board.failure(), broken); err != nil {
		return err
	}
	asking.Wait()
	if lost != nil {
		return lost
	}
	after, err := d.keep.ask(ctx, "state")
	if err != nil {
		return err
	}
	if !slices.Equal(there, []string{"sum", hex.EncodeToString(sum.Sum(nil))}) || !slices.Equal(after, []string{"state", before}) {
		return errChanged
	}
	return nil
}

// cut is board.fresh: the next range, smaller towards the end and on the line
// of the commands. What has to wait for its turn is bounded.
func (d *download) cut(w *worker) *piece {
	left := d.size - d.next
	if left == 0 || d.next-d.written > ahead || d.board.greedy(w, left, d.lanes) {
		return nil
	}
	size := min(int64(blockSize), max(pieceLeast, left/int64(2*(len(d.c.lanes)+1))))
	if w.spare {
		size = pieceLeast
	}
	p := &piece{off: d.next, size: int(min(size, left))}
	d.next += int64(p.size)
	return p
}

// write gives the output what has arrived, in order.
func (d *download) write(to io.Writer) error {
	b := d.board
	for {
		b.mu.Lock()
		data, changed := d.arrived[d.written], b.changed
		b.mu.Unlock()
		if data == nil {
			select {
			case <-changed:
				continue
			case <-b.over:
			}
			b.mu.Lock()
			data = d.arrived[d.written]
			b.mu.Unlock()
			if data == nil {
				return nil
			}
		}
		_, err := to.Write(data)
		if err != nil {
			b.fail(err)
			return err
		}
		b.mu.Lock()
		delete(d.arrived, d.written)
		d.written += int64(len(data))
		b.change()
		b.mu.Unlock()
		d.release(data)
	}
}

// work is one session's part.
func (d *download) work(ctx context.Context, by carrier) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t, err := openTube(ctx, by.client, withVariables(sendScript, "file", d.file))
	if err != nil {
		return err
	}
	hello, err := t.greeted()
	if err != nil {
		t.close()
		return err
	}
	if hello["there"] != "1" {
		t.close()
		d.board.fail(errChanged)
		return nil
	}
	w := d.board.join(by.lane == nil)
	shift := &shift{tube: t, by: by}
	shift.ends.Go(func() { cancel(d.hear(t, w)) })
	err = shift.feed(ctx, func() error { return d.ask(ctx, t, w) })
	d.board.leave(w, err)
	d.c.settle(shift)
	return err
}

// ask asks for ranges until there are no more.
func (d *download) ask(ctx context.Context, t *tube, w *worker) error {
	for {
		p := d.board.next(ctx, w)
		if p == nil {
			return nil
		}
		if err := t.say(d.how(p), p.off, p.size); err != nil {
			return err
		}
	}
}

func (d *download) how(p *piece) string {
	d.board.mu.Lock()
	defer d.board.mu.Unlock()
	if !d.gzip || p.off < d.plain {
		return "plain"
	}
	return "gzip"
}

// hear takes in what comes.
func (d *download) hear(t *tube, w *worker) error {
	counted := &countedBuffer{Reader: t.out}
	var unpack gzip.Reader
	for {
		words, err := t.hear()
		if err != nil {
			return err
		}
		p := d.board.oldest(w)
		if len(words) != 3 || words[0] != "part" || p == nil || words[2] != strconv.FormatInt(p.off, 10) {
			return &refusal{fmt.Sprintf("the instance's script says %q", words)}
		}
		data := d.buffer(p.size)
		if err := d.receive(counted, &unpack, data, words[1] == "gzip"); err != nil {
			return err
		}
		d.deliver(w, p, data)
	}
}

// receive reads a range as it comes.
func (d *download) receive(from *countedBuffer, unpack *gzip.Reader, data []byte, packed bool) error {
	if !packed {
		_, err := io.ReadFull(from.Reader, data)
		return err
	}
	from.n = 0
	if err := unpack.Reset(from); err != nil {
		return err
	}
	unpack.Multistream(false)
	for got := 0; got < len(data); {
		n, err := unpack.Read(data[got:])
		if got += n; errors.Is(err, io.EOF) && got < len(data) {
			d.board.fail(errChanged) // it is shorter than it was
			return errChanged
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	var more [1]byte
	if n, err := unpack.Read(more[:]); n > 0 || !errors.Is(err, io.EOF) {
		return cmp.Or(err, errChanged)
	}
	d.judge(from.n, len(data))
	return nil
}

// judge decides whether compression is worth it from here on.
func (d *download) judge(packed, raw int) {
	if raw < sampleSize || pays(packed, raw) {
		return
	}
	d.board.mu.Lock()
	defer d.board.mu.Unlock()
	d.plain = max(d.plain, d.next+resample)
}

func (d *download) deliver(w *worker, p *piece, data []byte) {
	d.board.mu.Lock()
	if !p.done {
		d.arrived[p.off] = data
	}
	d.board.mu.Unlock()
	d.board.finished(w, p)
}

// countedBuffer counts what is taken out of a buffer. gzip takes no more than
// it needs from one that can be read byte by byte.
type countedBuffer struct {
	*bufio.Reader
	n int
}

// Read is io.Reader's.
func (c *countedBuffer) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += n
	return n, err
}

// ReadByte is io.ByteReader's.
func (c *countedBuffer) ReadByte() (byte, error) {
	b, err := c.Reader.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

package communicator

import (
	"context"
	"crypto/sha256"
	_ "embed" // the scripts
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed upload.sh
var uploadScript string

//go:embed receive.sh
var receiveScript string

const (
	unsent     = 12 << 20 // bytes that are read and not confirmed yet
	attempts   = 4        // of an upload whose beginning was lost by a reboot
	dropLimit  = 20 * time.Second
	inputGrace = 5 * time.Second // for a reader that is not needed any more
)

// source is what an upload reads.
type source struct {
	from  io.Reader
	again func() (io.Reader, error) // from the beginning; nil if it can't be read twice
	size  int64                     // -1: not known; it may still turn out to be another
}

// upload is one attempt at sending a source over several sessions. The data
// goes into a file that is made for it, and into its place when the guest has
// found its SHA-256 to be that of what was read.
type upload struct {
	c      *Communicator
	src    source
	target string // of a tree the folder that it is unpacked in
	what   string // "file" or "tree"
	mode   string // octal, empty to leave it
	name   string // of the file on the way

	keep   *keeper
	board  *board
	file   string // where the data goes
	boot   string
	gzip   bool
	made   bool          // the file on the way may be there
	seeded bool          // ... with what the target had
	known  []string      // SHA-256 of each block of the target, in hexadecimal
	begun  chan struct{} // closed when the file on the way is there

	ready  []*piece // read and not yet handed out; under board.mu
	unsent int64    // bytes that are read and not confirmed; under board.mu

	mu     sync.Mutex
	strays []string // receivers that may still be writing; under mu

	sum   hash.Hash // of what was read; the producer's
	total int64     // and how much that is
}

// errAgain says that what was sent is lost, so it has to be sent again from
// the beginning.
var errAgain = errors.New("what was sent is no longer on the instance")

// errNotHere says that the target is not for this way of writing it.
var errNotHere = errors.New("to be written plainly")

// sendStriped sends a source to a file, or a tar stream to a folder. It gives
// errNotHere before anything was read if that has to be done the plain way.
func (c *Communicator) sendStriped(ctx context.Context, src source, what, target string, fi *fs.FileInfo) error {
	mode := ""
	if fi != nil && (*fi).Mode().IsRegular() {
		mode = fmt.Sprintf("%o", (*fi).Mode().Perm())
	}
	for try := 1; ; try++ {
		m := c.newMeter("Uploading to "+target, src.size)
		u := &upload{
			c: c, src: src, target: target, what: what, mode: mode, name: passing(), board: newBoard(m), sum: sha256.New(), begun: make(chan struct{}),
		}
		u.board.lend = c.quiet
		u.board.fresh, u.board.more = u.pop, func() bool { return len(u.ready) > 0 }
		u.keep = &keeper{c: c, script: u.keeperScript}
		err := u.attempt(ctx)
		m.close(err)
		if !errors.Is(err, errAgain) {
			return err
		}
		if src.again == nil || try == attempts {
			return fmt.Errorf("connection lost: %w", err)
		}
		c.cfg.Logger.Debug("an upload begins again", "to", target, "err", err)
		if src.from, err = src.again(); err != nil {
			return fmt.Errorf("read the input again: %w", err)
		}
	}
}

func (u *upload) keeperScript() string {
	return withVariables(uploadScript,
		"target", plainPath(u.target), "what", u.what, "name", u.name, "mode", u.mode, "spool", u.keep.folder(), "way", u.keep.hello["way"],
		"size", strconv.FormatInt(u.src.size, 10), "block", strconv.Itoa(blockSize))
}

func (u *upload) receiverScript() string {
	return withVariables(receiveScript, "file", u.file)
}

func (u *upload) attempt(ctx context.Context) (err error) {
	defer u.keep.close()
	if err := u.keep.open(ctx); err != nil {
		if errors.Is(err, errNoTube) {
			return errNotHere
		}
		return err
	}
	hello := u.keep.hello
	if hello["way"] == "none" || hello["way"] == "" {
		return errNotHere
	}
	u.file, u.boot, u.gzip = joinPath(u.keep.folder(), u.name), hello["boot"], hello["gzip"] == "1"
	defer func() {
		if err != nil {
			u.drop(ctx)
		}
	}()
	if hello["same"] == "1" {
		err = u.compare(ctx)
	} else {
		err = u.prepare(ctx, "make")
	}
	if err != nil {
		return err
	}
	return u.send(ctx)
}

// send has all workers carry what the producer reads.
func (u *upload) send(ctx context.Context) error {
	stopped := u.start(ctx)
	select {
	case <-stopped:
	case <-u.begun:
	}
	if !isDone(u.begun) && u.board.failure() == nil {
		return u.unchanged(ctx)
	}
	u.c.crew(ctx, u.board, u.c.lanesFor(u.src.size), u.work)
	return u.conclude(ctx, stopped)
}

// start starts the producer. What it gives is closed when that has returned.
func (u *upload) start(ctx context.Context) <-chan struct{} {
	stopped := make(chan struct{})
	if !u.c.owned.goes(func() {
		defer close(stopped)
		if err := u.produce(ctx); err != nil {
			u.board.fail(err)
		}
		u.board.end()
	}) {
		close(stopped)
		u.board.fail(errClosed)
	}
	return stopped
}

func (u *upload) conclude(ctx context.Context, stopped <-chan struct{}) error {
	if err := u.board.failure(); err != nil {
		timer := time.NewTimer(inputGrace)
		defer timer.Stop()
		select {
		case <-stopped:
		case <-timer.C:
		}
		return err
	}
	<-stopped
	return u.commit(ctx)
}

// commit has the guest look whether all is there, and put it into its place.
func (u *upload) commit(ctx context.Context) error {
	sum := hex.EncodeToString(u.sum.Sum(nil))
	words := []any{"commit", u.total, sum}
	for _, pid := range u.strays {
		words = append(words, pid)
	}
	answer, err := u.keep.ask(ctx, words...)
	switch {
	case err != nil:
		return err
	case len(answer) == 1 && answer[0] == "done":
		u.made = false
		u.c.swept(u.file)
		return nil
	case len(answer) == 1 && answer[0] == "gone":
		return errAgain
	case len(answer) == 2 && answer[0] == "differs":
		return fmt.Errorf("%w: SHA-256 there %s, here %s", errAgain, answer[1], sum)
	}
	return fmt.Errorf("the instance's script says %q", answer)
}

// drop removes what is on the way.
func (u *upload) drop(ctx context.Context) {
	if !u.made {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, dropLimit)
	defer cancel()
	words := []any{"drop"}
	for _, pid := range u.strays {
		words = append(words, pid)
	}
	if _, err := u.keep.ask(ctx, words...); err != nil {
		u.c.cfg.Logger.Warn("a part of an upload stays until the communicator leaves the instance", "file", u.file, "err", err)
		return
	}
	u.c.swept(u.file)
}

// produce reads the source to its end.
func (u *upload) produce(ctx context.Context) error {
	var block []byte
	for {
		if block == nil {
			block = make([]byte, blockSize)
		}
		n, ended, err := fill(u.src.from, block)
		if err != nil {
			return err
		}
		if n > 0 {
			u.sum.Write(block[:n])
			kept, err := u.offer(ctx, block[:n])
			if err != nil {
				return err
			}
			if kept {
				block = nil
			}
			u.total += int64(n)
		}
		if ended || isDone(u.board.over) {
			return nil
		}
	}
}

// offer puts a block up for sending, in pieces, once there is room, and tells
// whether it was kept for that.
func (u *upload) offer(ctx context.Context, block []byte) (kept bool, err error) {
	if same, err := u.same(ctx, block); same || err != nil {
		u.board.meter.add(len(block))
		return false, err
	}
	if !u.seeded && zero(block) { // the file has a hole there
		u.board.meter.add(len(block))
		return false, nil
	}
	if err := u.room(ctx); err != nil {
		return false, err
	}
	size := u.pieceSize(len(block))
	u.board.mu.Lock()
	defer u.board.mu.Unlock()
	for at := 0; at < len(block); at += size {
		raw := block[at:min(at+size, len(block))]
		u.ready = append(u.ready, &piece{off: u.total + int64(at), size: len(raw), raw: raw})
		u.unsent += int64(len(raw))
	}
	u.board.change()
	return true, nil
}

// pieceSize is smaller towards the end, so that all workers end together.
func (u *upload) pieceSize(block int) int {
	left := u.src.size - u.total
	if u.src.size < 0 || left > 2*blockSize*int64(len(u.c.lanes)+1) {
		return block
	}
	return min(block, max(pieceLeast, int(left)/(2*(len(u.c.lanes)+1))))
}

// room waits until little enough is unconfirmed.
func (u *upload) room(ctx context.Context) error {
	for {
		u.board.mu.Lock()
		full, changed := u.unsent >= unsent, u.board.changed
		u.board.mu.Unlock()
		if !full {
			return nil
		}
		select {
		case <-changed:
		case <-u.board.over:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pop is board.fresh.
func (u *upload) pop(w *worker) *piece {
	if len(u.ready) == 0 || u.board.ended && u.board.greedy(w, u.unsent, 0) {
		return nil
	}
	p := u.ready[0]
	u.ready[0] = nil
	u.ready = u.ready[1:]
	return p
}

// work is one session's part.
func (u *upload) work(ctx context.Context, by carrier) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t, err := openTube(ctx, by.client, u.receiverScript())
	if err != nil {
		return err
	}
	hello, err := t.greeted()
	if err != nil {
		t.close()
		return err
	}
	if err := u.continues(hello); err != nil {
		t.close()
		u.board.fail(err)
		return nil
	}
	w := u.board.join(by.lane == nil)
	shift := &shift{tube: t, by: by}
	shift.ends.Go(func() { cancel(u.hear(t, w)) })
	err = shift.feed(ctx, func() error { return u.feed(ctx, t, w) })
	if u.board.leave(w, err) {
		u.stray(hello["pid"])
	}
	u.c.settle(shift)
	return err
}

// continues tells whether the file is still what it was. After a reboot what
// was confirmed may be missing; the hash will tell if it can't be sent again.
func (u *upload) continues(hello map[string]string) error {
	if hello["there"] != "1" || hello["boot"] != u.boot && u.src.again != nil {
		return errAgain
	}
	return nil
}

func (u *upload) stray(pid string) {
	if _, err := strconv.Atoi(pid); err != nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.strays = append(u.strays, pid)
}

// hear takes in what has been written.
func (u *upload) hear(t *tube, w *worker) error {
	for {
		words, err := t.hear()
		var refused *refusal
		if errors.As(err, &refused) && strings.HasPrefix(refused.text, "gone ") {
			u.board.fail(errAgain)
		}
		if err != nil {
			return err
		}
		p := u.board.oldest(w)
		if len(words) != 2 || words[0] != "ok" || p == nil || words[1] != strconv.FormatInt(p.off, 10) {
			return &refusal{fmt.Sprintf("the instance's script says %q", words)}
		}
		if u.board.finished(w, p) {
			u.board.mu.Lock()
			u.unsent -= int64(p.size)
			u.board.change()
			u.board.mu.Unlock()
		}
	}
}

// feed sends pieces until there are no more.
func (u *upload) feed(ctx context.Context, t *tube, w *worker) error {
	pack := packer{off: !u.gzip}
	for {
		p := u.board.next(ctx, w)
		if p == nil {
			return nil
		}
		how, data := pack.pack(p.raw)
		if err := t.say(how, p.off, len(data)); err != nil {
			return err
		}
		if _, err := t.in.Write(data); err != nil {
			return err
		}
	}
}

package communicator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// compare has the guest hash the target, which is as long as the source is
// expected to be, block by block. What is the same there is not sent, and if
// all is, the target stays as it is. A reader that can't be read twice can be
// compared like this too.
func (u *upload) compare(ctx context.Context) error {
	blocks := int((u.src.size + blockSize - 1) / blockSize)
	words, err := u.keep.ask(ctx, "hashes")
	for err == nil && len(words) > 0 && words[0] != "end" && len(u.known) <= blocks {
		u.known = append(u.known, words[0])
		words, err = u.keep.t.hear()
	}
	if err != nil || len(u.known) != blocks {
		u.known = nil
		u.keep.close() // its answers are out of step
		return u.prepare(ctx, "make")
	}
	return nil
}

// same tells whether the target has this block already. The first that it has
// not begins the sending, onto a copy of the target.
func (u *upload) same(ctx context.Context, block []byte) (bool, error) {
	if u.known == nil {
		return false, nil
	}
	if i := int(u.total / blockSize); i < len(u.known) {
		sum := sha256.Sum256(block)
		if u.known[i] == hex.EncodeToString(sum[:]) {
			return true, nil
		}
	}
	if u.made {
		return false, nil
	}
	return false, u.prepare(ctx, "seed")
}

// unchanged ends an upload in which no block differed.
func (u *upload) unchanged(ctx context.Context) error {
	if u.total != u.src.size {
		if err := u.prepare(ctx, "seed"); err != nil {
			return err
		}
		return u.commit(ctx)
	}
	u.c.cfg.Logger.Debug("unchanged, not sent again", "file", u.target, "bytes", u.total)
	_, err := u.keep.ask(ctx, "same")
	return err
}

// prepare has the file on the way made, empty or as a copy of the target, and
// lets the sending begin.
func (u *upload) prepare(ctx context.Context, how string) error {
	u.made, u.seeded = true, how == "seed"
	if _, err := u.keep.ask(ctx, how); err != nil {
		return err
	}
	u.c.litter(u.file)
	close(u.begun)
	return nil
}

// litter notes a file that has to be removed from the instance.
func (c *Communicator) litter(file string) {
	c.litterMu.Lock()
	defer c.litterMu.Unlock()
	c.littered = append(c.littered, file)
}

// swept notes that it has been.
func (c *Communicator) swept(file string) {
	c.litterMu.Lock()
	defer c.litterMu.Unlock()
	c.littered = slices.DeleteFunc(c.littered, func(f string) bool { return f == file })
}

// sweep is a script that removes the litter, empty if there is none.
func (c *Communicator) sweep() string {
	c.litterMu.Lock()
	defer c.litterMu.Unlock()
	if len(c.littered) == 0 {
		return ""
	}
	var script strings.Builder
	script.WriteString("\nrm -f --")
	for _, file := range c.littered {
		script.WriteString(" " + quote(file))
	}
	return script.String() + "\n"
}

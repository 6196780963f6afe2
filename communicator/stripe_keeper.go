package communicator

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"path"
	"strings"
)

// keeper is the script on the instance that looks after a transfer's file. It
// runs on the line, and is started again on the next one when that is lost.
type keeper struct {
	c      *Communicator
	script func() string
	t      *tube
	hello  map[string]string // of the last start that came so far
}

const keeperTries = 12 // each on a new line

// open starts the script and reads what it says first.
func (k *keeper) open(ctx context.Context) error {
	var last error
	for range keeperTries {
		on, err := k.c.answering(ctx)
		if err != nil {
			return err
		}
		if last = k.start(ctx, on); last == nil {
			return nil
		}
		var refused *refusal
		if errors.As(last, &refused) || errors.Is(last, errNoTube) || ctx.Err() != nil {
			return last
		}
		if on.replies(ctx) { // it is not the connection's fault
			return errors.Join(errNoTube, last)
		}
	}
	return last
}

func (k *keeper) start(ctx context.Context, on *line) error {
	t, err := openTube(ctx, on.client, k.script())
	if err != nil {
		return err
	}
	hello, err := t.greeted()
	if err != nil {
		t.close()
		return err
	}
	k.t, k.hello = t, hello
	return nil
}

// ask sends the script a line and reads the first of the answer. It asks again
// on a new line when the connection is lost: everything may be asked twice.
func (k *keeper) ask(ctx context.Context, words ...any) ([]string, error) {
	var last error
	for range keeperTries {
		if k.t == nil {
			if err := k.open(ctx); err != nil {
				return nil, err
			}
		}
		var answer []string
		if last = k.t.say(words...); last == nil {
			answer, last = k.t.hear()
		}
		var refused *refusal
		if last == nil || errors.As(last, &refused) {
			return answer, last
		}
		k.close()
		if ctx.Err() != nil {
			return nil, k.c.because(ctx)
		}
	}
	return nil, last
}

func (k *keeper) close() {
	if k.t != nil {
		k.t.close()
		k.t = nil
	}
}

// folder is where the script has the file.
func (k *keeper) folder() string {
	name, err := hex.DecodeString(k.hello["folder"])
	if err != nil {
		return ""
	}
	return string(name)
}

// passing is the name of a file that is on its way.
func passing() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return ".packer-ssm-" + hex.EncodeToString(b[:])
}

// plainPath is a path that no program takes for an option.
func plainPath(p string) string {
	if strings.HasPrefix(p, "/") {
		return p
	}
	return "./" + p
}

// join is path.Join without cleaning.
func joinPath(folder, name string) string {
	return strings.TrimRight(folder, "/") + "/" + path.Base(name)
}

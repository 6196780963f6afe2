package communicator

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// tube is a script that runs on the instance as the user and is spoken to over
// its standard input and output, a line for a line, with bulk data between.
type tube struct {
	session *ssh.Session
	in      io.WriteCloser
	out     *bufio.Reader
	errs    tail
	stop    func() bool // the watch on the context
	once    sync.Once
}

// refusal is what the guest's side of a transfer could not do. The connection
// is good, and trying again as it is would give the same.
type refusal struct{ text string }

func (e *refusal) Error() string { return e.text }

// full tells whether that was for want of space, in the words of the C library.
func (e *refusal) full() bool { return strings.Contains(strings.ToLower(e.text), "no space left") }

// errNoTube says that the instance can't run scripts of this kind.
var errNoTube = errors.New("the instance does not run scripts for the user")

// openTube starts a script. The end of ctx closes the tube.
func openTube(ctx context.Context, client *ssh.Client, script string) (*tube, error) {
	session, err := client.NewSession()
	if err != nil {
		return nil, err
	}
	t := &tube{session: session}
	t.stop = context.AfterFunc(ctx, t.hangUp)
	session.Stderr = &t.errs
	out, err := session.StdoutPipe()
	if err == nil {
		t.in, err = session.StdinPipe()
	}
	if err == nil {
		t.out = bufio.NewReaderSize(out, 32<<10)
		err = session.Start("exec /bin/sh -c " + quote(script))
	}
	if err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// hangUp ends the tube on this side. What the script has been sent, and what
// it has begun, may go on for a moment.
func (t *tube) hangUp() {
	t.once.Do(func() { _ = t.session.Close() })
}

func (t *tube) close() {
	t.stop()
	t.hangUp()
}

// say sends a line.
func (t *tube) say(words ...any) error {
	_, err := io.WriteString(t.in, fmt.Sprintln(words...))
	return err
}

// longest is the longest line that a script writes, in bytes.
const longest = 64 << 10

// hear reads a line of the script's, in words. One that begins with "bad" is a
// refusal, with the rest for a reason.
func (t *tube) hear() ([]string, error) {
	var text []byte
	for {
		part, more, err := t.out.ReadLine()
		if err != nil {
			return nil, t.ended(err)
		}
		if text = append(text, part...); len(text) > longest {
			return nil, &refusal{"the script's answer is too long"}
		}
		if !more {
			break
		}
	}
	if rest, bad := strings.CutPrefix(string(text), "bad "); bad {
		return nil, &refusal{strings.TrimSpace(rest)}
	}
	return strings.Fields(string(text)), nil
}

// greeted reads up to the line that begins with "ready" and gives the rest of
// it as values by name. What a login shell writes before that is passed over.
func (t *tube) greeted() (map[string]string, error) {
	for {
		words, err := t.hear()
		if err != nil {
			return nil, err
		}
		if len(words) == 0 || words[0] != "ready" {
			continue
		}
		values := map[string]string{}
		for _, word := range words[1:] {
			name, value, _ := strings.Cut(word, "=")
			values[name] = value
		}
		return values, nil
	}
}

// ended is why the script's output has ended. An end without the line's is the
// script's own.
func (t *tube) ended(err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	var exited *ssh.ExitError
	err = t.session.Wait()
	if err == nil || errors.As(err, &exited) && exited.Signal() == "" && exited.ExitStatus() < 128 {
		return fmt.Errorf("%w: %s", errNoTube, t.errs.String())
	}
	return fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err) // killed, as by a shutdown, or cut off
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

const tailSize = 1 << 10

// Write is io.Writer's.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - tailSize; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(b), nil
}

// String is the end of it, on one line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.Join(bytes.Fields(t.kept), []byte(" ")))
}

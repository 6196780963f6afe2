package datachannel

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
)

// commandPlugin runs one command without a terminal or input and tells its exit status.
type commandPlugin struct {
	shell
	interrupt chan struct{} // holds a token when the client sent Ctrl-C or Ctrl-\
}

func (p *commandPlugin) handshakes() bool { return true }

func (p *commandPlugin) start(context.Context, string) error { return nil }

// input looks for Ctrl-C and Ctrl-\ and drops everything else.
func (p *commandPlugin) input(m message) error {
	if m.payloadType == payloadOutput && bytes.ContainsAny(m.payload, "\x03\x1c") {
		select {
		case p.interrupt <- struct{}{}:
		default:
		}
	}
	return nil
}

func (p *commandPlugin) stop() {}

func (p *commandPlugin) run(ctx context.Context) error {
	argv, err := splitWords(p.properties.Commands)
	if err == nil && len(argv) == 0 {
		err = fmt.Errorf("Commands cannot be empty for session type %s", p.kind) //nolint:staticcheck // the agent's words
	}
	user := ""
	if err == nil {
		user, err = p.user(ctx)
	}
	if err != nil {
		p.agent.sleep(3 * time.Second) // the agent gives the client so long to be there
		p.agent.send(payloadStdErr, []byte(err.Error()))
		return err
	}
	command := Command{Argv: argv, Env: p.environment(user), User: user}
	if fmt.Sprint(p.properties.SeparateOutputStream) == "true" {
		return p.runSeparate(ctx, command)
	}
	return p.runTogether(ctx, command)
}

// exec runs the command until it ends, the client interrupts it or the session is over.
func (p *commandPlugin) exec(ctx context.Context, c Command) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case <-p.interrupt:
			cancel()
		case <-ctx.Done():
		}
	})
	defer watcher.Wait()
	defer cancel()
	return p.target().Exec(ctx, c)
}

// runTogether sends all output after the command has ended, and no exit status.
func (p *commandPlugin) runTogether(ctx context.Context, c Command) error {
	var output lockedBuffer
	c.Stdout, c.Stderr = &output, &output
	_, err := p.exec(ctx, c)
	text, _ := takeUTF8(output.Bytes())
	breathe, end := p.agent.pace()
	defer end()
	for len(text) > 0 && p.agent.active() {
		n := min(chunk, len(text))
		p.agent.send(payloadOutput, text[:n])
		text = text[n:]
		if !breathe() {
			break
		}
	}
	return err
}

// runSeparate sends output as it comes, each stream as a payload type of its own, and then the exit status.
func (p *commandPlugin) runSeparate(ctx context.Context, c Command) error {
	out, errs := newBufferedPipe(), newBufferedPipe()
	c.Stdout, c.Stderr = out, errs
	var pumps sync.WaitGroup
	pumps.Go(func() { p.pump(out, payloadOutput, p.properties.StdoutPrefix) })
	pumps.Go(func() { p.pump(errs, payloadStdErr, p.properties.StderrPrefix) })
	stopped := context.AfterFunc(ctx, func() { _ = firstError(out.Close(), errs.Close()) })
	exit, err := p.exec(ctx, c)
	stopped()
	_ = firstError(out.Close(), errs.Close())
	pumps.Wait()
	if err != nil && exit >= 0 {
		exit = 1
	}
	p.agent.send(payloadExitCode, []byte("EXIT_CODE: "+strconv.Itoa(exit)))
	if err != nil {
		p.agent.send(payloadStdErr, []byte(err.Error()))
	}
	return nil
}

// pump sends one stream. It has no pause, and it ends for good if publication is paused when it comes round: then nobody reads
// the stream any more, and the command hangs on it.
func (p *commandPlugin) pump(stream io.Reader, payloadType uint32, prefix string) {
	var rest []byte
	packet := make([]byte, chunk-len(prefix))
	lineStart := true
	for !p.agent.paused.Load() {
		n, err := stream.Read(packet[:len(packet)-len(rest)])
		if err != nil {
			return
		}
		var text []byte
		text, rest = takeUTF8(append(rest, packet[:n]...))
		if len(text) == 0 {
			continue
		}
		ends := text[len(text)-1] == '\n'
		if lineStart {
			text = append([]byte(prefix), text...)
		}
		lineStart = ends
		p.agent.send(payloadType, text)
	}
	p.agent.session.log.Debug("output pump: not in active status")
}

// A lockedBuffer takes the output of two streams.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

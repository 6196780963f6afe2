package datachannel

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// shellUser is the account that sessions run commands as, made when the first one needs it.
const shellUser = "ssm-user"

// makeShellUser is what the agent does on a machine that has no such user yet.
const makeShellUser = `id -u ssm-user >/dev/null 2>&1 || useradd -m ssm-user || exit
f=/etc/sudoers.d/ssm-agent-users
[ -e $f ] || { printf '# User rules for ssm-user\nssm-user ALL=(ALL) NOPASSWD:ALL\n' > $f && chmod 0440 $f; }`

// commandProperties are the `linux` member of the properties of a document for commands.
type commandProperties struct {
	Commands             string `json:"commands"`
	RunAsElevated        bool   `json:"runAsElevated"`
	SeparateOutputStream any    `json:"separateOutputStream"` // bool or string
	StdoutPrefix         string `json:"stdoutSeparatorPrefix"`
	StderrPrefix         string `json:"stderrSeparatorPrefix"`
}

func newShellPlugin(a *agent, c Config) plugin {
	var properties struct {
		Linux commandProperties `json:"linux"`
	}
	_ = json.Unmarshal(jsonOf(c.Properties), &properties) // a wrong one is as good as none, as for the agent
	shell := shell{agent: a, properties: properties.Linux, kind: c.Type}
	if c.Type == NonInteractiveCommands {
		return &commandPlugin{shell: shell, interrupt: make(chan struct{}, 1)}
	}
	return &terminalPlugin{shell: shell, resize: make(chan Size, 1)}
}

// shell is what the plugins for commands have in common.
type shell struct {
	agent      *agent
	properties commandProperties
	kind       Type
}

func (s *shell) target() Target { return s.agent.session.config.Target }

// user is who the command runs as; ssm-user is made if it is missing.
func (s *shell) user(ctx context.Context) (string, error) {
	if s.properties.RunAsElevated {
		return "", nil
	}
	var said strings.Builder
	exit, err := s.target().Exec(ctx, Command{Argv: []string{"/bin/sh", "-c", makeShellUser}, Stdout: &said, Stderr: &said})
	if err == nil && exit != 0 {
		err = fmt.Errorf("useradd: exit status %d: %s", exit, strings.TrimSpace(said.String()))
	}
	if err != nil {
		return "", fmt.Errorf("failed to create ssm-user: %w", err)
	}
	return shellUser, nil
}

func (s *shell) environment(user string) []string {
	home := "/root"
	if user != "" {
		home = "/home/" + user
	}
	return []string{"TERM=xterm-256color", "LANG=C.UTF-8", "HOME=" + home}
}

// terminalPlugin runs sh, or the document's commands in it, on a terminal. There is no handshake and no exit status.
type terminalPlugin struct {
	shell
	keyboard box[*os.File] // where input is written; full once the terminal is there
	resize   chan Size
}

func (p *terminalPlugin) handshakes() bool { return false }

func (p *terminalPlugin) start(context.Context, string) error {
	if p.kind == InteractiveCommands && p.properties.Commands == "" {
		return fmt.Errorf("Commands cannot be empty for session type %s", p.kind) //nolint:staticcheck // the agent's words
	}
	return nil
}

func (p *terminalPlugin) input(m message) error {
	keyboard, ok := p.keyboard.get()
	if !ok {
		return errNotReady
	}
	switch m.payloadType {
	case payloadOutput:
		_, err := keyboard.Write(m.payload)
		return err
	case payloadSize:
		var size Size
		if json.Unmarshal(m.payload, &size) != nil {
			return nil
		}
		select {
		case p.resize <- size:
		case <-p.agent.life.Done():
		}
	}
	return nil
}

func (p *terminalPlugin) run(ctx context.Context) error {
	user, err := p.user(ctx)
	if err != nil {
		return err
	}
	typed, keyboard, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = typed.Close() }()
	p.keyboard.put(keyboard)
	output := newBufferedPipe()
	exited := make(chan error, 1)
	p.agent.session.tasks.Go(func() {
		_, err := p.target().Exec(ctx, Command{
			Argv: p.argv(), Env: p.environment(user), User: user, Stdin: typed, Stdout: output, Stderr: output,
			Terminal: &Terminal{Size: Size{80, 24}, Resize: p.resize},
		})
		_ = output.Close()
		exited <- err
	})
	p.show(output)
	_ = output.Close()
	return <-exited
}

func (p *terminalPlugin) argv() []string {
	if p.properties.Commands == "" {
		return []string{"sh"}
	}
	return []string{"sh", "-c", p.properties.Commands}
}

// show sends what the terminal shows, from a second after its start on.
func (p *terminalPlugin) show(output io.Reader) {
	if !p.agent.sleep(time.Second) {
		return
	}
	var rest []byte
	packet := make([]byte, chunk)
	breathe, end := p.agent.pace()
	defer end()
	for p.agent.active() {
		n, err := output.Read(packet[:chunk-len(rest)])
		if err != nil {
			return
		}
		var text []byte
		text, rest = takeUTF8(append(rest, packet[:n]...))
		p.agent.send(payloadOutput, text)
		if !breathe() {
			return
		}
	}
}

func (p *terminalPlugin) stop() {
	if keyboard, ok := p.keyboard.get(); ok {
		_ = keyboard.Close()
	}
}

// takeUTF8 is the agent's filter for output: whole characters pass; a byte that belongs to none, and the first byte of a literal
// U+FFFD, passes when at least four bytes are left and otherwise waits in rest, to be lost if nothing follows.
func takeUTF8(data []byte) (text, rest []byte) {
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r != utf8.RuneError {
			text = append(text, data[:size]...)
			data = data[size:]
			continue
		}
		if len(data) < utf8.UTFMax {
			return text, append([]byte(nil), data...)
		}
		text = append(text, data[0])
		data = data[size:]
	}
	return text, nil
}

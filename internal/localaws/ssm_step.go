package localaws

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

const (
	maxStdout       = 24000 // characters that the agent reports
	maxStderr       = 8000
	truncatedSuffix = "--output truncated--"
	exitReboot      = 194 // of a script that wants a reboot and to be run again
	exitStopped     = 137 // what the agent reports of a script that it stopped
	exitKilled      = 137 // of a script that SIGKILL ended
	exitTerminated  = 143 // and SIGTERM
	maxRuns         = 3   // of a script whose machine went away under it
	shutdownTime    = 3 * time.Second
)

func withoutColon(plugin string) string { return strings.ReplaceAll(plugin, ":", "") }

func newStep(plugin string, inputs map[string]any) documentStep {
	seconds, err := strconv.Atoi(fmt.Sprint(inputs["timeoutSeconds"]))
	if err != nil || seconds < 1 || seconds > 172800 {
		seconds = 3600
	}
	dir, _ := inputs["workingDirectory"].(string)
	return documentStep{plugin: plugin, script: scriptLines(inputs["runCommand"]), dir: dir, timeout: time.Duration(seconds) * time.Second}
}

func scriptLines(v any) []string {
	switch v := v.(type) {
	case []string:
		return v
	case string:
		return []string{v}
	case []any:
		lines := make([]string, 0, len(v))
		for _, line := range v {
			lines = append(lines, scriptLines(line)...)
		}
		return lines
	}
	return nil
}

// stepEnvironment is what the agent's service gives to scripts: no HOME, no USER.
func stepEnvironment(i *instance) []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=en_US.UTF-8",
		"AWS_SSM_INSTANCE_ID=" + i.ID, "AWS_SSM_REGION_NAME=" + i.Region, "AWS_SSM_PLATFORM_NAME=Amazon Linux",
		"AWS_SSM_PLATFORM_TYPE=Linux",
	}
}

// orchestration is where the agent keeps a step's files.
func (i *ssmInvocation) orchestration(step documentStep) string {
	dir := path.Join("/var/lib/amazon/ssm", i.instance, "document/orchestration", i.command.id, step.folder)
	if strings.HasPrefix(step.name, "0.") {
		dir = path.Join(dir, step.name)
	}
	return dir
}

// A stepResult is how one run of a script ended.
type stepResult struct {
	exit           int
	err            error // the machine could not run it, or went away
	timedOut       bool
	cancelled      bool
	stdout, stderr string
}

// runScript puts a step's script where the agent puts it and runs it as root. The agent's files stay.
func (s *Server) runScript(ctx context.Context, i *ssmInvocation, step documentStep) stepResult {
	guest, dir := i.agent.instance.Machine, i.orchestration(step)
	if guest == nil {
		return stepResult{} // an instance without a machine does whatever it is told, without output
	}
	script := base64.StdEncoding.EncodeToString([]byte(strings.Join(step.script, "\n") + "\n"))
	if result, ok := s.prepare(ctx, guest, dir, script); !ok {
		return result
	}
	workDir := step.dir
	if workDir == "" {
		workDir = "/usr/bin" // of the agent's service
	}
	timed, cancel := context.WithTimeoutCause(ctx, step.timeout, context.DeadlineExceeded)
	defer cancel()
	stdout, stderr := &cutBuffer{limit: maxStdout}, &cutBuffer{limit: maxStderr}
	exit, err := guest.Exec(timed, machine.Command{
		Path: "/usr/bin/env", Args: append(append([]string{"-i"}, stepEnvironment(i.agent.instance)...),
			"sh", "-c", `o=$1; shift; cd "$o" || exit 1; exec "$@"`, "sh", workDir,
			"sh", "-c", path.Join(dir, "_script.sh")),
		Stdout: stdout, Stderr: stderr,
	})
	result := stepResult{exit: exit, err: err, stdout: stdout.String(), stderr: stderr.String()}
	switch {
	case ctx.Err() != nil:
		result.cancelled = true
	case timed.Err() != nil:
		result.timedOut = true
	}
	s.keepOutput(guest, dir, result)
	return result
}

// prepare writes the script. Its answer's second part is false if that failed.
func (s *Server) prepare(ctx context.Context, guest *machine.Machine, dir, script string) (stepResult, bool) {
	said := &cutBuffer{limit: maxStderr}
	exit, err := guest.Exec(ctx, machine.Command{
		Path: "/bin/sh", Args: []string{"-c", `umask 077 && mkdir -p "$1" && base64 -d >"$1/_script.sh" && chmod 700 "$1/_script.sh"`, "sh", dir},
		Stdin: strings.NewReader(script), Stderr: said,
	})
	return stepResult{exit: exit, err: err, stderr: said.String(), cancelled: ctx.Err() != nil}, err == nil && exit == 0
}

// keepOutput leaves the output where the agent leaves it.
func (s *Server) keepOutput(guest *machine.Machine, dir string, r stepResult) {
	for name, text := range map[string]string{"stdout": r.stdout, "stderr": r.stderr} {
		if text == "" {
			continue
		}
		_, err := guest.Exec(s.ctx, machine.Command{
			Path: "/bin/sh", Args: []string{"-c", `umask 077; cat >"$1"`, "sh", path.Join(dir, name)}, Stdin: strings.NewReader(text),
		})
		if err != nil {
			s.log.Debug("output not kept", "dir", dir, "error", err)
		}
	}
}

// A cutBuffer keeps what the agent would report of an output: the first characters of it, with a note in their place at the end
// if there was more.
type cutBuffer struct {
	limit int

	mu   sync.Mutex
	data bytes.Buffer
	cut  bool
}

func (b *cutBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	room := 4*b.limit - b.data.Len() // bytes; a character has at most four
	if len(p) > room {
		b.cut = true
	}
	b.data.Write(p[:min(len(p), max(room, 0))])
	return len(p), nil
}

func (b *cutBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return cutText(strings.ToValidUTF8(b.data.String(), "\uFFFD"), b.limit, b.cut)
}

func cutText(text string, limit int, more bool) string {
	if utf8.RuneCountInString(text) <= limit && !more {
		return text
	}
	runes := []rune(text)
	return string(runes[:min(len(runes), limit-len(truncatedSuffix))]) + truncatedSuffix
}

// pluginOutput is a step's output as ListCommandInvocations shows it: both streams in 2,500 characters.
func pluginOutput(stdout, stderr string) string {
	const capacity, title = 2500, "\n----------ERROR-------\n"
	const outCut, errCut = "\n---Output truncated---", "\n---Error truncated----"
	head := ""
	if stderr != "" {
		head = title
	}
	room := capacity - len(head)
	switch {
	case len(stdout)+len(stderr) < room:
		return stdout + head + stderr
	case len(stdout) > room/2 && len(stderr) > room/2:
		half := (room - len(outCut) - len(errCut)) / 2
		return stdout[:half] + outCut + head + stderr[:half] + errCut
	case len(stdout) < room/2:
		return stdout + head + stderr[:room-len(errCut)-len(stdout)] + errCut
	default:
		return stdout[:room-len(outCut)-len(stderr)] + outCut + head + stderr
	}
}

package communicator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	sdkcommunicator "github.com/hashicorp/packer-plugin-sdk/communicator"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

func connectTo(t *testing.T, i *instance, cfg Config) *Communicator {
	t.Helper()
	if cfg.SSH == nil {
		cfg.SSH = &sdkcommunicator.Config{}
	}
	cfg.SSH.SSHDisableAgentForwarding = true
	c, err := connectOver(t.Context(), i.links(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

// execute runs a command to its end.
func execute(t *testing.T, c *Communicator, text, stdin string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := &packersdk.RemoteCmd{Command: text, Stdout: &out, Stderr: &errs}
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	if err := c.Start(t.Context(), cmd); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return cmd.Wait(), out.String(), errs.String()
}

func TestCommands(t *testing.T) {
	i := newInstance(t)
	c := connectTo(t, i, Config{})
	for _, status := range []int{0, 1, 42, 255} {
		if got, _, _ := execute(t, c, fmt.Sprint("exit ", status), ""); got != status {
			t.Errorf("exit %d: got %d", status, got)
		}
	}
	if _, out, errs := execute(t, c, "say hello", ""); out != "hello\n" || errs != "hello\n" {
		t.Errorf("stdout %q, stderr %q", out, errs)
	}
	input := strings.Repeat("\x00\xff\n\r", 1<<18)
	if _, out, _ := execute(t, c, "cat", input); out != input {
		t.Errorf("stdin came back as %d bytes, want %d", len(out), len(input))
	}
	if i.count("bootstrap") != 1 {
		t.Errorf("%d bootstraps", i.count("bootstrap"))
	}
}

func TestCommandsAtOnce(t *testing.T) {
	c := connectTo(t, newInstance(t), Config{})
	var running sync.WaitGroup
	for n := range 8 {
		running.Go(func() {
			if got, _, _ := execute(t, c, fmt.Sprint("exit ", n), ""); got != n {
				t.Errorf("exit %d: got %d", n, got)
			}
		})
	}
	running.Wait()
}

// hang starts a command that does not end by itself, and returns once it runs.
func hang(t *testing.T, c *Communicator) *packersdk.RemoteCmd {
	t.Helper()
	r, w := io.Pipe()
	cmd := &packersdk.RemoteCmd{Command: "hang", Stdout: w}
	if err := c.Start(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, len("hanging\n"))); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestRebootDuringCommand(t *testing.T) {
	i := newInstance(t)
	var mu sync.Mutex
	var said []string
	c := connectTo(t, i, Config{Say: func(s string) {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, s)
	}})
	cmd := hang(t, c)
	comeBack := i.goAway()
	if got := cmd.Wait(); got != packersdk.CmdDisconnect {
		t.Errorf("exit status %d, want the one for a lost connection", got)
	}
	// The next command waits for the instance.
	ended := make(chan int, 1)
	go func() {
		defer close(ended) // also when it can't be started
		status, _, _ := execute(t, c, "exit 7", "")
		ended <- status
	}()
	comeBack()
	if got := <-ended; got != 7 {
		t.Errorf("after the reboot: exit status %d", got)
	}
	if i.count("bootstrap") != 2 {
		t.Errorf("%d bootstraps, want one a boot", i.count("bootstrap"))
	}
	mu.Lock()
	defer mu.Unlock()
	if len(said) != 2 {
		t.Errorf("said %q", said)
	}
}

func TestSilentRebootIsNoticed(t *testing.T) {
	i := newInstance(t)
	c := connectTo(t, i, Config{
		patience: 300 * time.Millisecond,
		SSH:      &sdkcommunicator.Config{SSH: sdkcommunicator.SSH{SSHKeepAliveInterval: 100 * time.Millisecond}},
	})
	cmd := hang(t, c)
	i.freeze()
	if got := cmd.Wait(); got != packersdk.CmdDisconnect {
		t.Errorf("exit status %d", got)
	}
	if got, _, _ := execute(t, c, "exit 3", ""); got != 3 {
		t.Errorf("afterwards: exit status %d", got)
	}
}

func TestLostSessionNeedsNoBootstrap(t *testing.T) {
	i := newInstance(t)
	c := connectTo(t, i, Config{})
	cmd := hang(t, c)
	i.mu.Lock()
	for p := range i.sessions {
		p.End(errors.New("maximum duration"))
	}
	i.mu.Unlock()
	if got := cmd.Wait(); got != packersdk.CmdDisconnect {
		t.Errorf("exit status %d", got)
	}
	if got, _, _ := execute(t, c, "exit 5", ""); got != 5 {
		t.Errorf("afterwards: exit status %d", got)
	}
	if i.count("bootstrap") != 1 {
		t.Errorf("%d bootstraps", i.count("bootstrap"))
	}
}

func TestInstanceThatGoesDownIsNotUsedYet(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	c := connectTo(t, i, Config{})
	cmd := hang(t, c)
	// The daemon is killed, and everything else a moment after it is back.
	i.mu.Lock()
	i.stopLocked()
	i.mu.Unlock()
	if got := cmd.Wait(); got != packersdk.CmdDisconnect {
		t.Errorf("exit status %d", got)
	}
	again := i.nextLogin()
	uploaded := make(chan error, 1)
	go func() { uploaded <- c.Upload("f", strings.NewReader("text"), nil) }()
	<-again
	i.cut()
	if err := <-uploaded; err != nil {
		t.Fatal(err)
	}
	if i.count("bootstrap") != 3 {
		t.Errorf("%d bootstraps, want one on the instance that was going down and one after", i.count("bootstrap"))
	}
}

func TestShutdownSignalIsADisconnect(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	c := connectTo(t, i, Config{})
	var out bytes.Buffer
	cmd := &packersdk.RemoteCmd{Command: "shutdown", Stdout: &out}
	if err := c.Start(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	i.cut()
	if got := cmd.Wait(); got != packersdk.CmdDisconnect {
		t.Errorf("exit status %d", got)
	}
	// Without a lost connection it is the signal that counts.
	if got, _, _ := execute(t, c, "shutdown", ""); got != 128+15 {
		t.Errorf("exit status %d of a command that was killed", got)
	}
}

func TestCloseEndsCommandsAndTheDaemon(t *testing.T) {
	i := newInstance(t)
	c := connectTo(t, i, Config{})
	cmd := hang(t, c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if got := cmd.Wait(); got != packersdk.CmdDisconnect {
		t.Errorf("exit status %d", got)
	}
	if err := c.Start(t.Context(), &packersdk.RemoteCmd{Command: "exit 0"}); !errors.Is(err, errClosed) {
		t.Errorf("start on a closed communicator: %v", err)
	}
	if err := c.Upload("f", strings.NewReader("x"), nil); !errors.Is(err, errClosed) {
		t.Errorf("upload on a closed communicator: %v", err)
	}
	if err := c.Close(); err != nil || i.count("stop") != 1 {
		t.Errorf("second close: %v, stopped %d times", err, i.count("stop"))
	}
}

// exited is the error of a script, as a Link gives it.
type exited int

func (e exited) Error() string           { return fmt.Sprintf("exit status %d: there is no user", int(e)) }
func (e exited) ExitStatus() (int, bool) { return int(e), true }

// denied is the error of an API, as the AWS SDK gives it.
type denied struct{ error }

func (denied) ErrorCode() string { return "AccessDeniedException" }

func TestConnectFailsFast(t *testing.T) {
	for name, refusal := range map[string]error{
		"script refuses": exited(exitNever),
		"API refuses":    fmt.Errorf("send command: %w", denied{errors.New("not authorized")}),
	} {
		t.Run(name, func(t *testing.T) {
			i := newInstance(t)
			i.refuse = refusal
			_, err := connectOver(t.Context(), i.links(), Config{})
			if !errors.Is(err, refusal) && !strings.Contains(fmt.Sprint(err), refusal.Error()) {
				t.Errorf("error %v", err)
			}
			if i.count("bootstrap") != 1 {
				t.Errorf("tried %d times", i.count("bootstrap"))
			}
		})
	}
}

func TestConnectTriesAgainUntilItsTimeIsOver(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.refuse = exited(exitLater)
	cfg := Config{SSH: &sdkcommunicator.Config{SSH: sdkcommunicator.SSH{SSHTimeout: 1500 * time.Millisecond}}}
	_, err := connectOver(t.Context(), i.links(), cfg)
	if err == nil || !strings.Contains(err.Error(), "no SSH connection within") || !errors.As(err, new(exited)) {
		t.Errorf("error %v", err)
	}
	if i.count("bootstrap") < 2 {
		t.Errorf("tried %d times", i.count("bootstrap"))
	}
}

func TestConnectEndsWithItsContext(t *testing.T) {
	i := newInstance(t)
	comeBack := i.goAway()
	defer comeBack()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := connectOver(ctx, i.links(), Config{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestOwnCredentials(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.mu.Lock()
	i.startLocked(t.Context(), "0")
	port := i.listener.Addr().String()
	i.mu.Unlock()
	var number int
	if _, err := fmt.Sscanf(port, "127.0.0.1:%d", &number); err != nil {
		t.Fatal(err)
	}
	own := func(password string) Config {
		return Config{OwnCredentials: true, SSH: &sdkcommunicator.Config{SSH: sdkcommunicator.SSH{
			SSHPort: number, SSHUsername: "admin", SSHPassword: password, SSHHandshakeAttempts: 2, SSHTimeout: time.Minute,
		}}}
	}
	c := connectTo(t, i, own("correct"))
	if got, _, _ := execute(t, c, "exit 9", ""); got != 9 {
		t.Errorf("exit status %d", got)
	}
	if len(i.scripts) != 0 {
		t.Errorf("scripts were run: %q", i.scripts)
	}
	_, err := connectOver(t.Context(), i.links(), own("wrong"))
	if err == nil || !strings.Contains(err.Error(), "refused 2 times") || !strings.Contains(err.Error(), "log in as admin") {
		t.Errorf("error %v", err)
	}
}

func TestAnotherServerIsNotTalkedTo(t *testing.T) {
	i := newInstance(t)
	c := connectTo(t, i, Config{})
	i.mu.Lock()
	defer i.mu.Unlock()
	other := newInstance(t)
	other.startLocked(t.Context(), "0")
	if err := c.pinned.check("", nil, other.hostKey.PublicKey()); !errors.As(err, new(*hostKeyError)) {
		t.Errorf("another host key: %v", err)
	}
	if err := c.pinned.check("", nil, i.hostKey.PublicKey()); err != nil {
		t.Errorf("the right host key: %v", err)
	}
}

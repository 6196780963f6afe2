//go:build linux

package localaws

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

// startMachines starts an AWS whose instances are machines, closed when the test ends.
func startMachines(t *testing.T, o Options) *Server {
	t.Helper()
	o.Dir = t.TempDir()
	s, err := Start(t.Context(), o)
	ok(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// run sends a shell script by Run Command and waits for its end.
func run(t *testing.T, s *Server, id string, parameters map[string][]string) *ssm.GetCommandInvocationOutput {
	t.Helper()
	c := ssmClient(t, s)
	sent, err := c.SendCommand(t.Context(), &ssm.SendCommandInput{
		InstanceIds: []string{id}, DocumentName: aws.String("AWS-RunShellScript"), Parameters: parameters,
	})
	ok(t, err)
	return finish(t, s, id, *sent.Command.CommandId)
}

func finish(t *testing.T, s *Server, id, command string) *ssm.GetCommandInvocationOutput {
	t.Helper()
	var out *ssm.GetCommandInvocationOutput
	until(t, "end of command "+command, func() bool {
		var err error
		out, err = ssmClient(t, s).GetCommandInvocation(t.Context(), &ssm.GetCommandInvocationInput{CommandId: &command, InstanceId: &id})
		ok(t, err)
		return out.ResponseCode != -1 || out.Status == ssmtypes.CommandInvocationStatusCancelled
	})
	return out
}

func script(lines ...string) map[string][]string { return map[string][]string{"commands": lines} }

func TestRunShellScript(t *testing.T) {
	t.Parallel()
	s, id := online(t, startMachines(t, Options{}))
	for name, test := range map[string]struct {
		parameters     map[string][]string
		status         ssmtypes.CommandInvocationStatus
		details        string
		code           int32
		stdout, stderr string
	}{
		"as root":        {script("id -un", "pwd", `echo "$0" | sed 's/.*orchestration.[-0-9a-f]*//'`), "Success", "Success", 0, "root\n/usr/bin\n/awsrunShellScript/0.awsrunShellScript/_script.sh\n", ""},
		"no home":        {script(`echo "home=$HOME user=$USER $AWS_SSM_INSTANCE_ID"`), "Success", "Success", 0, "home= user= " + id + "\n", ""},
		"fails":          {script("echo out", "echo err >&2", "exit 3"), "Failed", "Failed", 3, "out\n", "err\nfailed to run commands: exit status 3"},
		"last counts":    {script("false", "true"), "Success", "Success", 0, "", ""},
		"interpreter":    {script("#!/bin/bash", `a=(1 2); echo ${#a[@]}`), "Success", "Success", 0, "2\n", ""},
		"directory":      {map[string][]string{"commands": {"pwd"}, "workingDirectory": {"/tmp"}}, "Success", "Success", 0, "/tmp\n", ""},
		"takes too long": {map[string][]string{"commands": {"echo begun", "sleep 600"}, "executionTimeout": {"1"}}, "TimedOut", "ExecutionTimedOut", exitStopped, "begun\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := run(t, s, id, test.parameters)
			if out.Status != test.status || *out.StatusDetails != test.details || out.ResponseCode != test.code ||
				*out.StandardOutputContent != test.stdout || *out.StandardErrorContent != test.stderr {
				t.Errorf("%s, %s, code %d, stdout %q, stderr %q", out.Status, *out.StatusDetails, out.ResponseCode,
					*out.StandardOutputContent, *out.StandardErrorContent)
			}
		})
	}
	t.Run("long output", func(t *testing.T) {
		t.Parallel()
		out := run(t, s, id, script("seq 1 20000"))
		if text := *out.StandardOutputContent; len(text) != maxStdout || !strings.HasSuffix(text, truncatedSuffix) || !strings.HasPrefix(text, "1\n2\n") {
			t.Errorf("%d characters of output", len(text))
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		c := ssmClient(t, s)
		sent, err := c.SendCommand(t.Context(), &ssm.SendCommandInput{
			InstanceIds: []string{id}, DocumentName: aws.String("AWS-RunShellScript"), Parameters: script("sleep 600"),
		})
		ok(t, err)
		_, err = c.CancelCommand(t.Context(), &ssm.CancelCommandInput{CommandId: sent.Command.CommandId})
		ok(t, err)
		if out := finish(t, s, id, *sent.Command.CommandId); out.Status != ssmtypes.CommandInvocationStatusCancelled {
			t.Errorf("status %s", out.Status)
		}
	})
}

// TestRebootByCommand: a script that ends with 194 is run again after the reboot that it asked for.
func TestRebootByCommand(t *testing.T) {
	t.Parallel()
	s, id := online(t, startMachines(t, Options{}))
	before := run(t, s, id, script("cat /proc/sys/kernel/random/boot_id"))
	out := run(t, s, id, script(
		`if [ -e /root/rebooted ]; then cat /proc/sys/kernel/random/boot_id; exit 0; fi`, `touch /root/rebooted; touch /run/gone; exit 194`))
	if out.Status != "Success" || *out.StandardOutputContent == *before.StandardOutputContent || *out.StandardOutputContent == "" {
		t.Errorf("%s: boot %q, before %q; %s", out.Status, *out.StandardOutputContent, *before.StandardOutputContent, *out.StandardErrorContent)
	}
	if out := run(t, s, id, script("ls /run/gone")); out.Status != "Failed" {
		t.Error("/run was kept over the reboot")
	}
}

// TestRebootUnderCommand: a script that reboots the machine without saying so is run again when the agent is back.
func TestRebootUnderCommand(t *testing.T) {
	t.Parallel()
	s, id := online(t, startMachines(t, Options{}))
	out := run(t, s, id, script(`if [ -e /root/runs ]; then echo again; exit 0; fi`, `touch /root/runs; reboot; sleep 600`))
	if out.Status != "Success" || *out.StandardOutputContent != "again\n" {
		t.Errorf("%s: %q %q", out.Status, *out.StandardOutputContent, *out.StandardErrorContent)
	}
}

// TestRebootTakesAgentAway: sessions can't be started until the agent is back.
func TestRebootTakesAgentAway(t *testing.T) {
	t.Parallel()
	s, id := online(t, startMachines(t, Options{Delays: &Delays{AgentOnline: 300 * time.Millisecond}}))
	_, err := ec2.NewFromConfig(sdkConfig(t, s, DefaultAccount)).RebootInstances(t.Context(), &ec2.RebootInstancesInput{InstanceIds: []string{id}})
	ok(t, err)
	c := ssmClient(t, s)
	until(t, "TargetNotConnected", func() bool {
		_, err := c.StartSession(t.Context(), &ssm.StartSessionInput{Target: &id, DocumentName: aws.String("AWS-StartSSHSession")})
		return err != nil && strings.Contains(err.Error(), "TargetNotConnected") && strings.Contains(err.Error(), id+" is not connected.")
	})
	untilOnline(t, s, id)
	if out := run(t, s, id, script("true")); out.Status != "Success" {
		t.Errorf("after the reboot: %s", out.Status)
	}
}

// TestMinimalImage: its machine has no agent until somebody installs it.
func TestMinimalImage(t *testing.T) {
	t.Parallel()
	s := startMachines(t, Options{})
	s.SetAgentRetry(10 * time.Millisecond)
	makeProfile(t, s, "agents")
	id := launchImage(t, s, "agents", "/aws/service/ami-amazon-linux-latest/amzn2-ami-minimal-hvm-x86_64-ebs")
	var guest *machine.Machine
	until(t, "machine", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		a := s.ssmPlace(DefaultAccount, "us-east-1").agents[id]
		if a != nil && a.up {
			guest = a.instance.Machine
		}
		return guest != nil
	})
	if _, found := s.agentInstalled(guest, false); found {
		t.Fatal("the minimal image has an agent")
	}
	exit, err := guest.Exec(t.Context(), machine.Command{Path: "install", Args: []string{"-m", "755", "/bin/true", agentPath}})
	if err != nil || exit != 0 {
		t.Fatalf("install: %d, %v", exit, err)
	}
	untilOnline(t, s, id)
}

// sessionPlugin starts `aws ssm start-session` with AWS's session-manager-plugin.
func sessionPlugin(t *testing.T, s *Server, words ...string) *bufio.Reader {
	t.Helper()
	_, output := startPeer(t, s, append([]string{awsCLI(t), "ssm", "start-session"}, words...)...)
	return output
}

// startPeer runs a command that finds AWS's session-manager-plugin, until the test ends.
func startPeer(t *testing.T, s *Server, argv ...string) (io.Writer, *bufio.Reader) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(append(os.Environ(), s.Environ()...), "PATH="+pluginFolder(t)+":"+os.Getenv("PATH"), "HOME="+t.TempDir(), "TMPDIR="+peerTemp(t))
	// The CLI ignores interrupts while its plugin runs, and the plugin outlives a killed CLI: they go together.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	input, err := cmd.StdinPipe()
	ok(t, err)
	output, into := io.Pipe()
	cmd.Stdout, cmd.Stderr = into, into
	ok(t, cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = input.Close()
		_ = output.Close()
		_ = cmd.Wait()
	})
	return input, bufio.NewReader(output)
}

// peerTemp is where AWS's client puts a socket, which it leaves when it is killed. The path of a socket must be short.
func peerTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// pluginFolder is where AWS's session-manager-plugin is. Without it the test ends: CI has it, on other machines `make tools` makes it.
func pluginFolder(t *testing.T) string {
	t.Helper()
	plugin := os.Getenv("SESSION_MANAGER_PLUGIN")
	if plugin == "" {
		plugin = filepath.Join("..", "..", ".cache", "bin", "session-manager-plugin")
	}
	plugin, err := filepath.Abs(plugin)
	ok(t, err)
	if _, err := os.Stat(plugin); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("AWS's session-manager-plugin is not there: %v", err)
		}
		t.Skipf("AWS's session-manager-plugin is not there (`make tools` builds it): %v", err)
	}
	return filepath.Dir(plugin)
}

// TestPeerForwardsToMachine is the AWS CLI with its plugin, through a signed websocket, to a service on the instance.
func TestPeerForwardsToMachine(t *testing.T) {
	t.Parallel()
	s, id := online(t, startMachines(t, Options{}))
	output := sessionPlugin(t, s, "--target", id, "--document-name", "AWS-StartPortForwardingSession",
		"--parameters", `{"portNumber":["22"],"localPortNumber":["0"]}`)
	port := ""
	for port == "" {
		line, err := output.ReadString('\n')
		if err != nil {
			t.Fatalf("the plugin ended: %v", err)
		}
		t.Log(strings.TrimSpace(line))
		if rest, found := strings.CutPrefix(line, "Port "); found {
			port, _, _ = strings.Cut(rest, " ")
		}
	}
	go func() { _, _ = io.Copy(io.Discard, output) }()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", "localhost:"+port)
	ok(t, err)
	defer conn.Close()
	banner, err := bufio.NewReader(conn).ReadString('\n')
	ok(t, err)
	if !strings.HasPrefix(banner, "SSH-2.0-") {
		t.Errorf("banner %q", banner)
	}
}

// TestPeerRunsCommand is a NonInteractiveCommands session: the output comes as ssm-user, who was made for it.
func TestPeerRunsCommand(t *testing.T) {
	t.Parallel()
	s, id := online(t, startMachines(t, Options{}))
	output := sessionPlugin(t, s, "--target", id, "--document-name", "AWS-StartNonInteractiveCommand",
		"--parameters", `{"command":["sh -c 'id -un; sudo -n id -un'"]}`)
	said := ""
	for !strings.Contains(said, "ssm-user\nroot\n") {
		line, err := output.ReadString('\n')
		if err != nil {
			t.Fatalf("the plugin ended: %v; it said %q", err, said)
		}
		said += line
	}
	go func() { _, _ = io.Copy(io.Discard, output) }()
	until(t, "end of the session", func() bool {
		out, err := ssmClient(t, s).DescribeSessions(t.Context(), &ssm.DescribeSessionsInput{State: ssmtypes.SessionStateHistory})
		ok(t, err)
		return len(out.Sessions) == 1
	})
	out := run(t, s, id, script("cat /etc/sudoers.d/ssm-agent-users", "id -u ssm-user"))
	if out.Status != "Success" || !strings.Contains(*out.StandardOutputContent, "ssm-user ALL=(ALL) NOPASSWD:ALL") {
		t.Errorf("%s: %q %q", out.Status, *out.StandardOutputContent, *out.StandardErrorContent)
	}
}

// TestPeerShell is AWS's client on the default document: a shell on a terminal, which here has a terminal of its own to be used from.
func TestPeerShell(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("script"); err != nil {
		t.Skip("script(1), of util-linux, is not installed: AWS's client needs a terminal")
	}
	s, id := online(t, startMachines(t, Options{}))
	input, output := peerOnTerminal(t, s, id)
	said := ""
	for !strings.Contains(said, "tty=/dev/pts/") {
		_, err := io.WriteString(input, "echo user=$(id -un) tty=$(tty)\n")
		ok(t, err)
		line, err := output.ReadString('\n')
		if err != nil {
			t.Fatalf("the plugin ended: %v; it said %q", err, said)
		}
		said += line
	}
	if !strings.Contains(said, "user=ssm-user") {
		t.Errorf("said %q", said)
	}
	_, err := io.WriteString(input, "exit\n")
	ok(t, err)
	go func() { _, _ = io.Copy(io.Discard, output) }()
	until(t, "end of the session", func() bool {
		out, err := ssmClient(t, s).DescribeSessions(t.Context(), &ssm.DescribeSessionsInput{State: ssmtypes.SessionStateHistory})
		ok(t, err)
		return len(out.Sessions) == 1
	})
}

// peerOnTerminal starts `aws ssm start-session` on a terminal of this machine.
func peerOnTerminal(t *testing.T, s *Server, id string) (io.Writer, *bufio.Reader) {
	t.Helper()
	return startPeer(t, s, "script", "-qec", awsCLI(t)+" ssm start-session --target "+id, os.DevNull)
}

// TestScriptArrivesUnchanged: what Run Command is given arrives as it is, whatever is in it.
func TestScriptArrivesUnchanged(t *testing.T) {
	t.Parallel()
	s, id := online(t, startMachines(t, Options{}))
	secret := make([]byte, 3000)
	_, _ = rand.Read(secret)
	text := hex.EncodeToString(secret)
	sum := sha256.Sum256([]byte(text + "\n"))
	out := run(t, s, id, script("cat <<'EOF' | sha256sum | cut -d' ' -f1", text, "EOF", `echo "quote ' \" \\ $((1+1)) {{ notAParameter }}"`))
	want := hex.EncodeToString(sum[:]) + "\nquote ' \" \\ 2 {{ notAParameter }}\n"
	if *out.StandardOutputContent != want {
		t.Errorf("got %q\nwant %q", *out.StandardOutputContent, want)
	}
}

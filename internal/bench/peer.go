package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/taccoform/packer-plugin-ssm/internal/bench/cloud"
)

// A peer is AWS's client as its users have it at its best: session-manager-plugin forwards a port to the machine's own
// sshd, and OpenSSH keeps one connection open through it (ControlMaster), which every ssh and scp uses.
type peer struct {
	cloud   *cloud.Cloud
	plugin  *exec.Cmd
	master  *exec.Cmd
	session string
	options []string // of every ssh and scp
}

// Where OpenSSH finds things, and how long each step of the start may take.
const (
	user      = "ec2-user"
	listening = 20 * time.Second
	loggingIn = 30 * time.Second
	leaving   = 5 * time.Second
)

// startPeer starts a session, AWS's client on it, and OpenSSH through that. dir is for their sockets.
func startPeer(ctx context.Context, c *cloud.Cloud, plugin, keyFile, dir string) (*peer, error) {
	p := &peer{cloud: c}
	port, err := p.forward(ctx, plugin, dir)
	if err == nil {
		err = p.login(ctx, port, keyFile, dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("AWS's client: %w", err), p.close(ctx))
	}
	return p, nil
}

// forward starts AWS's client as the AWS CLI does, and returns the port that it listens on. The socket that it leaves behind
// when it is killed is in dir.
func (p *peer) forward(ctx context.Context, plugin, dir string) (port string, err error) {
	request := &ssm.StartSessionInput{
		Target: &p.cloud.Instance, DocumentName: aws.String("AWS-StartPortForwardingSession"),
		Parameters: map[string][]string{"portNumber": {"22"}, "localPortNumber": {"0"}},
	}
	started, err := ssm.NewFromConfig(p.cloud.Config).StartSession(ctx, request)
	if err != nil {
		return "", err
	}
	p.session = *started.SessionId
	answer, _ := json.Marshal(map[string]*string{ // strings can't fail
		"SessionId": started.SessionId, "StreamUrl": started.StreamUrl, "TokenValue": started.TokenValue,
	})
	target, _ := json.Marshal(map[string]string{"Target": p.cloud.Instance})
	p.plugin = exec.Command(plugin, string(answer), p.cloud.Config.Region, "StartSession", "", string(target), p.cloud.Server.URL()) //nolint:noctx // until close
	p.plugin.Env = append(append(os.Environ(), p.cloud.Server.Environ()...), "TMPDIR="+dir)
	output, into, err := os.Pipe()
	if err != nil {
		return "", err
	}
	p.plugin.Stdout, p.plugin.Stderr = into, into
	err = p.plugin.Start()
	_ = into.Close()
	if err != nil {
		p.plugin = nil
		_ = output.Close()
		return "", err
	}
	return awaitPort(ctx, output)
}

var openedPort = regexp.MustCompile(`Port (\d+) opened for sessionId`)

// awaitPort reads AWS's client until it listens, and goes on reading in the background.
func awaitPort(ctx context.Context, output *os.File) (string, error) {
	found := make(chan string, 1)
	go func() { // until the client ends
		defer func() { _ = output.Close() }()
		var said bytes.Buffer
		port := ""
		for lines := bufio.NewScanner(io.TeeReader(output, &said)); lines.Scan(); {
			if match := openedPort.FindStringSubmatch(lines.Text()); match != nil {
				port = match[1]
			}
			if port != "" && strings.HasPrefix(lines.Text(), "Waiting for connections") {
				found <- port
				break
			}
		}
		_, _ = io.Copy(io.Discard, output)
		close(found)
	}()
	ctx, cancel := context.WithTimeout(ctx, listening)
	defer cancel()
	select {
	case port, ok := <-found:
		if !ok {
			return "", errors.New("it ended before it listened")
		}
		return port, nil
	case <-ctx.Done():
		return "", fmt.Errorf("it does not listen after %s: %w", listening, context.Cause(ctx))
	}
}

// login opens the SSH connection that the rest shares.
func (p *peer) login(ctx context.Context, port, keyFile, dir string) error {
	socket := filepath.Join(dir, "control-"+port)
	for _, option := range []string{
		"BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "IdentitiesOnly=yes",
		"IdentityAgent=none", "IdentityFile=" + keyFile, "Port=" + port, "User=" + user, "ControlPath=" + socket,
	} {
		p.options = append(p.options, "-o", option)
	}
	p.options = append([]string{"-F", "/dev/null"}, p.options...)
	p.master = exec.Command("ssh", append(p.options, "-M", "-N", "localhost")...) //nolint:noctx // until close
	p.master.Stderr = os.Stderr
	if err := p.master.Start(); err != nil {
		p.master = nil
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, loggingIn)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(socket); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("ssh has not logged in after %s: %w", loggingIn, context.Cause(ctx))
		}
	}
}

func (p *peer) upload(ctx context.Context, f fixture, remote string) error {
	if f.files > 0 {
		return p.scp(ctx, "-r", f.path, "localhost:"+remote)
	}
	return p.scp(ctx, f.path, "localhost:"+remote)
}

func (p *peer) download(ctx context.Context, f fixture, remote, local string) error {
	if f.files > 0 {
		return p.scp(ctx, "-r", "localhost:"+remote, local)
	}
	return p.scp(ctx, "localhost:"+remote, local)
}

func (p *peer) scp(ctx context.Context, words ...string) error {
	return finish(p.command(ctx, "scp", append([]string{"-q"}, words...)...))
}

func (p *peer) run(ctx context.Context, command string) (string, error) {
	ssh := p.command(ctx, "ssh", "localhost", command)
	var stdout bytes.Buffer
	ssh.Stdout = &stdout
	err := finish(ssh)
	return stdout.String(), err
}

func (p *peer) command(ctx context.Context, name string, words ...string) *exec.Cmd {
	return exec.CommandContext(ctx, name, append(p.options[:len(p.options):len(p.options)], words...)...)
}

func finish(c *exec.Cmd) error {
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(c.Path), err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

func (p *peer) pids() []string {
	return []string{strconv.Itoa(p.plugin.Process.Pid), strconv.Itoa(p.master.Process.Pid)}
}

// close ends the session, and with it AWS's client.
func (p *peer) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*leaving)
	defer cancel()
	kill(p.master)
	var err error
	if p.session != "" {
		_, err = ssm.NewFromConfig(p.cloud.Config).TerminateSession(ctx, &ssm.TerminateSessionInput{SessionId: &p.session})
	}
	kill(p.plugin)
	return err
}

// kill ends a process that has nothing to lose.
func kill(c *exec.Cmd) {
	if c != nil {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
}

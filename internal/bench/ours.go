package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/bench/cloud"
)

// Our client runs in a process of its own, as AWS's does, so that memory and processor time are of the client alone.
const (
	roleVariable = "SSM_BENCH_ROLE"
	roleOurs     = "ours"
)

// An order is what the process of our client is told to do, one line of JSON; a report is what it answers.
type order struct {
	Do       string // connect, upload, download, uploadDir, downloadDir, run
	Instance string `json:",omitempty"`
	KeyFile  string `json:",omitempty"` // log in to the machine's own sshd with this
	Sessions int    `json:",omitempty"`

	// Opening is what a new TCP connection costs, for the API and for websockets: localaws is around the corner and speaks
	// plain HTTP, AWS is a round trip of TCP and one of TLS away.
	Opening time.Duration `json:",omitempty"`

	Local   string `json:",omitempty"`
	Remote  string `json:",omitempty"`
	Command string `json:",omitempty"`
}

type report struct {
	Error  string        `json:",omitempty"`
	Output string        `json:",omitempty"`
	InRun  time.Duration `json:",omitempty"` // of connecting, what Run Command took
}

// ours is the process of our client, seen from the bench.
type ours struct {
	cmd    *exec.Cmd
	orders io.WriteCloser
	report *bufio.Reader
	inRun  time.Duration
}

// startOurs starts the process. It is connected to nothing yet: Packer's plugin runs long before it connects too.
func startOurs(c *cloud.Cloud) (*ours, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	o := &ours{cmd: exec.Command(self)} //nolint:noctx // it lives until close, whatever call started it
	o.cmd.Env = append(append(os.Environ(), c.Server.Environ()...), roleVariable+"="+roleOurs, "SSH_AUTH_SOCK=")
	o.cmd.Stderr = os.Stderr
	if o.orders, err = o.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := o.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	o.report = bufio.NewReader(output)
	if err := o.cmd.Start(); err != nil {
		return nil, err
	}
	_, err = o.tell(order{Do: "hello"})
	return o, err
}

// connect is the way in: with keyFile to the machine's own sshd, otherwise with nothing on the instance before.
func (o *ours) connect(instance, keyFile string, sessions int) error {
	return o.connectBy(order{Instance: instance, KeyFile: keyFile, Sessions: sessions})
}

func (o *ours) connectBy(how order) error {
	how.Do = "connect"
	told, err := o.tell(how)
	o.inRun = told.InRun
	return err
}

func (o *ours) tell(what order) (report, error) {
	var answer report
	text, err := json.Marshal(what)
	if err != nil {
		return answer, err
	}
	if _, err := o.orders.Write(append(text, '\n')); err != nil {
		return answer, fmt.Errorf("our client: %w", err)
	}
	line, err := o.report.ReadBytes('\n')
	if err != nil {
		return answer, fmt.Errorf("our client ended: %w", err)
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return answer, fmt.Errorf("our client says %q: %w", line, err)
	}
	if answer.Error != "" {
		return answer, fmt.Errorf("our client: %s: %s", what.Do, answer.Error)
	}
	return answer, nil
}

func (o *ours) upload(_ context.Context, f fixture, remote string) error {
	do := "upload"
	if f.files > 0 {
		do = "uploadDir"
	}
	_, err := o.tell(order{Do: do, Local: f.path, Remote: remote})
	return err
}

func (o *ours) download(_ context.Context, f fixture, remote, local string) error {
	do := "download"
	if f.files > 0 {
		do = "downloadDir"
	}
	_, err := o.tell(order{Do: do, Local: local, Remote: remote})
	return err
}

func (o *ours) run(_ context.Context, command string) (string, error) {
	told, err := o.tell(order{Do: "run", Command: command})
	return told.Output, err
}

func (o *ours) pids() []string { return []string{strconv.Itoa(o.cmd.Process.Pid)} }

// close ends the sessions and the process.
func (o *ours) close(context.Context) error {
	_, err := o.tell(order{Do: "close"})
	_ = o.orders.Close()
	return errors.Join(err, o.cmd.Wait())
}

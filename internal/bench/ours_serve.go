package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	sdkcommunicator "github.com/hashicorp/packer-plugin-sdk/communicator"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/communicator"
	"github.com/taccoform/packer-plugin-ssm/internal/bench/cloud"
)

// serveOurs is the process of our client: it takes orders until there are no more.
func serveOurs() int {
	log.SetOutput(io.Discard) // the SDK's SSH writes there
	s := &server{}
	orders, reports := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for orders.Scan() {
		var o order
		answer := report{}
		err := json.Unmarshal(orders.Bytes(), &o)
		if err == nil {
			answer, err = s.do(o)
		}
		if err != nil {
			answer.Error = err.Error()
		}
		if reports.Encode(answer) != nil {
			return 1
		}
	}
	return 0
}

type server struct{ comm *communicator.Communicator }

func (s *server) do(o order) (report, error) {
	switch o.Do {
	case "hello":
		return report{}, nil
	case "connect":
		return s.connect(o)
	case "upload":
		return report{}, s.upload(o)
	case "uploadDir":
		return report{}, s.comm.UploadDir(o.Remote, o.Local+"/", nil)
	case "download":
		return report{}, s.download(o)
	case "downloadDir":
		return report{}, s.comm.DownloadDir(o.Remote, o.Local, nil)
	case "run":
		return s.run(o)
	case "close":
		return report{}, s.close()
	}
	return report{}, fmt.Errorf("order %q is unknown", o.Do)
}

func (s *server) connect(o order) (report, error) {
	var answer report
	way := &cloud.Way{
		Config: cloud.Config(os.Environ()), Instance: o.Instance,
		Ran: func(d time.Duration) { answer.InRun += d },
	}
	way.Config.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: dialer(o.Opening)}}
	way.HTTP = &http.Client{Transport: &http.Transport{DialContext: dialer(o.Opening), MaxIdleConnsPerHost: -1}}
	conf := communicator.Config{Sessions: o.Sessions}
	if o.KeyFile != "" {
		conf.OwnCredentials = true
		conf.SSH = &sdkcommunicator.Config{SSH: sdkcommunicator.SSH{SSHUsername: user, SSHPrivateKeyFile: o.KeyFile}}
	}
	var err error
	s.comm, err = communicator.Connect(context.Background(), way.Link(), conf)
	return answer, err
}

// dialer opens connections, each of which takes so long.
func dialer(opening time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		timer := time.NewTimer(opening)
		defer timer.Stop()
		select {
		case <-timer.C:
			return new(net.Dialer).DialContext(ctx, network, address)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// upload and download hand over a plain reader and writer, for so it is in a build: the file provisioner is in another
// process than the communicator, and what it hands over is a stream that can't be sought.
func (s *server) upload(o order) error {
	f, err := os.Open(o.Local)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return s.comm.Upload(o.Remote, struct{ io.Reader }{f}, pointer[fs.FileInfo](info))
}

func pointer[T any](v T) *T { return &v }

func (s *server) download(o order) error {
	f, err := os.Create(o.Local)
	if err != nil {
		return err
	}
	return errors.Join(s.comm.Download(o.Remote, struct{ io.Writer }{f}), f.Close())
}

func (s *server) run(o order) (report, error) {
	var stdout, stderr bytes.Buffer
	command := &packersdk.RemoteCmd{Command: o.Command, Stdout: &stdout, Stderr: &stderr}
	if err := s.comm.Start(context.Background(), command); err != nil {
		return report{}, err
	}
	if status := command.Wait(); status != 0 {
		return report{}, fmt.Errorf("exit status %d: %s", status, strings.TrimSpace(stderr.String()))
	}
	return report{Output: stdout.String()}, nil
}

func (s *server) close() error {
	if s.comm == nil {
		return nil
	}
	return s.comm.Close()
}

package communicator

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	sdkcommunicator "github.com/hashicorp/packer-plugin-sdk/communicator"
	"golang.org/x/crypto/ssh"
)

// squatter is another server on the port that the daemon is about to take. It
// lets everybody in and counts what it is asked to do.
type squatter struct {
	asked   atomic.Int32
	met     chan struct{} // closed once somebody was let in
	running sync.WaitGroup
}

// squat takes the port before anybody else does. With leaves set it gives the
// port up after its first guest, whom it keeps.
func (s *squatter) squat(ctx context.Context, t *testing.T, number int, leaves bool) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(number)))
	if err != nil {
		t.Error(err)
		return
	}
	t.Cleanup(func() { _ = listener.Close(); s.running.Wait() })
	s.met = make(chan struct{})
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Error(err)
		return
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Error(err)
		return
	}
	conf := &ssh.ServerConfig{NoClientAuth: true}
	conf.AddHostKey(signer)
	s.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if leaves {
				_ = listener.Close()
			}
			s.running.Go(func() { s.serve(conn, conf) })
		}
	})
}

func (s *squatter) serve(conn net.Conn, conf *ssh.ServerConfig) {
	defer func() { _ = conn.Close() }()
	_, channels, requests, err := ssh.NewServerConn(conn, conf)
	if err != nil {
		return
	}
	close(s.met)
	s.running.Go(func() { ssh.DiscardRequests(requests) })
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		s.running.Go(func() {
			for request := range requests {
				s.asked.Add(1)
				_ = request.Reply(true, nil)
			}
			_ = channel.Close()
		})
	}
}

// TestNothingIsAskedOfAnotherServer has a process of the instance take the port
// that the daemon is to have.
func TestNothingIsAskedOfAnotherServer(t *testing.T) {
	t.Parallel()
	for name, leaves := range map[string]bool{"that stays": false, "that makes room": true} {
		t.Run(name, func(t *testing.T) {
			i, other := newInstance(t), &squatter{}
			over := i.links()
			var once sync.Once
			opened := make(chan struct{})
			over.open = func(ctx context.Context, number int) (port, error) {
				once.Do(func() { other.squat(ctx, t, number, leaves); close(opened) })
				return i.openPort(ctx, number)
			}
			over.run = func(ctx context.Context, script string) (string, error) {
				<-opened
				if i.count("bootstrap") == 0 {
					<-other.met
				}
				return i.runScript(ctx, script)
			}
			c, err := connectOver(t.Context(), over, Config{SSH: &sdkcommunicator.Config{SSH: sdkcommunicator.SSH{SSHDisableAgentForwarding: true}}})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Disconnect()
			if status, _, _ := execute(t, c, "exit 6", ""); status != 6 {
				t.Errorf("exit status %d", status)
			}
			if n := other.asked.Load(); n != 0 {
				t.Errorf("the other server was asked for %d things", n)
			}
			if i.count("bootstrap") != 1 {
				t.Errorf("%d bootstraps", i.count("bootstrap"))
			}
		})
	}
}

// TestSessionRefusedAhead: what the API refuses for good ends the connecting
// also when it was asked ahead.
func TestSessionRefusedAhead(t *testing.T) {
	i := newInstance(t)
	over := i.links()
	refusal := denied{errors.New("no ssm:StartSession")}
	over.open = func(context.Context, int) (port, error) { return nil, refusal }
	if _, err := connectOver(t.Context(), over, Config{SSH: &sdkcommunicator.Config{SSH: sdkcommunicator.SSH{SSHDisableAgentForwarding: true}}}); !errors.Is(err, refusal) {
		t.Errorf("error %v", err)
	}
	if i.count("bootstrap") != 1 {
		t.Errorf("%d bootstraps", i.count("bootstrap"))
	}
}

package communicator

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// instance is a machine with an agent, as far as a Link shows one: it knows
// what the scripts mean, and its daemon is an SSH server of this process whose
// files are in a directory.
type instance struct {
	t    *testing.T
	home string

	listen func(ctx context.Context, port string) (net.Listener, error)
	dial   func(ctx context.Context, address string) (net.Conn, error)
	alive  func(ctx context.Context) error // what EC2 knows of it

	mute       atomic.Bool            // connections are accepted, and that is all
	deaf       atomic.Bool            // keepalives are not answered
	keepalives atomic.Int64           // that have arrived
	jobs       bool                   // commands may outlive their connection
	told       func(text string) bool // of a command before it is answered; false for no answer

	mu       sync.Mutex
	hostKey  ssh.Signer
	keys     map[string]bool // who may log in
	listener net.Listener    // nil: no daemon
	conns    map[net.Conn]bool
	sessions map[*fakePort]bool
	agent    chan struct{}
	scripts  []string      // what was run, by kind
	refuse   error         // what Run gives instead
	login    chan struct{} // closed at the next login
	boots    int
	commands sync.WaitGroup
}

func newInstance(t *testing.T) *instance {
	return newInstanceOn(t, func(ctx context.Context, port string) (net.Listener, error) {
		return new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:"+port)
	}, func(ctx context.Context, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	})
}

// newInstanceInMemory is one for a bubble of fake time.
func newInstanceInMemory(t *testing.T) *instance {
	n := newNetwork()
	return newInstanceOn(t, n.Listen, n.Dial)
}

func newInstanceOn(t *testing.T, listen func(context.Context, string) (net.Listener, error), dial func(context.Context, string) (net.Conn, error)) *instance {
	i := &instance{
		t: t, home: t.TempDir(), listen: listen, dial: dial, alive: orContent(nil),
		conns: map[net.Conn]bool{}, sessions: map[*fakePort]bool{}, agent: make(chan struct{}),
	}
	close(i.agent)
	t.Cleanup(func() {
		i.cut()
		i.commands.Wait()
	})
	return i
}

func (i *instance) links() links {
	return links{open: i.openPort, run: i.runScript, online: i.online, alive: i.alive}
}

func (i *instance) online(ctx context.Context) error {
	i.mu.Lock()
	up := i.agent
	i.mu.Unlock()
	select {
	case <-up:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var (
	keyLine    = regexp.MustCompile(`(?m)(ssh-ed25519|ecdsa-sha2-nistp256) [A-Za-z0-9+/=]+`)
	wishLine   = regexp.MustCompile(`(?m)^wish='(\d+)'$`)
	errNowhere = errors.New("connection refused")
)

func (i *instance) runScript(ctx context.Context, script string) (string, error) {
	if err := i.online(ctx); err != nil {
		return "", err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if !strings.Contains(script, "keys=") {
		i.scripts = append(i.scripts, "stop")
		i.stopLocked()
		return "", nil
	}
	i.scripts = append(i.scripts, "bootstrap")
	if i.refuse != nil {
		return "", i.refuse
	}
	i.keys = map[string]bool{}
	for _, line := range keyLine.FindAllString(script, -1) {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return "", err
		}
		i.keys[string(key.Marshal())] = true
	}
	if i.listener == nil {
		i.startLocked(ctx, wishLine.FindStringSubmatch(script)[1])
	}
	_, port, err := net.SplitHostPort(i.listener.Addr().String())
	key := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(i.hostKey.PublicKey())))
	line := fmt.Sprintf("packer-plugin-ssm %s %s %08d-0000-0000-0000-000000000000", port, key, i.boots)
	if i.jobs {
		line += " jobs"
	}
	return line + "\n", err
}

// startLocked starts the daemon, on the port that is wished for if that is free.
func (i *instance) startLocked(ctx context.Context, wish string) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		i.t.Error(err)
	}
	if i.hostKey, err = ssh.NewSignerFromKey(key); err != nil {
		i.t.Error(err)
	}
	if i.listener, err = i.listen(ctx, wish); err != nil {
		if i.listener, err = i.listen(ctx, "0"); err != nil {
			i.t.Error(err)
		}
	}
	listener, conf := i.listener, i.serverConfig(i.hostKey)
	i.commands.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			i.mu.Lock()
			i.conns[conn] = true
			i.mu.Unlock()
			i.commands.Go(func() { i.serve(conn, conf) })
		}
	})
}

func (i *instance) serverConfig(host ssh.Signer) *ssh.ServerConfig {
	conf := &ssh.ServerConfig{
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			i.mu.Lock()
			defer i.mu.Unlock()
			if meta.User() != "ec2-user" || !i.keys[string(key.Marshal())] {
				return nil, errors.New("unknown key")
			}
			if i.login != nil {
				close(i.login)
				i.login = nil
			}
			return nil, nil
		},
		PasswordCallback: func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			if string(password) != "correct" {
				return nil, errors.New("wrong password")
			}
			return nil, nil
		},
	}
	conf.AddHostKey(host)
	return conf
}

// stopLocked is the daemon killed, and its connections with it.
func (i *instance) stopLocked() {
	if i.listener != nil {
		_ = i.listener.Close()
		i.listener = nil
	}
	for conn := range i.conns {
		_ = conn.Close()
	}
	clear(i.conns)
}

// miss has the sessions tell that messages are missing.
func (i *instance) miss(n int32) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for p := range i.sessions {
		p.Missing.Store(n)
	}
}

// cut is the power gone: daemon, connections and sessions end.
func (i *instance) cut() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.boots++
	i.stopLocked()
	for p := range i.sessions {
		p.End(errors.New("document worker timed out"))
	}
	clear(i.sessions)
}

// goAway is a reboot that takes until the returned function is called.
func (i *instance) goAway() (comeBack func()) {
	i.mu.Lock()
	i.agent = make(chan struct{})
	agent := i.agent
	i.mu.Unlock()
	i.cut()
	return func() { close(agent) }
}

// freeze is a reboot as a session sees it: nothing ends, nothing answers.
func (i *instance) freeze() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.boots++
	for p := range i.sessions {
		p.frozen.Store(true)
	}
	if i.listener != nil {
		_ = i.listener.Close()
		i.listener = nil
	}
}

// nextLogin is closed once somebody has been let in.
func (i *instance) nextLogin() <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.login = make(chan struct{})
	return i.login
}

func (i *instance) count(kind string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := 0
	for _, s := range i.scripts {
		if s == kind {
			n++
		}
	}
	return n
}

func (i *instance) serve(conn net.Conn, conf *ssh.ServerConfig) {
	defer func() { _ = conn.Close() }()
	if i.mute.Load() {
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	server, channels, requests, err := ssh.NewServerConn(conn, conf)
	if err != nil {
		return
	}
	i.commands.Go(func() { i.hear(requests) })
	for offered := range channels {
		switch offered.ChannelType() {
		case "session":
			channel, requests, err := offered.Accept()
			if err != nil {
				return
			}
			i.commands.Go(func() { i.session(channel, requests) })
		case "direct-tcpip":
			channel, requests, err := offered.Accept()
			if err != nil {
				return
			}
			i.commands.Go(func() { ssh.DiscardRequests(requests) })
			i.commands.Go(func() {
				_, _ = io.Copy(channel, channel)
				_ = channel.Close()
			})
		default:
			_ = offered.Reject(ssh.UnknownChannelType, "")
		}
	}
	_ = server.Wait()
}

// hear takes the requests of a connection, which are keepalives.
func (i *instance) hear(requests <-chan *ssh.Request) {
	for request := range requests {
		if request.Type == "keepalive@openssh.com" {
			i.keepalives.Add(1)
		}
		if !i.deaf.Load() {
			_ = request.Reply(false, nil)
		}
	}
}

func (i *instance) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	gone := make(chan struct{})
	defer close(gone)
	for request := range requests {
		var what struct{ Text string }
		_ = ssh.Unmarshal(request.Payload, &what)
		if request.Type == "exec" && i.told != nil && !i.told(what.Text) {
			return
		}
		ok := request.Type == "exec" || request.Type == "subsystem" && what.Text == "sftp" || request.Type == "pty-req"
		_ = request.Reply(ok, nil)
		switch {
		case ok && request.Type == "exec":
			i.commands.Go(func() { command(channel, strings.TrimSpace(what.Text), gone) })
		case ok && request.Type == "subsystem":
			i.commands.Go(func() { i.serveFiles(channel) })
		}
	}
}

func (i *instance) serveFiles(channel ssh.Channel) {
	server, err := sftp.NewServer(channel, sftp.WithServerWorkingDirectory(i.home))
	if err == nil {
		_ = server.Serve()
	}
	_ = channel.Close()
}

// command is the shell: a handful of commands is all that is asked of it.
func command(channel ssh.Channel, text string, gone <-chan struct{}) {
	verb, rest, _ := strings.Cut(text, " ")
	status := 0
	switch verb {
	case "exit":
		status, _ = strconv.Atoi(rest)
	case "cat":
		_, _ = io.Copy(channel, channel)
	case "say":
		_, _ = fmt.Fprintln(channel, rest)
		_, _ = fmt.Fprintln(channel.Stderr(), rest)
	case "hang":
		_, _ = fmt.Fprintln(channel, "hanging")
		<-gone
	case "tick": // for as long as there is somebody to tell
		for alone := false; !alone; {
			_, _ = fmt.Fprintln(channel, "tick")
			select {
			case <-gone:
				alone = true
			case <-time.After(time.Second):
			}
		}
	case "shutdown": // a signal, and what it was for a moment later
		_, _ = channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Signal string
			Dumped bool
			Text   string
			Lang   string
		}{Signal: "TERM"}))
		_ = channel.Close()
		return
	}
	_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
	_ = channel.Close()
}

package datachannel

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// hostTarget is this machine as a Target.
type hostTarget struct{}

func (hostTarget) Dial(ctx context.Context, host string, port int) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
}

func (hostTarget) Exec(ctx context.Context, c Command) (int, error) {
	if c.Argv[len(c.Argv)-1] == makeShellUser {
		return 0, nil
	}
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// serve starts a service on a port of this machine. The answer's second part is the base of its stream URLs.
func serve(t *testing.T, m Model) (*Service, string) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	service := NewService(Options{Model: m, Log: log})
	server := httptest.NewServer(service)
	t.Cleanup(func() {
		service.Close()
		server.Close()
	})
	return service, "ws" + strings.TrimPrefix(server.URL, "http")
}

// open opens a session and answers a channel that gives its end.
func open(t *testing.T, s *Service, kind Type, properties map[string]any) (*Session, <-chan End) {
	t.Helper()
	ends := make(chan End, 1)
	session, err := s.Open(Config{
		ID: "builder-" + newID().String()[:17], Type: kind, Properties: properties, Target: hostTarget{},
		Ended: func(e End) { ends <- e },
	})
	if err != nil {
		t.Fatal(err)
	}
	return session, ends
}

// waitEnd waits for the session to end, and for long enough that only a hang fails.
func waitEnd(t *testing.T, ends <-chan End) End {
	t.Helper()
	select {
	case e := <-ends:
		return e
	case <-time.After(time.Minute):
		t.Fatal("session did not end within a minute")
		return End{}
	}
}

// listen runs handle for each connection to a port of this machine, and answers the port.
func listen(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}

func echo(c net.Conn) { _, _ = io.Copy(c, c) }

// sessionManagerPlugin finds AWS's client, or ends the test: CI has it, on other machines `make tools` makes it.
func sessionManagerPlugin(t *testing.T) string {
	t.Helper()
	path := os.Getenv("SESSION_MANAGER_PLUGIN")
	if path == "" {
		path = filepath.Join("..", "..", "..", ".cache", "bin", "session-manager-plugin")
	}
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("AWS's session-manager-plugin is not there: %v", err)
		}
		t.Skipf("AWS's session-manager-plugin is not there (`make tools` builds it): %v", err)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return absolute
}

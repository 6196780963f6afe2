package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// streamQuery is what the service puts behind the path; + and / stay.
const streamQuery = "role=publish_subscribe&cell-number=AAEAAS+x/y9=="

// socketService is the service on a real socket, with another websocket
// library than the client's, in front of the double of the agent.
type socketService struct {
	fail   func(...any)
	agent  *agent
	server *httptest.Server

	mu        sync.Mutex
	refuse    func(r *http.Request) int // a status that refuses the upgrade
	tokens    map[string]bool
	issued    int
	requests  []*http.Request
	opens     []map[string]any
	current   *websocket.Conn
	once      sync.Once
	terminate int
}

func newSocketService(fail func(...any)) *socketService {
	s := &socketService{fail: fail, agent: newAgent(), tokens: make(map[string]bool)}
	s.agent.rest = 100 * time.Microsecond
	s.server = httptest.NewServer(http.HandlerFunc(s.serve))
	return s
}

func (s *socketService) grant() Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issued++
	token := fmt.Sprintf("TOPSECRET-%d", s.issued)
	s.tokens[token] = true
	to := "ws" + strings.TrimPrefix(s.server.URL, "http") + "/v1/data-channel/sess-1?" + streamQuery
	return Grant{SessionID: "sess-1", StreamURL: to, Token: token}
}

func (s *socketService) service() Service {
	return Service{
		Start:  func(context.Context) (Grant, error) { return s.grant(), nil },
		Resume: func(context.Context, string) (Grant, error) { return s.grant(), nil },
		Terminate: func(context.Context, string) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.terminate++
			return nil
		},
	}
}

func (s *socketService) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Clone(r.Context()))
	status := 0
	if s.refuse != nil {
		status = s.refuse(r)
	}
	s.mu.Unlock()
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	ws, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		s.fail(err)
		return
	}
	defer func() { _ = ws.Close() }()
	if err := s.admit(ws); err != nil {
		s.fail(err)
		return
	}
	s.once.Do(s.agent.begin)
	s.agent.attach(r.Context(), func(context.Context) ([]byte, error) {
		kind, b, err := ws.ReadMessage()
		if err == nil && kind != websocket.BinaryMessage {
			s.fail("message after the open of kind", kind)
		}
		return b, err
	}, func(b []byte) error { return ws.WriteMessage(websocket.BinaryMessage, b) })
}

// admit checks the message that opens the data channel.
func (s *socketService) admit(ws *websocket.Conn) error {
	kind, b, err := ws.ReadMessage()
	if err != nil || kind != websocket.TextMessage {
		return fmt.Errorf("first message has kind %d, %w", kind, err)
	}
	open := make(map[string]any)
	if err := json.Unmarshal(b, &open); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	token, _ := open["TokenValue"].(string)
	if !s.tokens[token] {
		return errors.New("token is unknown or used")
	}
	delete(s.tokens, token)
	s.opens = append(s.opens, open)
	s.current = ws
	return nil
}

// bye closes the websocket as the service does every hour.
func (s *socketService) bye() {
	s.mu.Lock()
	defer s.mu.Unlock()
	message := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "Bye")
	_ = s.current.WriteControl(websocket.CloseMessage, message, time.Now().Add(time.Second))
	_ = s.current.Close()
}

// echoServer is a TCP server that sends back what it gets.
func echoServer() (address string, stop func()) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
				_ = c.Close()
			})
		}
	})
	return l.Addr().String(), func() { _ = l.Close(); running.Wait() }
}

// TestRealSocket runs a session over a real websocket that refuses signatures
// and is closed with 1000 "Bye" in mid-transfer.
func TestRealSocket(t *testing.T) {
	s := newSocketService(t.Error)
	address, stop := echoServer()
	defer stop()
	wait := serveSmux(s.agent, address)
	s.refuse = func(r *http.Request) int {
		if r.Header.Get("Authorization") != "" {
			return http.StatusForbidden
		}
		return 0
	}
	svc := s.service()
	svc.Sign = func(_ context.Context, r *http.Request) error {
		if r.URL.RawQuery != streamQuery || r.URL.Scheme != "http" {
			t.Errorf("to be signed: %s", r.URL)
		}
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 x")
		return nil
	}
	var log bytes.Buffer
	p, err := OpenPort(t.Context(), svc, Options{Rate: 5000, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	c := dialPort(t, p)
	exchange(t, c, 300_000)
	done := make(chan struct{})
	go func() { defer close(done); exchange(t, c, 300_000) }()
	s.bye()
	<-done
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	s.agent.end()
	wait()
	s.server.Close()
	checkOpens(t, s)
	if strings.Contains(log.String(), "TOPSECRET") || strings.Contains(log.String(), "cell-number") {
		t.Errorf("the log has a secret:\n%s", log.String())
	}
}

func checkOpens(t *testing.T, s *socketService) {
	t.Helper()
	if len(s.opens) != 2 || len(s.requests) != 4 || s.terminate != 1 {
		t.Fatalf("%d opens, %d requests, %d terminations; want 2, 4, 1", len(s.opens), len(s.requests), s.terminate)
	}
	for _, r := range s.requests {
		if r.URL.RawQuery != streamQuery {
			t.Errorf("query arrived as %q", r.URL.RawQuery)
		}
	}
	a, b := s.opens[0], s.opens[1]
	if a["ClientId"] != b["ClientId"] || a["RequestId"] == b["RequestId"] {
		t.Errorf("client id must stay and request id change: %v, %v", a, b)
	}
	if a["MessageSchemaVersion"] != "1.0" || a["ClientVersion"] != "1.3.0.0" || len(a) != 5 {
		t.Errorf("opened with %v", a)
	}
}

// TestDialErrorsHoldNoSecret looks into the errors of every way to fail.
func TestDialErrorsHoldNoSecret(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer refusing.Close()
	moved := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere?"+r.URL.RawQuery, http.StatusFound)
	}))
	defer moved.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	gone := plain.URL
	plain.Close()
	for _, base := range []string{
		refusing.URL, moved.URL, gone, "ws://127.0.0.1:1", "gopher://x", "ws://[::1", "ws://\x7f",
	} {
		opts, err := Options{}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		svc := &Service{}
		o := newOpener(svc, &opts)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err = o.dial(ctx, Grant{SessionID: "s", StreamURL: base + "/p?cell-number=hidden", Token: "TOPSECRET"})
		cancel()
		if err == nil || strings.Contains(err.Error(), "TOPSECRET") || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", base, err)
		}
		t.Log(err)
	}
}

func TestPresignedIsNotSigned(t *testing.T) {
	opts, err := Options{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	o := newOpener(&Service{Sign: func(context.Context, *http.Request) error {
		t.Error("signed")
		return nil
	}}, &opts)
	if _, err := o.dial(t.Context(), Grant{StreamURL: "ws://127.0.0.1:1/?a=b&X-Amz-Signature=c"}); err == nil {
		t.Error("opened")
	}
}

// TestProxy goes through an HTTP proxy, as HTTPS_PROXY has it.
func TestProxy(t *testing.T) {
	s := newSocketService(t.Error)
	address, stop := echoServer()
	defer stop()
	wait := serveSmux(s.agent, address)
	var through sync.WaitGroup
	used := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		used++
		through.Add(1)
		defer through.Done()
		out, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", r.URL.Host)
		if err != nil {
			t.Error(err)
			return
		}
		_ = r.Write(out)
		in, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		join(in, out)
	}))
	transport := transport()
	transport.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
	p, err := OpenPort(t.Context(), s.service(), Options{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, dialPort(t, p), 10_000)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	s.agent.end()
	wait()
	through.Wait()
	proxy.Close()
	s.server.Close()
	if used != 1 {
		t.Errorf("proxy used %d times", used)
	}
}

package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/taccoform/packer-plugin-ssm/session/internal/agentmsg"
)

const (
	openTimeout = 20 * time.Second // for one try to open the websocket
	readLimit   = 2 << 20          // bytes of one message; the agent's end takes 1 MiB
	schema      = "1.0"
)

// opener opens websockets for one session.
type opener struct {
	client   *http.Client
	sign     func(context.Context, *http.Request) error
	version  string
	clientID agentmsg.UUID // the same for the whole session
	opts     *Options
}

func newOpener(svc *Service, opts *Options) *opener {
	o := &opener{client: opts.HTTPClient, sign: svc.Sign, version: opts.ClientVersion, clientID: newID(), opts: opts}
	if o.client == nil {
		o.client = &http.Client{Transport: transport()}
	}
	return o
}

// transport is the standard one, proxy from the environment, but for HTTP/2
// and connections to be reused: each websocket takes one for itself.
func transport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: openTimeout, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: openTimeout,
		MaxIdleConnsPerHost:   -1,
	}
}

// dial opens the websocket that grant is for, and the data channel on it. Its
// errors hold neither the token nor the query of the URL.
func (o *opener) dial(ctx context.Context, grant Grant) (channel, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	u, err := url.Parse(grant.StreamURL)
	if err != nil {
		return nil, fmt.Errorf("websocket: stream URL: %w", inner(err))
	}
	ws, err := o.upgrade(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("websocket %s: %w", u.Host, err)
	}
	if err := o.introduce(ctx, ws, grant.Token); err != nil {
		_ = ws.CloseNow()
		return nil, fmt.Errorf("websocket %s: open data channel: %w", u.Host, err)
	}
	return &socket{ws}, nil
}

// upgrade makes the websocket, signed if possible. If the service will not
// have the signature, it is tried once without: the token authenticates.
func (o *opener) upgrade(ctx context.Context, u *url.URL) (*websocket.Conn, error) {
	header, err := o.signature(ctx, u)
	if err != nil {
		o.opts.Logger.Info("websocket is opened unsigned", "reason", err)
	}
	ws, status, err := o.handshake(ctx, u, header)
	if header != nil && (status == http.StatusUnauthorized || status == http.StatusForbidden) {
		o.opts.Logger.Info("websocket is opened again, unsigned", "status", status)
		ws, _, err = o.handshake(ctx, u, nil)
	}
	return ws, err
}

// signature gives the headers that sign the upgrade, nil if it is signed
// already or there is nothing to sign with.
func (o *opener) signature(ctx context.Context, u *url.URL) (http.Header, error) {
	if o.sign == nil || presigned(u) {
		return nil, nil
	}
	target := *u
	target.Scheme = strings.Replace(target.Scheme, "ws", "http", 1)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), http.NoBody)
	if err != nil {
		return nil, inner(err)
	}
	if err := o.sign(ctx, r); err != nil {
		return nil, err
	}
	return r.Header, nil
}

func presigned(u *url.URL) bool {
	for _, pair := range strings.Split(u.RawQuery, "&") {
		if strings.HasPrefix(strings.ToLower(pair), "x-amz-") {
			return true
		}
	}
	return false
}

// handshake does the HTTP part. It follows no redirects.
func (o *opener) handshake(ctx context.Context, u *url.URL, header http.Header) (*websocket.Conn, int, error) {
	client := *o.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	ws, response, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{HTTPClient: &client, HTTPHeader: header})
	status := 0
	if response != nil {
		status = response.StatusCode
		if response.Body != nil {
			_ = response.Body.Close()
		}
	}
	if err == nil {
		ws.SetReadLimit(readLimit)
		return ws, status, nil
	}
	if status != 0 && status != http.StatusSwitchingProtocols {
		return nil, status, &refusedError{status}
	}
	return nil, status, inner(err)
}

// refusedError is an upgrade that was answered, by the service or by something
// on the way to it, but not with a websocket.
type refusedError struct{ status int }

func (e *refusedError) Error() string {
	return fmt.Sprintf("upgrade was answered with status %d %s", e.status, http.StatusText(e.status))
}

// final tells whether the answer is one that asking again does not change.
func (e *refusedError) final() bool {
	switch e.status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return e.status >= 400 && e.status < 500
}

// inner gives what a url.Error wraps: the error itself prints the whole URL.
func inner(err error) error {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	return err
}

// introduce sends the message that opens the data channel. There is no reply.
func (o *opener) introduce(ctx context.Context, ws *websocket.Conn, token string) error {
	message, err := json.Marshal(agentmsg.OpenDataChannel{
		MessageSchemaVersion: schema, RequestID: newID().String(), TokenValue: token,
		ClientID: o.clientID.String(), ClientVersion: o.version,
	})
	if err != nil {
		return err
	}
	return ws.Write(ctx, websocket.MessageText, message)
}

// socket is a websocket as a channel: one message is one frame.
type socket struct{ ws *websocket.Conn }

func (s *socket) Read(ctx context.Context) ([]byte, error) {
	_, b, err := s.ws.Read(ctx)
	return b, err
}

func (s *socket) Write(ctx context.Context, b []byte) error {
	return s.ws.Write(ctx, websocket.MessageBinary, b)
}

func (s *socket) Ping(ctx context.Context) error { return s.ws.Ping(ctx) }

func (s *socket) Close() error { return s.ws.CloseNow() }

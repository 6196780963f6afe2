package datachannel

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	openTimeout  = 15 * time.Second // from the upgrade to the first message
	writeTimeout = 60 * time.Second // for a client that doesn't read
)

var upgrader = websocket.Upgrader{
	ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10,
	CheckOrigin: func(*http.Request) bool { return true },
}

// A clientSocket is the client's websocket. Writes are serialised by mu.
type clientSocket struct {
	ws *websocket.Conn
	mu sync.Mutex
}

// ServeHTTP answers the websocket upgrade of a session and carries its messages until the websocket ends.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	session, status, err := s.admit(r)
	if err != nil {
		s.log.Info("data channel refused", "path", r.URL.Path, "error", err)
		http.Error(w, err.Error(), status)
		return
	}
	defer s.sockets.Done()
	session.roundTrip()
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // answered by the upgrader
	}
	client := &clientSocket{ws: ws}
	s.track(client)
	defer s.untrack(client)
	ws.SetReadLimit(session.model.MaxMessage)
	if err := session.opened(client); err != nil {
		s.log.Info("data channel not opened", "session", session.config.ID, "error", err)
		client.close(websocket.ClosePolicyViolation, "")
		return
	}
	session.read(client)
}

// admit finds the session of an upgrade and counts its socket.
func (s *Service) admit(r *http.Request) (*Session, int, error) {
	id, ok := strings.CutPrefix(r.URL.Path, pathPrefix)
	if !ok {
		return nil, http.StatusNotFound, errors.New("no such path")
	}
	if isSigned(r) && s.verify != nil {
		if err := s.verify(r); err != nil {
			return nil, http.StatusForbidden, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	session := s.sessions[id]
	if session == nil || s.closed {
		return nil, http.StatusBadRequest, fmt.Errorf("no session %s", id)
	}
	if rawQuery(r, "role") != "publish_subscribe" || rawQuery(r, "cell-number") != session.cell {
		return nil, http.StatusBadRequest, errors.New("role or cell-number is not that of the stream url")
	}
	s.sockets.Add(1)
	return session, 0, nil
}

func isSigned(r *http.Request) bool {
	return r.Header.Get("Authorization") != "" || strings.Contains(r.URL.RawQuery, "X-Amz-Signature=")
}

// rawQuery reads a query parameter whose plus signs mean themselves.
func rawQuery(r *http.Request, name string) string {
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			plain, err := url.PathUnescape(value)
			if err != nil {
				return ""
			}
			return plain
		}
	}
	return ""
}

// opened reads the first message and, if it is as it must be, makes client the session's websocket.
func (s *Session) opened(client *clientSocket) error {
	if err := client.ws.SetReadDeadline(time.Now().Add(openTimeout)); err != nil {
		return err
	}
	kind, body, err := client.ws.ReadMessage()
	if err != nil {
		return err
	}
	if kind != websocket.TextMessage {
		return errors.New("first message is not text")
	}
	input, err := parseOpen(body)
	if err != nil {
		return err
	}
	if err := s.redeem(input.tokenValue); err != nil {
		return err
	}
	if err := client.ws.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	return s.attach(client)
}

func parseOpen(body []byte) (openInput, error) {
	var keys map[string]string // a struct would take keys in any case
	if err := json.Unmarshal(body, &keys); err != nil {
		return openInput{}, fmt.Errorf("open message: %w", err)
	}
	for key := range keys {
		if !slices.Contains([]string{"MessageSchemaVersion", "RequestId", "TokenValue", "ClientId", "ClientVersion"}, key) {
			return openInput{}, fmt.Errorf("open message: unknown key %q", key)
		}
	}
	input := openInput{keys["TokenValue"], keys["ClientId"], keys["ClientVersion"]}
	switch {
	case keys["MessageSchemaVersion"] != "1.0":
		return input, fmt.Errorf("MessageSchemaVersion %q", keys["MessageSchemaVersion"])
	case len(keys["RequestId"]) < 16:
		return input, fmt.Errorf("RequestId of %d characters", len(keys["RequestId"]))
	case input.tokenValue == "":
		return input, errors.New("no TokenValue")
	}
	return input, nil
}

// read carries the client's messages to the agent until the websocket ends.
func (s *Session) read(client *clientSocket) {
	defer s.detach(client)
	client.ws.SetPingHandler(func(data string) error {
		s.line.wait(s.ctx)
		_ = client.ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second)) // the read tells
		return nil
	})
	for {
		kind, frame, err := client.ws.ReadMessage()
		s.line.wait(s.ctx)
		if err != nil {
			s.log.Debug("client websocket ended", "error", err)
			return
		}
		if kind != websocket.BinaryMessage {
			client.close(websocket.CloseUnsupportedData, "text after the open message")
			return
		}
		if err := s.fromClient(frame); err != nil {
			s.log.Warn("message of the client", "error", err)
			client.close(websocket.CloseInvalidFramePayloadData, err.Error())
			return
		}
	}
}

func (c *clientSocket) write(frame []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.ws.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return c.ws.WriteMessage(websocket.BinaryMessage, frame)
}

// close says goodbye with a code and closes the connection.
func (c *clientSocket) close(code int, text string) {
	goodbye := websocket.FormatCloseMessage(code, text)
	_ = c.ws.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(time.Second)) // the close follows in any case
	_ = c.ws.Close()
}

// cut closes the connection without a word.
func (c *clientSocket) cut() { _ = c.ws.Close() }

package datachannel

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// A rawClient is a client that does what a test tells it, and nothing else.
type rawClient struct {
	t    *testing.T
	ws   *websocket.Conn
	seq  int64
	got  chan message // everything but acknowledgements
	acks chan int64
	gone chan error // how the websocket ended
}

func openMessage(token string) map[string]string {
	return map[string]string{
		"MessageSchemaVersion": "1.0", "RequestId": newID().String(), "TokenValue": token, "ClientId": newID().String(), "ClientVersion": "1.3.0.0",
	}
}

func connect(t *testing.T, s *Session, base string) *rawClient {
	t.Helper()
	ws, response, err := websocket.DefaultDialer.DialContext(t.Context(), s.StreamURL(base), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	c := &rawClient{t: t, ws: ws, got: make(chan message, 10000), acks: make(chan int64, 10000), gone: make(chan error, 1)}
	if err := ws.WriteJSON(openMessage(s.Token())); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.read()
	}()
	t.Cleanup(func() {
		_ = ws.Close()
		<-done
	})
	return c
}

func (c *rawClient) read() {
	for {
		_, frame, err := c.ws.ReadMessage()
		if err != nil {
			c.gone <- err
			return
		}
		m, err := decode(frame)
		if err != nil {
			c.t.Error(err)
			continue
		}
		if m.kind != acknowledge {
			c.got <- m
			continue
		}
		var ack ackPayload
		if err := json.Unmarshal(m.payload, &ack); err != nil {
			c.t.Error(err)
		}
		c.acks <- ack.Sequence
	}
}

func (c *rawClient) write(m message) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.BinaryMessage, m.encode()); err != nil {
		c.t.Fatal(err)
	}
}

// sendAt sends stream data with a sequence number of the test's choice.
func (c *rawClient) sendAt(seq int64, payloadType uint32, payload []byte) {
	c.t.Helper()
	m := newMessage(inputStreamData, payloadType, payload)
	m.seq = seq
	c.write(m)
}

func (c *rawClient) send(payloadType uint32, payload []byte) {
	c.t.Helper()
	c.sendAt(c.seq, payloadType, payload)
	c.seq++
}

func (c *rawClient) ack(m message) {
	c.t.Helper()
	a := newMessage(acknowledge, payloadNone, jsonOf(ackPayload{m.kind, m.id.String(), m.seq, true}))
	a.flags = flagsSynFin
	c.write(a)
}

// next waits for a message of a kind, and passes over others.
func (c *rawClient) next(kind string) message {
	c.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case m := <-c.got:
			if m.kind == kind {
				return m
			}
		case <-deadline:
			c.t.Fatalf("no %s within 30 s", kind)
		}
	}
}

func (c *rawClient) waitAck(seq int64) {
	c.t.Helper()
	select {
	case got := <-c.acks:
		if got != seq {
			c.t.Fatalf("message %d was acknowledged, want %d", got, seq)
		}
	case <-time.After(30 * time.Second):
		c.t.Fatalf("message %d was not acknowledged within 30 s", seq)
	}
}

func (c *rawClient) waitGone() error {
	c.t.Helper()
	select {
	case err := <-c.gone:
		return err
	case <-time.After(30 * time.Second):
		c.t.Fatal("websocket was not closed within 30 s")
		return nil
	}
}

// handshake answers the handshake as version, up to its completion.
func (c *rawClient) handshake(version string) (request handshakeRequest) {
	c.t.Helper()
	m := c.next(outputStreamData)
	if err := json.Unmarshal(m.payload, &request); err != nil || m.payloadType != payloadHandshakeRequest || m.seq != 0 || m.flags != flagsSyn {
		c.t.Fatalf("%+v is no handshake request: %v", m, err)
	}
	c.ack(m)
	c.send(payloadHandshakeResponse, jsonOf(map[string]any{
		"ClientVersion":          version,
		"ProcessedClientActions": []map[string]any{{"ActionType": "SessionType", "ActionStatus": 1, "ActionResult": nil, "Error": ""}},
		"Errors":                 nil,
	}))
	c.waitAck(0)
	m = c.next(outputStreamData)
	if m.payloadType != payloadHandshakeComplete || !strings.Contains(string(m.payload), "HandshakeTimeToComplete") {
		c.t.Fatalf("%+v is no end of the handshake", m)
	}
	c.ack(m)
	return request
}

// text gathers the payloads of a type, and acknowledges them, until they are as long as want.
func (c *rawClient) text(payloadType uint32, want string) {
	c.t.Helper()
	var got strings.Builder
	for got.Len() < len(want) {
		m := c.next(outputStreamData)
		c.ack(m)
		if m.payloadType == payloadType {
			got.Write(m.payload)
		}
	}
	if got.String() != want {
		c.t.Fatalf("got %q, want %q", got.String(), want)
	}
}

// closed waits for channel_closed and answers what it says.
func (c *rawClient) closed() closedPayload {
	c.t.Helper()
	m := c.next(channelClosed)
	var closed closedPayload
	if err := json.Unmarshal(m.payload, &closed); err != nil {
		c.t.Fatal(err)
	}
	return closed
}

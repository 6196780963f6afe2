package datachannel

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// sshSession is a basic session to a port that echoes, past its handshake.
func sshSession(t *testing.T, m Model) (*Session, *rawClient, <-chan End, string) {
	t.Helper()
	service, base := serve(t, m)
	session, ends := open(t, service, Port, map[string]any{"portNumber": listen(t, echo)})
	client := connect(t, session, base)
	client.handshake("1.3.0.0")
	return session, client, ends, base
}

// settle sends the first data until the agent is ready for it.
func (c *rawClient) settle(text string) {
	c.t.Helper()
	for {
		c.sendAt(c.seq, payloadOutput, []byte(text))
		select {
		case <-c.acks:
			c.seq++
			c.text(payloadOutput, text)
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestHandshakeTellsPropertiesOfPorts(t *testing.T) {
	service, base := serve(t, Model{AgentVersion: "3.3.1.0"})
	properties := portProperties(listen(t, echo))
	session, _ := open(t, service, Port, properties)
	request := connect(t, session, base).handshake("1.3.0.0")
	parameters, _ := request.RequestedClientActions[0].ActionParameters.(map[string]any)
	got, _ := parameters["Properties"].(map[string]any)
	if request.AgentVersion != "3.3.1.0" || parameters["SessionType"] != "Port" || got["portNumber"] != properties["portNumber"] {
		t.Errorf("request %+v", request)
	}
}

func TestReceiveOrder(t *testing.T) {
	_, client, _, _ := sshSession(t, Model{})
	client.settle("0")
	early := []string{"c", "d"}
	for i, text := range early {
		client.sendAt(client.seq+1+int64(i), payloadOutput, []byte(text))
		client.waitAck(client.seq + 1 + int64(i)) // kept, and acknowledged at once
	}
	client.sendAt(client.seq, payloadOutput, []byte("b"))
	client.waitAck(client.seq)
	client.text(payloadOutput, "bcd")
	client.sendAt(client.seq, payloadOutput, []byte("b"))
	client.waitAck(client.seq) // again, without being processed again
	client.seq += 3
	client.settle("e")
}

func TestInvalidMessagesAreDropped(t *testing.T) {
	_, client, _, _ := sshSession(t, Model{})
	client.settle("0")
	client.sendAt(client.seq, payloadOutput, nil)
	undated := newMessage(inputStreamData, payloadOutput, []byte("x"))
	undated.seq, undated.created = client.seq, 0
	client.write(undated)
	client.send(payloadOutput, []byte("good"))
	client.waitAck(client.seq - 1)
	client.text(payloadOutput, "good")
}

// TestDataBeforeHandshakeIsLost: it is acknowledged and thrown away.
func TestDataBeforeHandshakeIsLost(t *testing.T) {
	service, base := serve(t, Model{})
	session, _ := open(t, service, Port, map[string]any{"portNumber": listen(t, echo)})
	client := connect(t, session, base)
	request := client.next(outputStreamData)
	client.ack(request)
	client.send(payloadOutput, []byte("lost"))
	client.waitAck(0)
	client.send(payloadHandshakeResponse, []byte(`{"ClientVersion":"1.3.0.0","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":1}]}`))
	client.waitAck(1)
	client.ack(client.next(outputStreamData))
	client.settle("kept")
}

func TestNotReadyIsDropped(t *testing.T) {
	_, client, _, _ := sshSession(t, Model{ReadyDelay: 300 * time.Millisecond})
	client.sendAt(client.seq, payloadOutput, []byte("x"))
	select {
	case seq := <-client.acks:
		t.Errorf("message %d was acknowledged before there was a connection", seq)
	case <-time.After(50 * time.Millisecond):
	}
	client.settle("x")
}

func TestHandshakeRefused(t *testing.T) {
	service, base := serve(t, Model{})
	session, ends := open(t, service, Port, portProperties("1"))
	client := connect(t, session, base)
	client.ack(client.next(outputStreamData))
	client.send(payloadHandshakeResponse, []byte(`{"ClientVersion":"1","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":3,"Error":"unknown"}]}`))
	want := "Encountered error while initiating handshake. SessionType failed on client with status 3 error: unknown"
	if e := waitEnd(t, ends); e.Reason != Failed || e.Output != want {
		t.Errorf("ended with %+v", e)
	}
	if closed := client.closed(); closed.Output != want || closed.SessionID != session.ID() {
		t.Errorf("closed: %+v", closed)
	}
}

// TestUnacknowledgedIsResent: the oldest message alone, until it is acknowledged.
func TestUnacknowledgedIsResent(t *testing.T) {
	_, client, _, _ := sshSession(t, Model{})
	client.settle("0")
	client.send(payloadOutput, []byte("first"))
	client.waitAck(client.seq - 1)
	first := client.next(outputStreamData)
	client.send(payloadOutput, []byte("second"))
	client.waitAck(client.seq - 1)
	second := client.next(outputStreamData)
	for range 3 {
		if m := client.next(outputStreamData); m.seq != first.seq || m.id != first.id {
			t.Fatalf("message %d was resent, want %d", m.seq, first.seq)
		}
	}
	client.ack(first)
	for m := client.next(outputStreamData); m.seq != second.seq; m = client.next(outputStreamData) {
		if m.seq != first.seq {
			t.Fatalf("message %d was resent, want %d", m.seq, second.seq)
		}
	}
	client.ack(second)
}

func TestSSHSessionEndsWithServer(t *testing.T) {
	service, base := serve(t, Model{})
	session, ends := open(t, service, Port, map[string]any{"portNumber": listen(t, func(c net.Conn) { _, _ = c.Write([]byte("bye")) })})
	client := connect(t, session, base)
	client.handshake("1.3.0.0")
	client.text(payloadOutput, "bye")
	if closed := client.closed(); closed.Output != "" {
		t.Errorf("closed: %+v", closed)
	}
	if e := waitEnd(t, ends); e.Reason != Completed {
		t.Errorf("ended with %+v", e)
	}
	if err := client.waitGone(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("websocket: %v", err)
	}
	if session.Token() != "" {
		t.Error("an ended session gives a token")
	}
}

func TestBasicPortRefused(t *testing.T) {
	service, base := serve(t, Model{})
	session, ends := open(t, service, Port, map[string]any{"portNumber": "1"})
	client := connect(t, session, base)
	client.handshake("1.3.0.0")
	if closed := client.closed(); !strings.HasPrefix(closed.Output, "Unable to connect to specified port: ") {
		t.Errorf("closed: %+v", closed)
	}
	if e := waitEnd(t, ends); e.Reason != Failed {
		t.Errorf("ended with %+v", e)
	}
}

// TestBasicPortReconnects: with a client too old for mux, the next data makes a new connection.
func TestBasicPortReconnects(t *testing.T) {
	service, base := serve(t, Model{})
	port := listen(t, func(c net.Conn) {
		one := make([]byte, 1)
		_, _ = io.ReadFull(c, one)
		_, _ = c.Write([]byte("saw " + string(one)))
	})
	session, _ := open(t, service, Port, portProperties(port))
	client := connect(t, session, base)
	client.handshake("1.1.69.0")
	for _, text := range []string{"a", "b"} {
		client.sendUntilAcked(payloadOutput, []byte(text))
		client.text(payloadOutput, "saw "+text)
		client.sendUntilAcked(payloadFlag, binary.BigEndian.AppendUint32(nil, flagDisconnectToPort))
		waitBroken(t, session)
	}
}

func (c *rawClient) sendUntilAcked(payloadType uint32, payload []byte) {
	c.t.Helper()
	for {
		c.sendAt(c.seq, payloadType, payload)
		select {
		case <-c.acks:
			c.seq++
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// waitBroken waits until the agent has seen that the connection is no more.
func waitBroken(t *testing.T, s *Session) {
	t.Helper()
	plugin, _ := s.agent.plugin.(*portPlugin)
	current, _ := plugin.current.get()
	basic, _ := current.(*basicPort)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		basic.mu.Lock()
		broken := basic.broken
		basic.mu.Unlock()
		if broken {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the connection did not end within 30 s")
}

func TestTerminateFlag(t *testing.T) {
	_, client, ends, _ := sshSession(t, Model{})
	client.settle("0")
	client.send(payloadFlag, binary.BigEndian.AppendUint32(nil, flagTerminateSession))
	if e := waitEnd(t, ends); e.Reason != Completed {
		t.Errorf("ended with %+v", e)
	}
	client.closed()
}

func TestStartPublicationFirst(t *testing.T) {
	service, base := serve(t, Model{StartPublication: true, AckAfterComplete: true})
	session, _ := open(t, service, Port, map[string]any{"portNumber": listen(t, echo)})
	client := connect(t, session, base)
	if m := <-client.got; m.kind != startPublication {
		t.Errorf("first message %+v", m)
	}
	client.ack(client.next(outputStreamData))
	client.send(payloadHandshakeResponse, []byte(`{"ClientVersion":"1.3.0.0","ProcessedClientActions":[]}`))
	if m := client.next(outputStreamData); m.payloadType != payloadHandshakeComplete {
		t.Errorf("then %+v", m)
	}
	client.waitAck(0)
}

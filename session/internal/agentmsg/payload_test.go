package agentmsg

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAcknowledge(t *testing.T) {
	m := vectorMessage(t)
	b, err := json.Marshal(AcknowledgeOf(&m))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"AcknowledgedMessageType":"input_stream_data","AcknowledgedMessageId":"00112233-4455-6677-8899-aabbccddeeff","AcknowledgedMessageSequenceNumber":5,"IsSequentialMessage":true}`
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	a, err := DecodeAcknowledge(b)
	if err != nil || a != AcknowledgeOf(&m) {
		t.Errorf("got %+v, %v", a, err)
	}
	for _, bad := range []string{"", "{}", "[]", `{"AcknowledgedMessageSequenceNumber":"5"}`, `{"AcknowledgedMessageSequenceNumber":null}`} {
		if _, err := DecodeAcknowledge([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestChannelClosed(t *testing.T) {
	c, err := DecodeChannelClosed([]byte(`{"MessageType":"channel_closed","MessageId":"x","DestinationId":"d","SessionId":"s","SchemaVersion":1,"CreatedDate":"2026","Output":"why"}`))
	if diff := cmp.Diff(ChannelClosed{SessionID: "s", Output: "why"}, c); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestFlag(t *testing.T) {
	if diff := cmp.Diff([]byte{0, 0, 0, 2}, TerminateSession.Encode()); diff != "" {
		t.Error(diff)
	}
	if f, err := DecodeFlag([]byte{0, 0, 0, 3}); f != ConnectToPortError || err != nil {
		t.Errorf("got %v, %v", f, err)
	}
	if _, err := DecodeFlag([]byte{0, 0, 3}); !errors.Is(err, ErrTruncated) {
		t.Errorf("got %v", err)
	}
}

func TestHandshake(t *testing.T) {
	r, err := DecodeRequest([]byte(`{"AgentVersion":"3.3.987.0","RequestedClientActions":[
		{"ActionType":"SessionType","ActionParameters":{"SessionType":"Port","Properties":{"portNumber":22,"localPortNumber":"0","type":"LocalPortForwarding"}}},
		{"ActionType":"KMSEncryption","ActionParameters":{"KMSKeyId":"k","Challenge":"c"}}]}`))
	if err != nil || r.AgentVersion != "3.3.987.0" || len(r.Actions) != 2 || r.Actions[1].ActionType != ActionKMSEncryption {
		t.Fatalf("got %+v, %v", r, err)
	}
	kind, port, err := DecodeSessionType(r.Actions[0].Parameters)
	if err != nil || kind.SessionType != SessionTypePort || port != (PortProperties{Type: PortTypeLocal}) {
		t.Errorf("got %+v, %+v, %v", kind, port, err)
	}
	kind, port, err = DecodeSessionType([]byte(`{"SessionType":"Standard_Stream","Properties":null}`))
	if err != nil || kind.SessionType != "Standard_Stream" || port != (PortProperties{}) {
		t.Errorf("got %+v, %+v, %v", kind, port, err)
	}
	b, err := json.Marshal(Response{ClientVersion: "1.3.0.0", Actions: []ProcessedAction{{ActionType: ActionSessionType, ActionStatus: Success}}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"ClientVersion":"1.3.0.0","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":1,"ActionResult":null,"Error":""}],"Errors":null}`
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c, err := DecodeComplete([]byte(`{"HandshakeTimeToComplete":1234567,"CustomerMessage":"hello"}`))
	if err != nil || c.CustomerMessage != "hello" {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestOpenDataChannel(t *testing.T) {
	b, err := json.Marshal(OpenDataChannel{MessageSchemaVersion: "1.0", RequestID: "r", TokenValue: "t", ClientID: "c", ClientVersion: "v"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"MessageSchemaVersion":"1.0","RequestId":"r","TokenValue":"t","ClientId":"c","ClientVersion":"v"}`
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

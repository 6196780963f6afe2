package datachannel

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

func portProperties(port string) map[string]any {
	return map[string]any{"portNumber": port, "localPortNumber": "0", "type": localPortForwarding}
}

func TestUpgradeIsRefused(t *testing.T) {
	service, base := serve(t, Model{})
	service.verify = func(r *http.Request) error {
		if r.Header.Get("Authorization") != "good" {
			return errMessage
		}
		return nil
	}
	session, _ := open(t, service, Port, portProperties("1"))
	good := session.StreamURL(base)
	for name, test := range map[string]struct {
		url, authorization string
		status             int
	}{
		"other session":     {strings.Replace(good, session.ID(), "nobody", 1), "", http.StatusBadRequest},
		"plus as space":     {strings.Replace(good, "+", "%20", 1), "", http.StatusBadRequest},
		"no cell":           {good[:strings.Index(good, "&")], "", http.StatusBadRequest},
		"other role":        {strings.Replace(good, "publish_subscribe", "publish", 1), "", http.StatusBadRequest},
		"wrong signature":   {good, "bad", http.StatusForbidden},
		"good signature":    {good, "good", http.StatusSwitchingProtocols},
		"no signature":      {good, "", http.StatusSwitchingProtocols},
		"encoded otherwise": {strings.Replace(good, "++//", "%2B%2B%2F%2F", 1), "", http.StatusSwitchingProtocols},
	} {
		header := http.Header{}
		if test.authorization != "" {
			header.Set("Authorization", test.authorization)
		}
		ws, response, err := websocket.DefaultDialer.DialContext(t.Context(), test.url, header)
		if response == nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = response.Body.Close()
		if response.StatusCode != test.status {
			t.Errorf("%s: status %d, want %d", name, response.StatusCode, test.status)
		}
		if err == nil {
			_ = ws.Close()
		}
	}
}

func TestOpenMessageIsChecked(t *testing.T) {
	service, base := serve(t, Model{})
	session, _ := open(t, service, Port, portProperties("1"))
	for name, change := range map[string]func(m map[string]string){
		"schema":      func(m map[string]string) { m["MessageSchemaVersion"] = "2.0" },
		"request id":  func(m map[string]string) { m["RequestId"] = "short" },
		"token":       func(m map[string]string) { m["TokenValue"] += "x" },
		"no token":    func(m map[string]string) { delete(m, "TokenValue") },
		"key":         func(m map[string]string) { m["ClientInstanceId"] = "i-1" },
		"key's case":  func(m map[string]string) { m["tokenvalue"] = m["TokenValue"]; delete(m, "TokenValue") },
		"used before": func(m map[string]string) { m["TokenValue"] = useToken(t, session, base) },
	} {
		m := openMessage(session.Token())
		change(m)
		ws, response, err := websocket.DefaultDialer.DialContext(t.Context(), session.StreamURL(base), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if err := ws.WriteJSON(m); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
			t.Errorf("%s: %v", name, err)
		}
		_ = ws.Close()
	}
}

func useToken(t *testing.T, s *Session, base string) string {
	t.Helper()
	token := s.Token()
	ws, response, err := websocket.DefaultDialer.DialContext(t.Context(), s.StreamURL(base), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	_ = response.Body.Close()
	if err := ws.WriteJSON(openMessage(token)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ws.ReadMessage(); err != nil { // the handshake's request: the token was taken
		t.Fatal(err)
	}
	return token
}

func TestMalformedMessageEndsWebsocket(t *testing.T) {
	service, base := serve(t, Model{MaxMessage: 4096})
	session, _ := open(t, service, Port, portProperties("1"))
	client := connect(t, session, base)
	if err := client.ws.WriteMessage(websocket.BinaryMessage, []byte("short")); err != nil {
		t.Fatal(err)
	}
	if err := client.waitGone(); !websocket.IsCloseError(err, websocket.CloseInvalidFramePayloadData) {
		t.Errorf("malformed: %v", err)
	}
	client = connect(t, session, base)
	client.sendAt(9, payloadOutput, make([]byte, 5000))
	if err := client.waitGone(); !websocket.IsCloseError(err, websocket.CloseMessageTooBig) {
		t.Errorf("too large: %v", err)
	}
	client = connect(t, session, base)
	if err := client.ws.WriteMessage(websocket.TextMessage, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := client.waitGone(); !websocket.IsCloseError(err, websocket.CloseUnsupportedData) {
		t.Errorf("text: %v", err)
	}
}

package session

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestGrantHidesItsSecrets(t *testing.T) {
	g := Grant{SessionID: "sess-1", StreamURL: "wss://host/x?q=hidden", Token: "TOPSECRET"}
	var out bytes.Buffer
	type wrapper struct {
		Inner Grant
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", g)
		fmt.Fprintf(&out, verb+"\n", &g)
		fmt.Fprintf(&out, verb+"\n", wrapper{Inner: g})
		fmt.Fprintf(&out, verb+"\n", []Grant{g})
	}
	for _, v := range []any{g, &g, wrapper{Inner: g}, map[string]Grant{"g": g}} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		out.Write(b)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "grant", g, "pointer", &g, "in", wrapper{Inner: g})
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "grant", g, "pointer", &g, "in", wrapper{Inner: g})
	for _, secret := range []string{"TOPSECRET", "hidden", fmt.Sprintf("%x", "TOPSECRET")} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%s shows in:\n%s", secret, out.String())
		}
	}
	if !strings.Contains(out.String(), "sess-1") {
		t.Error("the session id does not show")
	}
}

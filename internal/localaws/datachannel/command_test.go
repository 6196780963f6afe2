package datachannel

import (
	"strconv"
	"strings"
	"testing"
)

func command(line, separate string) map[string]any {
	return map[string]any{"linux": map[string]any{"commands": line, "runAsElevated": true, "separateOutputStream": separate}}
}

func TestNonInteractiveSeparate(t *testing.T) {
	service, base := serve(t, Model{})
	session, ends := open(t, service, NonInteractiveCommands, command(`sh -c 'echo out; echo err >&2; exit 7'`, "true"))
	client := connect(t, session, base)
	request := client.handshake("1.3.0.0")
	if parameters, _ := request.RequestedClientActions[0].ActionParameters.(map[string]any); parameters["Properties"] != nil {
		t.Errorf("request %+v", request)
	}
	said := map[uint32]string{}
	for range 3 {
		m := client.next(outputStreamData)
		client.ack(m)
		said[m.payloadType] += string(m.payload)
	}
	if said[payloadOutput] != "out\n" || said[payloadStdErr] != "err\n" || said[payloadExitCode] != "EXIT_CODE: 7" {
		t.Errorf("said %v", said)
	}
	client.closed()
	if e := waitEnd(t, ends); e.Reason != Completed {
		t.Errorf("ended with %+v", e)
	}
}

func TestNonInteractiveTogether(t *testing.T) {
	service, base := serve(t, Model{})
	session, _ := open(t, service, NonInteractiveCommands, command(`sh -c 'seq 1 1000'`, "false"))
	client := connect(t, session, base)
	client.handshake("1.3.0.0")
	var want strings.Builder
	for i := 1; i <= 1000; i++ {
		want.WriteString(strconv.Itoa(i) + "\n")
	}
	client.text(payloadOutput, want.String())
	client.closed()
}

func TestNonInteractiveInterrupted(t *testing.T) {
	service, base := serve(t, Model{})
	session, _ := open(t, service, NonInteractiveCommands, command(`sh -c 'echo ready; exec sleep 600'`, "true"))
	client := connect(t, session, base)
	client.handshake("1.3.0.0")
	client.text(payloadOutput, "ready\n")
	client.send(payloadOutput, []byte{3})
	client.text(payloadExitCode, "EXIT_CODE: -1")
	client.closed()
}

// TestShellHasNoHandshake: the first thing that a shell session says is what its terminal shows.
func TestShellHasNoHandshake(t *testing.T) {
	service, base := serve(t, Model{})
	session, _ := open(t, service, StandardStream, map[string]any{"linux": map[string]any{"runAsElevated": true}})
	client := connect(t, session, base)
	client.sendUntilAcked(payloadSize, []byte(`{"cols":100,"rows":30}`))
	client.sendUntilAcked(payloadOutput, []byte("echo hello\nexit\n"))
	client.text(payloadOutput, "hello\n")
	client.closed()
}

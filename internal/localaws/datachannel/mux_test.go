package datachannel

import (
	"encoding/binary"
	"net"
	"strings"
	"testing"
)

// The commands of smux version 1.
const (
	smuxSYN = 0
	smuxFIN = 1
	smuxPSH = 2
)

// smuxFrame is a frame of smux version 1, whose numbers are little-endian.
func smuxFrame(command byte, stream uint32, data string) []byte {
	b := []byte{1, command}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(data)))
	b = binary.LittleEndian.AppendUint32(b, stream)
	return append(b, data...)
}

// muxSession is a mux session to a port, past its handshake.
func muxSession(t *testing.T, port string) (*Session, *rawClient, <-chan End) {
	t.Helper()
	service, base := serve(t, Model{})
	session, ends := open(t, service, Port, portProperties(port))
	client := connect(t, session, base)
	client.handshake("1.3.0.0")
	return session, client, ends
}

func TestMuxStream(t *testing.T) {
	_, client, _ := muxSession(t, listen(t, func(c net.Conn) {
		got := make([]byte, 4)
		_, _ = c.Read(got)
		_, _ = c.Write([]byte(strings.ToUpper(string(got))))
	}))
	client.sendUntilAcked(payloadOutput, smuxFrame(smuxSYN, 3, ""))
	client.sendUntilAcked(payloadOutput, smuxFrame(smuxPSH, 3, "ping"))
	client.text(payloadOutput, string(smuxFrame(smuxPSH, 3, "PING"))+string(smuxFrame(smuxFIN, 3, "")))
}

// TestMuxRefusedPort: a stream to a port that nobody listens on ends, with a flag that does not say which; the session goes on.
func TestMuxRefusedPort(t *testing.T) {
	session, client, _ := muxSession(t, "1")
	for _, stream := range []uint32{3, 5} {
		client.sendUntilAcked(payloadOutput, smuxFrame(smuxSYN, stream, ""))
		flag, fin := false, false
		for !flag || !fin {
			m := client.next(outputStreamData)
			client.ack(m)
			flag = flag || m.payloadType == payloadFlag && flagOf(m) == flagConnectToPortError
			fin = fin || m.payloadType == payloadOutput && string(m.payload) == string(smuxFrame(smuxFIN, stream, ""))
		}
	}
	if session.Token() == "" {
		t.Error("the session has ended")
	}
}

// TestMuxProtocolError: the agent's smux server ends the session when it does not understand the client.
func TestMuxProtocolError(t *testing.T) {
	_, client, ends := muxSession(t, "1")
	bad := smuxFrame(smuxSYN, 3, "")
	bad[0] = 2
	client.sendUntilAcked(payloadOutput, bad)
	if e := waitEnd(t, ends); e.Reason != Failed || e.Output != "" {
		t.Errorf("ended with %+v", e)
	}
}

package datachannel

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The message types on the wire.
const (
	inputStreamData  = "input_stream_data"   // client to agent
	outputStreamData = "output_stream_data"  // agent to client
	acknowledge      = "acknowledge"         // both ways
	channelClosed    = "channel_closed"      // service to both
	startPublication = "start_publication"   // service to both
	pausePublication = "pause_publication"   // service to both
	sessionState     = "agent_session_state" // agent to service
)

// The payload types of stream data.
const (
	payloadNone              = 0 // acknowledgements
	payloadOutput            = 1 // bytes, in both directions
	payloadError             = 2
	payloadSize              = 3
	payloadParameter         = 4
	payloadHandshakeRequest  = 5
	payloadHandshakeResponse = 6
	payloadHandshakeComplete = 7
	payloadFlag              = 10
	payloadStdErr            = 11
	payloadExitCode          = 12
)

// What a Flag payload says.
const (
	flagDisconnectToPort   = 1
	flagTerminateSession   = 2
	flagConnectToPortError = 3
)

const (
	headerFull       = 116 // offset of PayloadLength
	headerShort      = 112 // the same, without PayloadType
	offType          = 4
	offSchema        = 36
	offCreated       = 40
	offSequence      = 48
	offFlags         = 56
	offID            = 64
	offDigest        = 80
	offPayloadType   = 112
	flagsSyn         = 1
	flagsSynFin      = 3
	maxHeaderAndSize = headerFull + 4
)

var errMessage = errors.New("malformed message")

// An id is a message's UUID in the order people write it.
type id [16]byte

func newID() id {
	var u id
	_, _ = rand.Read(u[:]) // crypto/rand.Read never fails
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

func (u id) String() string {
	h := hex.EncodeToString(u[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// A message is one message of the data channel, decoded.
type message struct {
	kind        string
	schema      uint32
	created     uint64 // milliseconds since 1970
	seq         int64
	flags       uint64
	id          id
	digest      [32]byte
	payloadType uint32
	payload     []byte
}

func newMessage(kind string, payloadType uint32, payload []byte) message {
	return message{
		kind: kind, schema: 1, created: uint64(time.Now().UnixMilli()), id: newID(),
		digest: sha256.Sum256(payload), payloadType: payloadType, payload: payload,
	}
}

// encode lays a message out as AWS's client and agent do.
func (m *message) encode() []byte {
	b := m.header(headerFull, ' ')
	binary.BigEndian.PutUint32(b[offPayloadType:], m.payloadType)
	binary.BigEndian.PutUint32(b[headerFull:], uint32(len(m.payload)))
	copy(b[maxHeaderAndSize:], m.payload)
	return b
}

// encodeAsService lays a message out as the service does with its own: no PayloadType, and the type padded with NULs.
func (m *message) encodeAsService() []byte {
	b := m.header(headerShort, 0)
	binary.BigEndian.PutUint32(b[headerShort:], uint32(len(m.payload)))
	copy(b[headerShort+4:], m.payload)
	return b
}

func (m *message) header(length int, pad byte) []byte {
	b := make([]byte, length+4+len(m.payload))
	binary.BigEndian.PutUint32(b, uint32(length))
	copy(b[offType:offSchema], bytes.Repeat([]byte{pad}, offSchema-offType))
	copy(b[offType:offSchema], m.kind)
	binary.BigEndian.PutUint32(b[offSchema:], m.schema)
	binary.BigEndian.PutUint64(b[offCreated:], m.created)
	binary.BigEndian.PutUint64(b[offSequence:], uint64(m.seq))
	binary.BigEndian.PutUint64(b[offFlags:], m.flags)
	copy(b[offID:], m.id[8:])
	copy(b[offID+8:], m.id[:8])
	copy(b[offDigest:], m.digest[:])
	return b
}

// decode reads a message. The payload is whatever follows the header: PayloadLength is not to be trusted on messages of
// the service. The payload shares b's memory.
func decode(b []byte) (message, error) {
	if len(b) < headerShort+4 {
		return message{}, fmt.Errorf("%w: %d bytes", errMessage, len(b))
	}
	length := binary.BigEndian.Uint32(b)
	if length != headerFull && length != headerShort || len(b) < int(length)+4 {
		return message{}, fmt.Errorf("%w: header length %d in %d bytes", errMessage, length, len(b))
	}
	m := message{
		kind:    string(bytes.Trim(b[offType:offSchema], " \x00")),
		schema:  binary.BigEndian.Uint32(b[offSchema:]),
		created: binary.BigEndian.Uint64(b[offCreated:]),
		seq:     int64(binary.BigEndian.Uint64(b[offSequence:])),
		flags:   binary.BigEndian.Uint64(b[offFlags:]),
		digest:  [32]byte(b[offDigest:offPayloadType]),
		payload: b[length+4:],
	}
	copy(m.id[8:], b[offID:offID+8])
	copy(m.id[:8], b[offID+8:offDigest])
	if length == headerFull {
		m.payloadType = binary.BigEndian.Uint32(b[offPayloadType:])
	}
	return m, nil
}

// kindOf reads nothing but the type of an encoded message.
func kindOf(b []byte) string {
	if len(b) < offSchema {
		return ""
	}
	return string(bytes.Trim(b[offType:offSchema], " \x00"))
}

// valid says whether the agent takes the message; it drops others without an acknowledgement.
func (m *message) valid() bool {
	return m.schema == 1 && m.created != 0 && len(m.payload) > 0 && m.kind != ""
}

package agentmsg

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// The types of messages.
const (
	TypeInput            = "input_stream_data"   // client to agent, acknowledged
	TypeOutput           = "output_stream_data"  // agent to client, acknowledged
	TypeAcknowledge      = "acknowledge"         // both ways, payload is an Acknowledge
	TypeChannelClosed    = "channel_closed"      // from the service, payload is a ChannelClosed
	TypeStartPublication = "start_publication"   // from the service, payload means nothing
	TypePausePublication = "pause_publication"   // from the service, payload means nothing
	TypeSessionState     = "agent_session_state" // agent to service
)

// PayloadType says what the payload of a stream message is.
type PayloadType uint32

// The types of payloads.
const (
	None                 PayloadType = 0
	Output               PayloadType = 1 // raw bytes, both ways
	Error                PayloadType = 2
	Size                 PayloadType = 3 // JSON {"cols":u32,"rows":u32}
	Parameter            PayloadType = 4
	HandshakeRequest     PayloadType = 5 // JSON, agent to client
	HandshakeResponse    PayloadType = 6 // JSON, client to agent
	HandshakeComplete    PayloadType = 7 // JSON, agent to client
	EncChallengeRequest  PayloadType = 8
	EncChallengeResponse PayloadType = 9
	Flag                 PayloadType = 10 // one FlagValue
	StdErr               PayloadType = 11
	ExitCode             PayloadType = 12
)

// The bits of Message.Flags.
const (
	SYN uint64 = 1
	FIN uint64 = 2
)

// The fixed places of the header.
const (
	shortHeader = 112 // HeaderLength without a PayloadType
	fullHeader  = 116 // HeaderLength with one
	lengthSize  = 4   // PayloadLength follows the header
	typeSize    = 32
	atType      = 4
	atSchema    = 36
	atCreated   = 40
	atSequence  = 48
	atFlags     = 56
	atID        = 64
	atDigest    = 80
	atPayload   = 112
	schema      = 1
)

// Overhead is what Append adds to a payload, in bytes.
const Overhead = fullHeader + lengthSize

// What Decode and Append refuse.
var (
	ErrTruncated    = errors.New("message is cut short")
	ErrHeaderLength = errors.New("header length is neither 112 nor 116")
	ErrDigest       = errors.New("payload does not match its digest")
	ErrEmptyPayload = errors.New("message without a payload")
	ErrTypeTooLong  = errors.New("message type is longer than 32 bytes")
)

// Message is one message of the data channel.
type Message struct {
	Type          string
	SchemaVersion uint32
	Created       uint64 // milliseconds since 1970
	Sequence      int64
	Flags         uint64
	ID            UUID
	PayloadType   PayloadType
	Payload       []byte
}

// Append appends m's wire form to dst. SchemaVersion is written as 1 whatever
// m says. An empty payload is refused because neither of AWS's ends takes one.
func (m *Message) Append(dst []byte) ([]byte, error) {
	if len(m.Payload) == 0 {
		return dst, ErrEmptyPayload
	}
	if len(m.Type) > typeSize {
		return dst, ErrTypeTooLong
	}
	be := binary.BigEndian
	dst = be.AppendUint32(dst, fullHeader)
	dst = append(dst, m.Type...)
	dst = append(dst, bytes.Repeat([]byte{' '}, typeSize-len(m.Type))...)
	dst = be.AppendUint32(dst, schema)
	dst = be.AppendUint64(dst, m.Created)
	dst = be.AppendUint64(dst, uint64(m.Sequence))
	dst = be.AppendUint64(dst, m.Flags)
	dst = append(dst, m.ID[8:]...)
	dst = append(dst, m.ID[:8]...)
	digest := sha256.Sum256(m.Payload)
	dst = append(dst, digest[:]...)
	dst = be.AppendUint32(dst, uint32(m.PayloadType))
	dst = be.AppendUint32(dst, uint32(len(m.Payload)))
	return append(dst, m.Payload...), nil
}

// Decode reads one message. The payload is everything after the header,
// whatever PayloadLength says, and a copy. The digest is checked unless
// PayloadLength is 0, as AWS's client does. Of the service's own messages it
// is not: a channel_closed (HeaderLength 112) must not get lost for it, and of
// start_publication and pause_publication, which come with wrong lengths and
// digests, only the type is looked at.
func Decode(b []byte) (Message, error) {
	if len(b) < atSchema {
		return Message{}, fmt.Errorf("%w: %d bytes", ErrTruncated, len(b))
	}
	kind := strings.Trim(string(b[atType:atSchema]), " \x00")
	if kind == TypeStartPublication || kind == TypePausePublication {
		return Message{Type: kind}, nil
	}
	header := binary.BigEndian.Uint32(b)
	if header != shortHeader && header != fullHeader {
		return Message{}, fmt.Errorf("%w: %d", ErrHeaderLength, header)
	}
	start := int(header) + lengthSize
	if len(b) < start {
		return Message{}, fmt.Errorf("%w: %d bytes", ErrTruncated, len(b))
	}
	return decode(kind, b[:start], b[start:])
}

// decode reads a message whose header is known to be whole.
func decode(kind string, header, payload []byte) (Message, error) {
	be := binary.BigEndian
	m := Message{
		Type:          kind,
		SchemaVersion: be.Uint32(header[atSchema:]),
		Created:       be.Uint64(header[atCreated:]),
		Sequence:      int64(be.Uint64(header[atSequence:])),
		Flags:         be.Uint64(header[atFlags:]),
		Payload:       bytes.Clone(payload),
	}
	copy(m.ID[8:], header[atID:])
	copy(m.ID[:8], header[atID+8:])
	if len(header) > shortHeader+lengthSize {
		m.PayloadType = PayloadType(be.Uint32(header[atPayload:]))
	}
	if len(header) == shortHeader+lengthSize || be.Uint32(header[fullHeader:]) == 0 {
		return m, nil
	}
	digest := sha256.Sum256(payload)
	if !bytes.Equal(digest[:], header[atDigest:atPayload]) {
		return Message{}, fmt.Errorf("%w: %s %d", ErrDigest, kind, m.Sequence)
	}
	return m, nil
}

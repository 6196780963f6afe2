package agentmsg

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// Acknowledge is the payload of an acknowledge message.
type Acknowledge struct {
	MessageType    string `json:"AcknowledgedMessageType"`
	MessageID      string `json:"AcknowledgedMessageId"`
	SequenceNumber int64  `json:"AcknowledgedMessageSequenceNumber"`
	IsSequential   bool   `json:"IsSequentialMessage"`
}

// AcknowledgeOf gives the payload that acknowledges m.
func AcknowledgeOf(m *Message) Acknowledge {
	return Acknowledge{MessageType: m.Type, MessageID: m.ID.String(), SequenceNumber: m.Sequence, IsSequential: true}
}

// DecodeAcknowledge reads the payload of an acknowledge message. The sequence
// number must be there: the one in the message's header is always 0.
func DecodeAcknowledge(payload []byte) (Acknowledge, error) {
	var a struct {
		Acknowledge
		SequenceNumber *int64 `json:"AcknowledgedMessageSequenceNumber"`
	}
	if err := json.Unmarshal(payload, &a); err != nil {
		return Acknowledge{}, fmt.Errorf("acknowledge: %w", err)
	}
	if a.SequenceNumber == nil {
		return Acknowledge{}, fmt.Errorf("acknowledge: no AcknowledgedMessageSequenceNumber")
	}
	a.Acknowledge.SequenceNumber = *a.SequenceNumber
	return a.Acknowledge, nil
}

// ChannelClosed is what the client reads of a channel_closed message. Output
// is empty for a normal end, otherwise a text for people.
type ChannelClosed struct {
	SessionID string `json:"SessionId"`
	Output    string
}

// DecodeChannelClosed reads the payload of a channel_closed message.
func DecodeChannelClosed(payload []byte) (ChannelClosed, error) {
	var c ChannelClosed
	if err := json.Unmarshal(payload, &c); err != nil {
		return ChannelClosed{}, fmt.Errorf("channel_closed: %w", err)
	}
	return c, nil
}

// OpenDataChannel is the first websocket message of the client, a text one,
// and the only one that is not a Message.
type OpenDataChannel struct {
	MessageSchemaVersion string // "1.0"
	RequestID            string `json:"RequestId"` // a UUID, new for each open
	TokenValue           string // of StartSession or ResumeSession
	ClientID             string `json:"ClientId"` // a UUID, the same for the whole session
	ClientVersion        string
}

// FlagValue is the payload of a Flag.
type FlagValue uint32

// The flags.
const (
	DisconnectToPort   FlagValue = 1 // client to agent: the local connection ended (basic port sessions)
	TerminateSession   FlagValue = 2 // client to agent: end the session
	ConnectToPortError FlagValue = 3 // agent to client: the port could not be dialled
)

// Encode gives the payload of a Flag.
func (f FlagValue) Encode() []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(f))
}

// DecodeFlag reads the payload of a Flag.
func DecodeFlag(payload []byte) (FlagValue, error) {
	if len(payload) < 4 {
		return 0, fmt.Errorf("flag: %w: %d bytes", ErrTruncated, len(payload))
	}
	return FlagValue(binary.BigEndian.Uint32(payload)), nil
}

package datachannel

import (
	"encoding/json"
	"strconv"
	"strings"
)

// openInput is what the first message on a websocket, JSON in a text frame, says.
type openInput struct {
	tokenValue    string
	clientID      string // optional
	clientVersion string // optional
}

type ackPayload struct {
	MessageType  string `json:"AcknowledgedMessageType"`
	MessageID    string `json:"AcknowledgedMessageId"`
	Sequence     int64  `json:"AcknowledgedMessageSequenceNumber"`
	IsSequential bool   `json:"IsSequentialMessage"`
}

type handshakeRequest struct {
	AgentVersion           string
	RequestedClientActions []requestedAction
}

type requestedAction struct {
	ActionType       string
	ActionParameters any
}

type sessionTypeRequest struct {
	SessionType string
	Properties  any
}

type handshakeResponse struct {
	ClientVersion          string
	ProcessedClientActions []processedAction
	Errors                 []string
}

type processedAction struct {
	ActionType   string
	ActionStatus int // 1 success, 2 failed, 3 unsupported
	ActionResult json.RawMessage
	Error        string
}

type handshakeComplete struct {
	HandshakeTimeToComplete int64 // nanoseconds
	CustomerMessage         string
}

type closedPayload struct {
	MessageType   string
	MessageID     string `json:"MessageId"`
	DestinationID string `json:"DestinationId"`
	SessionID     string `json:"SessionId"`
	SchemaVersion int
	CreatedDate   string
	Output        string
}

type statePayload struct {
	SchemaVersion int
	SessionState  string
	SessionID     string `json:"SessionId"`
}

// jsonOf renders one of the payloads above, none of which can fail to.
func jsonOf(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// compareVersions compares dotted numbers part by part, as the agent does: a missing part counts as 0, one that is
// no number as 0 too.
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		if d := versionPart(as, i) - versionPart(bs, i); d != 0 {
			return d
		}
	}
	return 0
}

func versionPart(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, err := strconv.Atoi(parts[i])
	if err != nil {
		return 0
	}
	return n
}

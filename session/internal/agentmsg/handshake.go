package agentmsg

import (
	"encoding/json"
	"fmt"
)

// The actions that an agent asks of a client.
const (
	ActionSessionType   = "SessionType"
	ActionKMSEncryption = "KMSEncryption"
)

// The types of sessions.
const (
	SessionTypePort = "Port"
)

// PortTypeLocal is the type property of port sessions that are multiplexed.
const PortTypeLocal = "LocalPortForwarding"

// ActionStatus says how the client fared with an action. Any but Success makes
// the agent end the session.
type ActionStatus int

// The statuses of an action.
const (
	Success     ActionStatus = 1
	Failed      ActionStatus = 2
	Unsupported ActionStatus = 3
)

// Request is the payload of a HandshakeRequest.
type Request struct {
	AgentVersion string
	Actions      []RequestedAction `json:"RequestedClientActions"`
}

// RequestedAction is one thing that the agent asks of the client.
type RequestedAction struct {
	ActionType string
	Parameters json.RawMessage `json:"ActionParameters"`
}

// SessionType is the parameter of the action SessionType.
type SessionType struct {
	SessionType string
	Properties  json.RawMessage
}

// PortProperties are the properties of a port session as far as they matter
// here. The others are whatever the document has, not always texts.
type PortProperties struct {
	Type string `json:"type"`
}

// Response is the payload of a HandshakeResponse: one processed action for
// each requested one.
type Response struct {
	ClientVersion string
	Actions       []ProcessedAction `json:"ProcessedClientActions"`
	Errors        []string
}

// ProcessedAction answers a RequestedAction.
type ProcessedAction struct {
	ActionType   string
	ActionStatus ActionStatus
	ActionResult json.RawMessage // null for SessionType
	Error        string
}

// Complete is the payload of a HandshakeComplete.
type Complete struct {
	CustomerMessage string
}

// DecodeRequest reads the payload of a HandshakeRequest.
func DecodeRequest(payload []byte) (Request, error) {
	var r Request
	if err := json.Unmarshal(payload, &r); err != nil {
		return Request{}, fmt.Errorf("handshake request: %w", err)
	}
	return r, nil
}

// DecodeSessionType reads the parameter of the action SessionType and, when
// there are some, the properties of a port session. Properties of another
// shape are not an error: only port sessions have these.
func DecodeSessionType(parameters []byte) (SessionType, PortProperties, error) {
	var t SessionType
	var p PortProperties
	if err := json.Unmarshal(parameters, &t); err != nil {
		return t, p, fmt.Errorf("session type: %w", err)
	}
	if t.SessionType != SessionTypePort || len(t.Properties) == 0 {
		return t, p, nil
	}
	if err := json.Unmarshal(t.Properties, &p); err != nil {
		return t, p, fmt.Errorf("port properties: %w", err)
	}
	return t, p, nil
}

// DecodeComplete reads the payload of a HandshakeComplete.
func DecodeComplete(payload []byte) (Complete, error) {
	var c Complete
	if err := json.Unmarshal(payload, &c); err != nil {
		return Complete{}, fmt.Errorf("handshake complete: %w", err)
	}
	return c, nil
}

package session

import (
	"encoding/json"
	"time"

	"github.com/taccoform/packer-plugin-ssm/session/internal/agentmsg"
)

// popAcknowledgement encodes the first of a queue and takes it off.
func popAcknowledgement(queue *[]agentmsg.Acknowledge, now time.Time) ([]byte, error) {
	frame, err := acknowledgement(&(*queue)[0], now)
	if *queue = (*queue)[1:]; len(*queue) == 0 {
		*queue = nil
	}
	return frame, err
}

// acknowledgement encodes a. It is outside the numbered stream.
func acknowledgement(a *agentmsg.Acknowledge, now time.Time) ([]byte, error) {
	payload, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	m := agentmsg.Message{
		Type: agentmsg.TypeAcknowledge, Created: uint64(now.UnixMilli()), ID: newID(),
		Flags: agentmsg.SYN | agentmsg.FIN, PayloadType: agentmsg.None, Payload: payload,
	}
	return m.Append(make([]byte, 0, agentmsg.Overhead+len(payload)))
}

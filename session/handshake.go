package session

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/taccoform/packer-plugin-ssm/session/internal/agentmsg"
)

// reply is the answer to a handshake request.
type reply struct {
	payload []byte // the HandshakeResponse
	refusal error  // what was not supported: the agent is likely to end the session for it
	useless error  // why this session is of no use, whatever the agent makes of the answer
	agent   version
}

// respond answers a handshake request: one processed action for each
// requested one.
func respond(payload []byte, clientVersion string) (reply, error) {
	request, err := agentmsg.DecodeRequest(payload)
	if err != nil {
		return reply{}, err
	}
	r := reply{useless: errors.New("agent did not say which type of session this is"), agent: parseVersion(request.AgentVersion)}
	response := agentmsg.Response{ClientVersion: clientVersion}
	for _, action := range request.Actions {
		err := process(action, request.AgentVersion)
		if action.ActionType == agentmsg.ActionSessionType {
			r.useless = err
		}
		done := agentmsg.ProcessedAction{ActionType: action.ActionType, ActionStatus: agentmsg.Success}
		if err != nil {
			done.ActionStatus, done.Error = agentmsg.Unsupported, err.Error()
			response.Errors = append(response.Errors, err.Error())
			r.refusal = errors.Join(r.refusal, err)
		}
		response.Actions = append(response.Actions, done)
	}
	r.payload, err = json.Marshal(response)
	return r, err
}

// process does what the agent asks for, or says why not.
func process(action agentmsg.RequestedAction, agentVersion string) error {
	switch action.ActionType {
	case agentmsg.ActionSessionType:
		return checkSessionType(action.Parameters, agentVersion)
	case agentmsg.ActionKMSEncryption:
		return errors.New("encryption (KMS) is not supported in port sessions, which agents never encrypt")
	default:
		return fmt.Errorf("action %q is not supported", action.ActionType)
	}
}

// checkSessionType says why a session cannot be multiplexed.
func checkSessionType(parameters []byte, agentVersion string) error {
	kind, port, err := agentmsg.DecodeSessionType(parameters)
	switch {
	case err != nil:
		return err
	case kind.SessionType != agentmsg.SessionTypePort:
		return fmt.Errorf("session of type %q is no port session; start it with the document AWS-StartPortForwardingSession", kind.SessionType)
	case port.Type != agentmsg.PortTypeLocal:
		return fmt.Errorf("port session of type %q is not multiplexed; start it with the document AWS-StartPortForwardingSession", port.Type)
	case !parseVersion(agentVersion).after(lastSingle):
		return fmt.Errorf("agent %s is too old to multiplex; update it to 3.0.222 or later, by Run Command with the document AWS-UpdateSSMAgent", agentVersion)
	}
	return nil
}

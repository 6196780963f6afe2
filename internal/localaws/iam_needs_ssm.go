package localaws

import (
	"encoding/json"
	"strings"
)

// ssmTargets is what of an SSM call's body its permissions depend on.
type ssmTargets struct {
	Target       string
	DocumentName string
	InstanceIds  []string //nolint:revive // the name on the wire
	SessionID    string   `json:"SessionId"`
	Name         string
	Path         string
	Names        []string
	Tags         []json.RawMessage
	Targets      []json.RawMessage
	ResourceType string
	ResourceID   string `json:"ResourceId"`
}

// ssmPermissions is the action on the instances and the document of a command
// or session, on the session itself, or on the parameters that are named.
func ssmPermissions(c *call, action string) []Permission {
	var in ssmTargets
	if err := json.Unmarshal(c.body, &in); err != nil {
		return []Permission{{action, "*"}} // the operation refuses it
	}
	needed := in.permissions(c, action)
	if len(in.Tags) > 0 && len(needed) > 0 && c.action != "AddTagsToResource" {
		needed = append(needed, Permission{"ssm:AddTagsToResource", needed[0].Resource})
	}
	return needed
}

func (in *ssmTargets) permissions(c *call, action string) []Permission {
	switch c.action {
	case "SendCommand":
		if len(in.Targets) > 0 {
			return onInstances(c, action, in.DocumentName, []string{"*"})
		}
		return onInstances(c, action, in.DocumentName, in.InstanceIds)
	case "StartSession":
		return onInstances(c, action, in.DocumentName, []string{in.Target})
	case "ResumeSession", "TerminateSession":
		return []Permission{{action, "arn:aws:ssm:" + c.region + ":" + c.caller.account + ":session/" + in.SessionID}}
	case "GetParameter", "PutParameter", "DeleteParameter", "GetParameterHistory", "LabelParameterVersion", "UnlabelParameterVersion":
		return []Permission{{action, c.ownParameterARN(in.Name)}}
	case "GetParameters", "DeleteParameters":
		var needed []Permission
		for _, name := range in.Names {
			needed = append(needed, Permission{action, c.ownParameterARN(name)})
		}
		return needed
	case "GetDocument", "DescribeDocument", "DeleteDocument", "UpdateDocument", "CreateDocument":
		return []Permission{{action, c.documentARN(in.Name)}}
	case "AddTagsToResource", "ListTagsForResource", "RemoveTagsFromResource":
		if in.ResourceType == "Document" {
			return []Permission{{action, c.documentARN(in.ResourceID)}}
		}
		if in.ResourceType == "Parameter" {
			return []Permission{{action, c.ownParameterARN(in.ResourceID)}}
		}
	case "GetParametersByPath":
		return []Permission{{action, c.ownParameterARN(in.Path)}}
	case "GetConnectionStatus":
		return []Permission{{action, c.ec2ARN("instance", in.Target)}}
	}
	return []Permission{{action, "*"}}
}

// onInstances asks about the document, unless it is the default one, and about
// the instances.
func onInstances(c *call, action, document string, instances []string) []Permission {
	var needed []Permission
	if document != "" {
		needed = append(needed, Permission{action, c.documentARN(document)})
	}
	for _, id := range instances {
		needed = append(needed, Permission{action, c.ec2ARN("instance", id)})
	}
	return needed
}

// documentARN is a document's ARN; AWS's own belong to no account.
func (c *call) documentARN(name string) string {
	if strings.HasPrefix(name, "arn:") {
		return name
	}
	account := c.caller.account
	if strings.HasPrefix(name, "AWS-") || strings.HasPrefix(name, "Amazon") {
		account = ""
	}
	return "arn:aws:ssm:" + c.region + ":" + account + ":document/" + name
}

// ownParameterARN is a parameter's ARN; AWS's public ones belong to no account.
func (c *call) ownParameterARN(name string) string {
	if strings.HasPrefix(name, "arn:") {
		return name
	}
	name, _, _ = strings.Cut(name, ":") // a version or label
	account := c.caller.account
	if strings.HasPrefix(name, "/aws/service/") {
		account = ""
	}
	return "arn:aws:ssm:" + c.region + ":" + account + ":parameter/" + strings.TrimPrefix(name, "/")
}

// kmsPermissions is the action on the key that the call names, by whatever of
// its names. A key that is not there is the operation's to refuse.
func (s *Server) kmsPermissions(c *call, action string) []Permission {
	var in struct {
		KeyID       string `json:"KeyId"`
		TargetKeyID string `json:"TargetKeyId"`
		GrantToken  string // of RetireGrant
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return []Permission{{action, "*"}}
	}
	for _, name := range []string{in.KeyID, in.TargetKeyID} {
		if key := s.kmsKey(c.caller.account, c.region, name); name != "" && key != nil {
			return []Permission{{action, key.ARN}}
		}
	}
	if key, _ := s.grantOf(c, in.GrantToken); key != nil {
		return []Permission{{action, key.ARN}}
	}
	return []Permission{{action, "*"}}
}

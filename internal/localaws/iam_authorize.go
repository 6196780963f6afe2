package localaws

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// permit refuses a call that its caller's policies do not allow, as the
// service refuses it. Every permission that the call needs must be allowed on
// every resource. Server.mu is held.
func (s *Server) permit(c *call) error {
	if c.service == "iam" && c.caller.user != "" && strings.HasPrefix(c.caller.accessKeyID, "ASIA") {
		// GetSessionToken's credentials without a second factor can't call IAM
		return refuseSignature("iam", sigFaultf(sigUnknownKey, "The security token included in the request is invalid"))
	}
	context := s.contextOfCall(c)
	needs := s.needsOf(c)
	for _, n := range needs {
		c.needed = append(c.needed, n.Permission)
	}
	c.needed = slices.Compact(c.needed)
	for _, n := range needs {
		q := question{action: n.Action, resource: n.Resource, context: maps.Clone(context)}
		maps.Copy(q.context, s.resourceKeys(c, n.Resource))
		maps.Copy(q.context, n.keys)
		if why := s.iam.decideAny(c.caller, q, c.now); why != "" && (strings.Contains(why, "explicit deny") || !s.granted(c, q)) {
			return c.deny(q, why)
		}
		if s.keptFrom(c, q) {
			return c.deny(q, "because no resource-based policy allows the "+q.action+" action")
		}
	}
	return nil
}

// mayDo says whether a principal's policies allow an action on a resource, for
// what is no API call: opening a data channel. Server.mu is held.
func (s *Server) mayDo(who principal, region, action, resource string) bool {
	now := s.clock.Now()
	q := question{action: action, resource: resource, context: contextOf(who, now)}
	q.context["aws:requestedregion"] = []string{region}
	return s.iam.decideAny(who, q, now) == ""
}

// decideAny decides about a resource, or about the same session under the name
// that policies with ${aws:userid} know it by. Session ids begin with the
// user's or the role session's name, while the user id is another thing; AWS
// documents policies of both kinds for one's own sessions.
func (st *iamState) decideAny(who principal, q question, now time.Time) string {
	why := st.decide(who, q, now)
	before, id, isSession := strings.Cut(q.resource, ":session/")
	suffix, own := strings.CutPrefix(id, nameOf(who.arn)+"-")
	if why == "" || !isSession || !own || strings.Contains(why, "explicit deny") {
		return why
	}
	q.resource = before + ":session/" + who.userID + "-" + suffix
	if st.decide(who, q, now) == "" {
		return ""
	}
	return why
}

// decide is why a principal may not do what it asks; empty when it may.
func (st *iamState) decide(who principal, q question, now time.Time) string {
	g := st.grantsOf(who)
	if g == nil {
		return "because no identity-based policy allows the " + q.action + " action"
	}
	identity := g.documents(st, now, 0)
	switch evaluate(q, identity) {
	case denied:
		return "with an explicit deny in an identity-based policy"
	case silent:
		return "because no identity-based policy allows the " + q.action + " action"
	case allowed:
	}
	if g.boundary != "" {
		switch evaluate(q, st.boundaryOf(g)) {
		case denied:
			return "with an explicit deny in a permissions boundary"
		case silent:
			return "because no permissions boundary allows the " + q.action + " action"
		case allowed:
		}
	}
	if len(who.sessions) > 0 {
		switch evaluate(q, who.sessions) {
		case denied:
			return "with an explicit deny in a session policy"
		case silent:
			return "because no session policy allows the " + q.action + " action"
		case allowed:
		}
	}
	return ""
}

// grantsOf is what the principal's user or role has; nil when it is gone.
func (st *iamState) grantsOf(who principal) *grants {
	account := st.accounts[who.account]
	if account == nil {
		return nil
	}
	if who.user != "" {
		if user := account.users[who.user]; user != nil {
			return &user.grants
		}
		return nil
	}
	if role := account.roles[who.role]; role != nil && strings.HasPrefix(who.userID, role.id+":") {
		return &role.grants
	}
	return nil
}

func (st *iamState) boundaryOf(g *grants) []*policyDocument {
	if policy := st.policy(g.boundary); policy != nil {
		return []*policyDocument{policy.doc}
	}
	return nil
}

// contextOf is the condition keys that every request of a principal has.
func contextOf(who principal, now time.Time) map[string][]string {
	context := map[string][]string{
		"aws:principalarn":     {who.arn},
		"aws:principalaccount": {who.account},
		"aws:userid":           {who.userID},
		"aws:currenttime":      {now.Format(time.RFC3339)},
		"aws:securetransport":  {"true"}, // stands in for AWS's endpoints, which have no other
		"aws:sourceip":         {"127.0.0.1"},
		"aws:principaltype":    {"AssumedRole"},
		"aws:epochtime":        {strconv.FormatInt(now.Unix(), 10)},
		"aws:viaawsservice":    {"false"},

		"aws:principalisawsservice": {"false"},
	}
	if strings.HasPrefix(who.accessKeyID, "ASIA") {
		context["aws:multifactorauthpresent"] = []string{"false"} // long-term keys do not have the key at all
	}
	if who.user != "" {
		context["aws:username"] = []string{who.user}
		context["aws:principaltype"] = []string{"User"}
	} else {
		context["aws:principalarn"] = []string{roleARN(who)}
	}
	for key, values := range who.tags {
		context["aws:principaltag/"+strings.ToLower(key)] = values
	}
	return context
}

// roleARN is the role behind an assumed-role ARN, without its path, as
// aws:PrincipalArn has it.
func roleARN(who principal) string {
	return "arn:aws:iam::" + who.account + ":role/" + who.role
}

// deny words a refusal by policy as the service does.
func (c *call) deny(q question, why string) *apiError {
	text := "User: " + c.caller.arn + " is not authorized to perform: " + q.action
	if q.resource != "*" {
		text += " on resource: " + q.resource
	}
	if why != "" {
		text += " " + why
	}
	switch c.service {
	case "ec2":
		return &apiError{
			code: "UnauthorizedOperation",
			message: "You are not authorized to perform this operation. " + text +
				". Encoded authorization failure message: " + encodeAuthorization(c.caller, q, why),
			status: http.StatusForbidden,
		}
	case "iam", "sts":
		return &apiError{code: "AccessDenied", message: text, status: http.StatusForbidden}
	default:
		return &apiError{code: "AccessDeniedException", message: text, status: http.StatusBadRequest}
	}
}

func (s *Server) denyByFault(c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.needed = s.permissionsOf(c)
	q := question{action: c.service + ":" + c.action, resource: "*"}
	for _, p := range c.needed { // the call's own permission, not that to tag what it makes
		if p.Action == q.action {
			q.resource = p.Resource
			break
		}
	}
	return c.deny(q, "with an explicit deny in a service control policy")
}

// Lists in a decoded authorization message.
type (
	authorizationItems[T any] struct {
		Items []T `json:"items"`
	}
	authorizationCondition struct {
		Key    string                                `json:"key"`
		Values authorizationItems[map[string]string] `json:"values"`
	}
)

// messageKey seals encoded messages, so that no other text is taken for one.
var messageKey = newSecret(40)

// sealed is a message with what proves that it is from here.
func sealed(message string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(hex.EncodeToString(hmacSHA256([]byte(messageKey), message)) + message))
}

// unsealed reads a sealed message.
func unsealed(text string) (string, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) < 2*sha256.Size {
		return "", false
	}
	message := string(raw[2*sha256.Size:])
	return message, sealed(message) == text
}

// encodeAuthorization is what DecodeAuthorizationMessage reads.
func encodeAuthorization(who principal, q question, why string) string {
	conditions := authorizationItems[authorizationCondition]{Items: []authorizationCondition{}}
	for _, key := range slices.Sorted(maps.Keys(q.context)) {
		condition := authorizationCondition{Key: key}
		for _, value := range q.context[key] {
			condition.Values.Items = append(condition.Values.Items, map[string]string{"value": value})
		}
		conditions.Items = append(conditions.Items, condition)
	}
	none := authorizationItems[struct{}]{Items: []struct{}{}}
	text, err := json.Marshal(map[string]any{
		"allowed":           false,
		"explicitDeny":      strings.Contains(why, "explicit deny"),
		"matchedStatements": none,
		"failures":          none,
		"context": map[string]any{
			"principal":  map[string]string{"id": who.userID, "arn": who.arn},
			"action":     q.action,
			"resource":   q.resource,
			"conditions": conditions,
		},
	})
	if err != nil {
		return ""
	}
	return sealed(string(text))
}

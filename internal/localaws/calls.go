package localaws

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Call is one API call as the log has it. It holds no secret: contents of
// user data, of parameters and of commands, and tokens are replaced by their
// length.
type Call struct {
	Time       time.Time     `json:"time"`
	Elapsed    time.Duration `json:"elapsed_ns"`
	Service    string        `json:"service"` // "ec2"
	Action     string        `json:"action"`  // "RunInstances"
	Region     string        `json:"region"`
	Account    string        `json:"account,omitempty"`
	Caller     string        `json:"caller,omitempty"` // ARN of the principal
	RequestID  string        `json:"request_id"`
	DryRun     bool          `json:"dry_run,omitempty"`
	Resources  []string      `json:"resources,omitempty"` // ids and ARNs in the parameters and, of calls that change something, in the answer
	Permission []Permission  `json:"permissions,omitempty"`
	Parameters string        `json:"parameters,omitempty"` // redacted, as JSON
	Code       string        `json:"code,omitempty"`       // of the error; empty when it succeeded
}

// A Permission is an IAM action on a resource that a call needed.
type Permission struct {
	Action   string `json:"action"`
	Resource string `json:"resource"`
}

type callLog struct {
	mu    sync.Mutex
	calls []Call
	tell  func(Call)
}

// Calls is every API call so far, in the order in which they were answered.
func (s *Server) Calls() []Call {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	return slices.Clone(s.calls.calls)
}

func (s *Server) logCall(c *call, started time.Time, err error) Call {
	entry := Call{
		Time:       started.UTC(),
		Elapsed:    s.clock.now().Sub(started),
		Service:    c.service,
		Action:     c.action,
		Region:     c.region,
		Account:    c.caller.account,
		Caller:     c.caller.arn,
		RequestID:  c.requestID,
		Permission: c.needed,
	}
	parameters := c.parameters()
	entry.DryRun = parameters["DryRun"] == "true"
	entry.Parameters = redacted(parameters)
	entry.Resources = resourceIDs(c, parameters)
	if err != nil {
		entry.Code = apiErrorOf(err).code
	}
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	s.calls.calls = append(s.calls.calls, entry)
	if s.calls.tell != nil {
		s.calls.tell(entry)
	}
	return entry
}

// parameters are a call's parameters by their path: "Filter.1.Name" in the
// query protocol, "Targets.0.Key" in the JSON one.
func (c *call) parameters() map[string]string {
	flat := map[string]string{}
	for name, values := range c.form {
		if name != "Action" && name != "Version" && len(values) > 0 {
			flat[name] = values[0]
		}
	}
	var sent any
	if len(c.body) > 0 && json.Unmarshal(c.body, &sent) == nil {
		flatten(flat, "", sent)
	}
	return flat
}

// secretParameters are the names, anywhere in a parameter's path, whose
// contents the log leaves out.
var secretParameters = regexp.MustCompile(`(?i)UserData|Token(Value|Code)?$|Password|Secret|Plaintext|CiphertextBlob|^Value$|KeyMaterial|SerialNumber|^Parameters\.|PresignedUrl`)

// secretNames keeps what secretParameters says of a name: names come again with every call.
var secretNames sync.Map

// secret says whether the log leaves out what a parameter of this name holds.
func secret(name string) bool {
	if known, ok := secretNames.Load(name); ok {
		return known == true
	}
	is := secretParameters.MatchString(name)
	secretNames.Store(name, is)
	return is
}

// redacted is the parameters as a JSON object without secrets.
func redacted(parameters map[string]string) string {
	if len(parameters) == 0 {
		return ""
	}
	clean := maps.Clone(parameters)
	for name, value := range clean {
		if secret(name) {
			clean[name] = "(" + lengthOf(value) + ")"
		}
	}
	text, err := json.Marshal(clean)
	if err != nil {
		return ""
	}
	return string(text)
}

var resourcePattern = regexp.MustCompile(`\b(?:i|ami|snap|vol|sg|sgr|subnet|vpc|eni|igw|rtb|key|lt|fleet|eipalloc|eipassoc)-[0-9a-f]{8,17}\b|arn:aws[a-z-]*:[^\s"<>]+`)

// resourceIDs are the ids in the parameters and, where the call may have made
// something, in its answer.
func resourceIDs(c *call, parameters map[string]string) []string {
	var found []string
	for name, value := range parameters {
		if strings.Contains(value, "-") && !secret(name) { // as every id and ARN does
			found = append(found, resourcesIn(value)...)
		}
	}
	if !isRead(c.action) {
		found = append(found, resourcesIn(string(c.result))...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// resourcesIn are the ids and ARNs in a text. The pattern is asked about its words only that may be one.
func resourcesIn(text string) []string {
	var found []string
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r <= ' ' || r == '<' || r == '>' || r == '"' }) {
		if mayHoldID(word) || strings.Contains(word, "arn:") {
			found = append(found, resourcePattern.FindAllString(word, -1)...)
		}
	}
	return found
}

// mayHoldID looks for a hyphen before what may be the digits of an id.
func mayHoldID(word string) bool {
	for at := strings.IndexByte(word, '-'); at >= 0 && at+8 < len(word); {
		if strings.Trim(word[at+1:at+9], "0123456789abcdef") == "" {
			return true
		}
		next := strings.IndexByte(word[at+1:], '-')
		if next < 0 {
			return false
		}
		at += 1 + next
	}
	return false
}

func isRead(action string) bool {
	for _, verb := range []string{"Describe", "Get", "List", "Lookup", "Simulate", "Decode", "Generate", "Decrypt"} {
		if strings.HasPrefix(action, verb) {
			return true
		}
	}
	return false
}

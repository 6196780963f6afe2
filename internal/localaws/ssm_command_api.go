package localaws

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

var (
	managedPattern = regexp.MustCompile(`^(i-([0-9a-zA-Z_]{8}|[0-9a-zA-Z_]{17})|mi-[0-9a-zA-Z_]{17})$`)
	concurrency    = regexp.MustCompile(`^([1-9][0-9]*|[1-9][0-9]%|[1-9]%|100%)$`)
	errorLimit     = regexp.MustCompile(`^([1-9][0-9]*|[0]|[1-9][0-9]%|[0-9]%|100%)$`)
)

const (
	defaultCommandTimeout = time.Hour
	maxParametersSize     = 64 << 10 // bytes of a command's parameters, as JSON
)

func ssmCommandOperations() map[string]operation {
	return map[string]operation{
		"CancelCommand":          jsonOp(cancelCommand),
		"GetCommandInvocation":   jsonOp(getCommandInvocation),
		"ListCommandInvocations": jsonOp(listCommandInvocations),
		"ListCommands":           jsonOp(listCommands),
		"SendCommand":            jsonOp(sendCommand),
	}
}

type sendCommandIn struct {
	InstanceIDs        []string                `json:"InstanceIds"`
	Targets            []ssmTarget             `json:"Targets"`
	DocumentName       string                  `json:"DocumentName" required:"true"`
	DocumentVersion    *string                 `json:"DocumentVersion"`
	DocumentHash       *string                 `json:"DocumentHash"`
	DocumentHashType   *string                 `json:"DocumentHashType"`
	TimeoutSeconds     *int64                  `json:"TimeoutSeconds"`
	Comment            *string                 `json:"Comment"`
	Parameters         map[string][]string     `json:"Parameters"`
	OutputS3Region     *string                 `json:"OutputS3Region"`
	OutputS3BucketName *string                 `json:"OutputS3BucketName"`
	OutputS3KeyPrefix  *string                 `json:"OutputS3KeyPrefix"`
	MaxConcurrency     *string                 `json:"MaxConcurrency"`
	MaxErrors          *string                 `json:"MaxErrors"`
	CloudWatchOutput   *cloudWatchOutputConfig `json:"CloudWatchOutputConfig"`
}

type ssmTarget struct {
	Key    string   `json:"Key"`
	Values []string `json:"Values"`
}

type cloudWatchOutputConfig struct {
	Group   string `json:"CloudWatchLogGroupName"`
	Enabled bool   `json:"CloudWatchOutputEnabled"`
}

type sendCommandOut struct {
	Command commandView `json:"Command"`
}

func sendCommand(c *call, in *sendCommandIn) (*sendCommandOut, error) {
	if err := in.checkShape(c); err != nil {
		return nil, err
	}
	d := c.document(in.DocumentName)
	if d == nil || d.kind != "Command" {
		return nil, noDocument(in.DocumentName)
	}
	if err := in.checkDocument(d); err != nil {
		return nil, err
	}
	parameters, err := d.resolve(in.Parameters)
	if err != nil {
		return nil, refuse("InvalidParameters", "%s", upperFirst(err.Error()))
	}
	agents, err := in.agents(c)
	if err != nil {
		return nil, err
	}
	command := newCommand(c, d, in, parameters)
	for _, a := range agents {
		command.instances = append(command.instances, a.instance.ID)
		command.invocations[a.instance.ID] = c.server.invoke(command, a)
	}
	c.ssm().commands[command.id] = command
	return &sendCommandOut{command.view()}, nil
}

func newCommand(c *call, d *ssmDocument, in *sendCommandIn, parameters map[string][]string) *ssmCommand {
	timeout := defaultCommandTimeout
	if in.TimeoutSeconds != nil {
		timeout = time.Duration(*in.TimeoutSeconds) * time.Second
	}
	return &ssmCommand{
		id: uuid.NewString(), document: d, in: in, parameters: parameters, requested: c.now, expires: c.now.Add(timeout),
		invocations: map[string]*ssmInvocation{},
	}
}

// checkShape refuses what the service model does not allow.
func (in *sendCommandIn) checkShape(c *call) error {
	switch {
	case deref(in.OutputS3BucketName) != "":
		return notHere("S3, where OutputS3BucketName puts a command's output")
	case in.CloudWatchOutput != nil && in.CloudWatchOutput.Enabled:
		return notHere("CloudWatch Logs, where CloudWatchOutputConfig puts a command's output")
	case len(in.InstanceIDs) == 0 && len(in.Targets) == 0:
		return refuse("ValidationException", "Either InstanceIds or Targets must be specified")
	case len(in.InstanceIDs) > 0 && len(in.Targets) > 0:
		return refuse("ValidationException", "InstanceIds and Targets can't both be specified")
	case len(in.InstanceIDs) > 50:
		return c.unfit("Value at 'instanceIds' failed to satisfy constraint: Member must have length less than or equal to 50")
	case len(in.Targets) > 5:
		return c.unfit("Value at 'targets' failed to satisfy constraint: Member must have length less than or equal to 5")
	case in.TimeoutSeconds != nil && *in.TimeoutSeconds < 30:
		return c.unfit("Value '%d' at 'timeoutSeconds' failed to satisfy constraint: Member must have value greater than or equal to 30", *in.TimeoutSeconds)
	case in.TimeoutSeconds != nil && *in.TimeoutSeconds > 2592000:
		return c.unfit("Value '%d' at 'timeoutSeconds' failed to satisfy constraint: Member must have value less than or equal to 2592000", *in.TimeoutSeconds)
	case utf8.RuneCountInString(deref(in.Comment)) > 100:
		return c.unfit("Value at 'comment' failed to satisfy constraint: Member must have length less than or equal to 100")
	case in.MaxConcurrency != nil && !concurrency.MatchString(*in.MaxConcurrency):
		return c.unfit("Value '%s' at 'maxConcurrency' failed to satisfy constraint: Member must satisfy regular expression pattern: %s", *in.MaxConcurrency, concurrency)
	case in.MaxErrors != nil && !errorLimit.MatchString(*in.MaxErrors):
		return c.unfit("Value '%s' at 'maxErrors' failed to satisfy constraint: Member must satisfy regular expression pattern: %s", *in.MaxErrors, errorLimit)
	}
	for _, id := range in.InstanceIDs {
		if !managedPattern.MatchString(id) {
			return c.unfit("Value '[%s]' at 'instanceIds' failed to satisfy constraint: Member must satisfy regular expression pattern: (^i-(\\w{8}|\\w{17})$)|(^mi-\\w{17}$)", id)
		}
	}
	return in.checkSize()
}

func (in *sendCommandIn) checkSize() error {
	text, err := json.Marshal(in.Parameters)
	if err != nil {
		return err
	}
	if len(text) > maxParametersSize {
		return refuse("MaxDocumentSizeExceeded", "The size of the document with its parameters, %d bytes, is more than %d", len(text), maxParametersSize)
	}
	return nil
}

func (in *sendCommandIn) checkDocument(d *ssmDocument) error {
	if err := checkDocumentVersion(d, in.DocumentVersion); err != nil {
		return err
	}
	if in.DocumentHash != nil && deref(in.DocumentHashType) != "Sha1" && !strings.EqualFold(*in.DocumentHash, d.hash()) {
		return refuse("InvalidDocument", "The document hash does not match")
	}
	return nil
}

// agents are those that the command goes to.
func (in *sendCommandIn) agents(c *call) ([]*ssmAgent, error) {
	if len(in.Targets) > 0 {
		return targeted(c, in.Targets)
	}
	var agents []*ssmAgent
	var unknown []string
	for n, id := range in.InstanceIDs {
		if slices.Contains(in.InstanceIDs[:n], id) {
			return nil, refuse("DuplicateInstanceId", "Instance %s is given twice", id)
		}
		if a := c.ssm().agents[id]; a.online() {
			agents = append(agents, a)
		} else {
			unknown = append(unknown, id)
		}
	}
	if len(unknown) > 0 {
		return nil, refuse("InvalidInstanceId", "Instances [[%s]] not in a valid state for account %s", strings.Join(unknown, ", "), c.caller.account)
	}
	return agents, nil
}

// targeted are the online instances that every target asks for; none is no error.
func targeted(c *call, targets []ssmTarget) ([]*ssmAgent, error) {
	for _, t := range targets {
		if !strings.EqualFold(t.Key, "InstanceIds") && !strings.HasPrefix(t.Key, "tag:") && t.Key != "tag-key" {
			return nil, refuse("InvalidTarget", "The target key %s is not valid", t.Key)
		}
	}
	var agents []*ssmAgent
	for _, a := range sortedValues(c.ssm().agents) {
		fits := !slices.ContainsFunc(targets, func(t ssmTarget) bool {
			if strings.EqualFold(t.Key, "InstanceIds") {
				return !slices.Contains(t.Values, a.instance.ID)
			}
			return !c.server.taggedAs(a.instance, t.Key, t.Values)
		})
		if a.online() && fits {
			agents = append(agents, a)
		}
	}
	return agents, nil
}

type cancelCommandIn struct {
	CommandID   string   `json:"CommandId" required:"true"`
	InstanceIDs []string `json:"InstanceIds"`
}

// cancelCommand asks for the end of a command; one that has ended is left as it is.
func cancelCommand(c *call, in *cancelCommandIn) (*struct{}, error) {
	command, err := c.command(in.CommandID)
	if err != nil {
		return nil, err
	}
	for _, id := range in.InstanceIDs {
		if command.invocations[id] == nil {
			return nil, refuse("InvalidInstanceId", "Instance %s is not one of the command's", id)
		}
	}
	for id, i := range command.invocations {
		if i.finished() || len(in.InstanceIDs) > 0 && !slices.Contains(in.InstanceIDs, id) {
			continue
		}
		i.status, i.details = "Cancelling", "Cancelling"
		i.cancel()
	}
	return &struct{}{}, nil
}

// command finds a command of the caller's account.
func (c *call) command(id string) (*ssmCommand, error) {
	if len(id) != 36 {
		return nil, c.unfit("Value '%s' at 'commandId' failed to satisfy constraint: Member must have length greater than or equal to 36", id)
	}
	command := c.ssm().commands[id]
	if command == nil {
		return nil, refuse("InvalidCommandId", "")
	}
	return command, nil
}

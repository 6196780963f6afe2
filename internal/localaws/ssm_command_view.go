package localaws

import (
	"fmt"
	"slices"
	"time"
)

type commandView struct {
	CommandID             string                 `json:"CommandId"`
	DocumentName          string                 `json:"DocumentName"`
	DocumentVersion       string                 `json:"DocumentVersion"`
	Comment               string                 `json:"Comment"`
	ExpiresAfter          epochSeconds           `json:"ExpiresAfter"`
	Parameters            map[string][]string    `json:"Parameters"`
	InstanceIDs           []string               `json:"InstanceIds"`
	Targets               []ssmTarget            `json:"Targets"`
	RequestedDateTime     epochSeconds           `json:"RequestedDateTime"`
	Status                string                 `json:"Status"`
	StatusDetails         string                 `json:"StatusDetails"`
	OutputS3Region        string                 `json:"OutputS3Region,omitempty"`
	OutputS3BucketName    string                 `json:"OutputS3BucketName"`
	OutputS3KeyPrefix     string                 `json:"OutputS3KeyPrefix"`
	MaxConcurrency        string                 `json:"MaxConcurrency"`
	MaxErrors             string                 `json:"MaxErrors"`
	TargetCount           int                    `json:"TargetCount"`
	CompletedCount        int                    `json:"CompletedCount"`
	ErrorCount            int                    `json:"ErrorCount"`
	DeliveryTimedOutCount int                    `json:"DeliveryTimedOutCount"`
	ServiceRole           string                 `json:"ServiceRole"`
	NotificationConfig    notificationConfig     `json:"NotificationConfig"`
	CloudWatchOutput      cloudWatchOutputConfig `json:"CloudWatchOutputConfig"`
	TimeoutSeconds        int64                  `json:"TimeoutSeconds"`
}

type notificationConfig struct {
	Arn    string   `json:"NotificationArn"`
	Events []string `json:"NotificationEvents"`
	Type   string   `json:"NotificationType"`
}

func (c *ssmCommand) view() commandView {
	status, details := c.status()
	in := c.in
	return commandView{
		CommandID: c.id, DocumentName: c.document.name, DocumentVersion: c.documentVersion(), Comment: deref(in.Comment),
		ExpiresAfter: epochSeconds(c.expires), Parameters: in.Parameters, InstanceIDs: nonNil(in.InstanceIDs), Targets: nonNil(in.Targets),
		RequestedDateTime: epochSeconds(c.requested), Status: status, StatusDetails: details,
		OutputS3Region: deref(in.OutputS3Region), OutputS3BucketName: deref(in.OutputS3BucketName), OutputS3KeyPrefix: deref(in.OutputS3KeyPrefix),
		MaxConcurrency: orElse(in.MaxConcurrency, "50"), MaxErrors: orElse(in.MaxErrors, "0"),
		TargetCount: len(c.instances), CompletedCount: c.count(finalStatuses...), ErrorCount: c.count("Failed", "TimedOut"),
		NotificationConfig: notificationConfig{Events: []string{}}, CloudWatchOutput: deref(in.CloudWatchOutput),
		TimeoutSeconds: orElse(in.TimeoutSeconds, int64(defaultCommandTimeout/time.Second)),
	}
}

func (c *ssmCommand) documentVersion() string { return orElse(c.in.DocumentVersion, "$DEFAULT") }

func orElse[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// nonNil makes a list that is rendered as one even when it is empty.
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

type getCommandInvocationIn struct {
	CommandID  string  `json:"CommandId" required:"true"`
	InstanceID string  `json:"InstanceId" required:"true"`
	PluginName *string `json:"PluginName"`
}

type getCommandInvocationOut struct {
	CommandID              string                 `json:"CommandId"`
	InstanceID             string                 `json:"InstanceId"`
	Comment                string                 `json:"Comment"`
	DocumentName           string                 `json:"DocumentName"`
	DocumentVersion        string                 `json:"DocumentVersion"`
	PluginName             string                 `json:"PluginName"`
	ResponseCode           int                    `json:"ResponseCode"`
	ExecutionStartDateTime string                 `json:"ExecutionStartDateTime"`
	ExecutionElapsedTime   string                 `json:"ExecutionElapsedTime"`
	ExecutionEndDateTime   string                 `json:"ExecutionEndDateTime"`
	Status                 string                 `json:"Status"`
	StatusDetails          string                 `json:"StatusDetails"`
	StandardOutputContent  string                 `json:"StandardOutputContent"`
	StandardOutputURL      string                 `json:"StandardOutputUrl"`
	StandardErrorContent   string                 `json:"StandardErrorContent"`
	StandardErrorURL       string                 `json:"StandardErrorUrl"`
	CloudWatchOutput       cloudWatchOutputConfig `json:"CloudWatchOutputConfig"`
}

func getCommandInvocation(c *call, in *getCommandInvocationIn) (*getCommandInvocationOut, error) {
	if len(in.CommandID) != 36 {
		_, err := c.command(in.CommandID)
		return nil, err
	}
	var i *ssmInvocation
	if command := c.ssm().commands[in.CommandID]; command != nil {
		i = command.invocations[in.InstanceID]
	}
	if i == nil || c.now.Before(i.visible) {
		return nil, refuse("InvocationDoesNotExist", "")
	}
	step, err := i.stepNamed(in.PluginName)
	if err != nil {
		return nil, err
	}
	return i.view(step), nil
}

// stepNamed is the step that a call means: without a name the first, and the only one that there may be.
func (i *ssmInvocation) stepNamed(name *string) (*ssmStepRun, error) {
	if name == nil && len(i.steps) > 1 {
		return &ssmStepRun{code: -1, status: i.status, details: i.details}, nil
	}
	at := slices.IndexFunc(i.steps, func(step *ssmStepRun) bool {
		return name == nil || *name == step.name || *name == step.plugin || *name == withoutColon(step.plugin)
	})
	if at < 0 {
		return nil, refuse("InvalidPluginName", "")
	}
	return i.steps[at], nil
}

func (i *ssmInvocation) view(step *ssmStepRun) *getCommandInvocationOut {
	out := &getCommandInvocationOut{
		CommandID: i.command.id, InstanceID: i.instance, Comment: deref(i.command.in.Comment), DocumentName: i.command.document.name,
		DocumentVersion: i.command.documentVersion(), PluginName: step.pluginName(), ResponseCode: -1,
		Status: i.status, StatusDetails: i.details, CloudWatchOutput: deref(i.command.in.CloudWatchOutput),
	}
	if !step.started.IsZero() {
		out.ExecutionStartDateTime = step.started.Format("2006-01-02T15:04:05.000Z")
	}
	if i.finished() {
		out.ResponseCode, out.StandardOutputContent, out.StandardErrorContent = step.code, step.stdout, step.stderr
		if !step.ended.IsZero() {
			out.ExecutionEndDateTime = step.ended.Format("2006-01-02T15:04:05.000Z")
			out.ExecutionElapsedTime = fmt.Sprintf("PT%gS", step.ended.Sub(step.started).Truncate(time.Millisecond).Seconds())
		}
	}
	return out
}

// pluginName is how the API names a step: by its plugin in documents of the first schema, by its own name in later ones.
func (step *ssmStepRun) pluginName() string {
	if step.name == "0."+withoutColon(step.plugin) {
		return step.plugin
	}
	return step.name
}

type listCommandsIn struct {
	CommandID  *string         `json:"CommandId"`
	InstanceID *string         `json:"InstanceId"`
	MaxResults *int64          `json:"MaxResults"`
	NextToken  *string         `json:"NextToken"`
	Filters    []commandFilter `json:"Filters"`
}

type commandFilter struct {
	Key   string `json:"key" required:"true"`
	Value string `json:"value" required:"true"`
}

type listCommandsOut struct {
	Commands  []commandView `json:"Commands"`
	NextToken *string       `json:"NextToken,omitempty"`
}

func listCommands(c *call, in *listCommandsIn) (*listCommandsOut, error) {
	commands, err := c.commands(in.CommandID, in.InstanceID, in.Filters)
	if err != nil {
		return nil, err
	}
	views := []commandView{}
	for _, command := range commands {
		views = append(views, command.view())
	}
	page, next, err := ssmNextPage(c, views, in.MaxResults, in.NextToken, 50, 50)
	return &listCommandsOut{page, next}, err
}

// commands are those that pass, the newest first.
func (c *call) commands(id, instanceID *string, filters []commandFilter) ([]*ssmCommand, error) {
	var found []*ssmCommand
	for _, command := range c.ssm().commands {
		keep, err := command.passes(filters)
		if err != nil {
			return nil, err
		}
		other := instanceID != nil && !slices.Contains(command.instances, *instanceID)
		if keep && (id == nil || *id == command.id) && !other {
			found = append(found, command)
		}
	}
	if id != nil && len(found) == 0 && len(filters) == 0 && instanceID == nil {
		return nil, refuse("InvalidCommandId", "")
	}
	slices.SortFunc(found, func(a, b *ssmCommand) int { return b.requested.Compare(a.requested) })
	return found, nil
}

func (c *ssmCommand) passes(filters []commandFilter) (bool, error) {
	for _, f := range filters {
		keep, err := c.passesOne(f)
		if err != nil || !keep {
			return false, err
		}
	}
	return true, nil
}

func (c *ssmCommand) passesOne(f commandFilter) (bool, error) {
	switch f.Key {
	case "Status":
		status, _ := c.status()
		return status == f.Value, nil
	case "DocumentName":
		return c.document.name == f.Value, nil
	case "ExecutionStage":
		return (f.Value == "Complete") == c.finished(), nil
	case "InvokedAfter", "InvokedBefore":
		at, err := time.Parse(time.RFC3339, f.Value)
		if err != nil {
			return false, refuse("ValidationException", "%s is not a valid date", f.Value)
		}
		return c.requested.After(at) == (f.Key == "InvokedAfter"), nil
	}
	return false, refuse("InvalidFilterKey", "%s is not a valid filter key", f.Key)
}

type listCommandInvocationsIn struct {
	CommandID  *string         `json:"CommandId"`
	InstanceID *string         `json:"InstanceId"`
	MaxResults *int64          `json:"MaxResults"`
	NextToken  *string         `json:"NextToken"`
	Filters    []commandFilter `json:"Filters"`
	Details    *bool           `json:"Details"`
}

type listCommandInvocationsOut struct {
	CommandInvocations []invocationView `json:"CommandInvocations"`
	NextToken          *string          `json:"NextToken,omitempty"`
}

type invocationView struct {
	CommandID          string                 `json:"CommandId"`
	InstanceID         string                 `json:"InstanceId"`
	InstanceName       string                 `json:"InstanceName"`
	Comment            string                 `json:"Comment"`
	DocumentName       string                 `json:"DocumentName"`
	DocumentVersion    string                 `json:"DocumentVersion"`
	RequestedDateTime  epochSeconds           `json:"RequestedDateTime"`
	Status             string                 `json:"Status"`
	StatusDetails      string                 `json:"StatusDetails"`
	StandardOutputURL  string                 `json:"StandardOutputUrl"`
	StandardErrorURL   string                 `json:"StandardErrorUrl"`
	CommandPlugins     []commandPluginView    `json:"CommandPlugins"`
	ServiceRole        string                 `json:"ServiceRole"`
	NotificationConfig notificationConfig     `json:"NotificationConfig"`
	CloudWatchOutput   cloudWatchOutputConfig `json:"CloudWatchOutputConfig"`
}

type commandPluginView struct {
	Name                   string       `json:"Name"`
	Status                 string       `json:"Status"`
	StatusDetails          string       `json:"StatusDetails"`
	ResponseCode           int          `json:"ResponseCode"`
	ResponseStartDateTime  epochSeconds `json:"ResponseStartDateTime,omitzero"`
	ResponseFinishDateTime epochSeconds `json:"ResponseFinishDateTime,omitzero"`
	Output                 string       `json:"Output"`
	StandardOutputURL      string       `json:"StandardOutputUrl"`
	StandardErrorURL       string       `json:"StandardErrorUrl"`
	OutputS3Region         string       `json:"OutputS3Region"`
	OutputS3BucketName     string       `json:"OutputS3BucketName"`
	OutputS3KeyPrefix      string       `json:"OutputS3KeyPrefix"`
}

func listCommandInvocations(c *call, in *listCommandInvocationsIn) (*listCommandInvocationsOut, error) {
	commands, err := c.commands(in.CommandID, in.InstanceID, in.Filters)
	if err != nil {
		return nil, err
	}
	views := []invocationView{}
	for _, command := range commands {
		for _, id := range command.instances {
			i := command.invocations[id]
			if (in.InstanceID == nil || *in.InstanceID == id) && !c.now.Before(i.visible) {
				views = append(views, i.listed(c, deref(in.Details)))
			}
		}
	}
	page, next, err := ssmNextPage(c, views, in.MaxResults, in.NextToken, 50, 50)
	return &listCommandInvocationsOut{page, next}, err
}

func (i *ssmInvocation) listed(c *call, details bool) invocationView {
	view := invocationView{
		CommandID: i.command.id, InstanceID: i.instance, InstanceName: c.server.tagsOf(i.agent.instance)["Name"], Comment: deref(i.command.in.Comment),
		DocumentName: i.command.document.name, DocumentVersion: i.command.documentVersion(), RequestedDateTime: epochSeconds(i.command.requested),
		Status: i.status, StatusDetails: i.details, CommandPlugins: []commandPluginView{},
		NotificationConfig: notificationConfig{Events: []string{}}, CloudWatchOutput: deref(i.command.in.CloudWatchOutput),
	}
	if !details {
		return view
	}
	for _, step := range i.steps {
		plugin := commandPluginView{
			Name: step.pluginName(), Status: step.status, StatusDetails: step.details, ResponseCode: step.code, OutputS3Region: c.region,
			OutputS3BucketName: deref(i.command.in.OutputS3BucketName), OutputS3KeyPrefix: deref(i.command.in.OutputS3KeyPrefix),
			ResponseStartDateTime: epochSeconds(step.started), ResponseFinishDateTime: epochSeconds(step.ended),
		}
		if i.finished() {
			plugin.Output = pluginOutput(step.stdout, step.stderr)
		}
		view.CommandPlugins = append(view.CommandPlugins, plugin)
	}
	return view
}

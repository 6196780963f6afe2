package localaws

import (
	"context"
	"slices"
	"time"
)

// An ssmCommand is one SendCommand.
type ssmCommand struct {
	id          string
	document    *ssmDocument
	in          *sendCommandIn
	parameters  map[string][]string
	requested   time.Time
	expires     time.Time
	instances   []string
	invocations map[string]*ssmInvocation // by instance id
}

// An ssmInvocation is a command on one instance.
type ssmInvocation struct {
	command  *ssmCommand
	instance string
	agent    *ssmAgent
	visible  time.Time // when GetCommandInvocation knows it
	status   string    // "Pending", "InProgress", "Success", ...
	details  string    // status in more words, without spaces
	steps    []*ssmStepRun
	cancel   context.CancelFunc // ends what runs of it
}

// An ssmStepRun is one step of the document, and how it went.
type ssmStepRun struct {
	documentStep
	status, details string
	code            int // -1 until it has ended
	started, ended  time.Time
	stdout, stderr  string // as the agent reports them: cut
}

var finalStatuses = []string{"Success", "Failed", "TimedOut", "Cancelled"}

func (i *ssmInvocation) finished() bool { return slices.Contains(finalStatuses, i.status) }

func (c *ssmCommand) finished() bool {
	for _, i := range c.invocations {
		if !i.finished() {
			return false
		}
	}
	return true
}

// runs says whether anything of the command may still happen: not on instances that are no more.
func (c *ssmCommand) runs() bool {
	for _, i := range c.invocations {
		if !i.finished() && i.agent.instance.State != "terminated" {
			return true
		}
	}
	return false
}

// status sums up the invocations.
func (c *ssmCommand) status() (status, details string) {
	if len(c.instances) == 0 {
		return "Success", "NoInstancesInTag"
	}
	count := map[string]int{}
	for _, i := range c.invocations {
		count[i.status]++
	}
	switch {
	case count["Pending"] == len(c.invocations):
		return "Pending", "Pending"
	case count["Cancelling"] > 0:
		return "Cancelling", "Cancelling"
	case !c.finished():
		return "InProgress", "InProgress"
	}
	for _, bad := range []string{"Failed", "TimedOut", "Cancelled"} {
		if count[bad] > 0 {
			return bad, c.detailsOf(bad)
		}
	}
	return "Success", "Success"
}

func (c *ssmCommand) detailsOf(status string) string {
	for _, id := range c.instances {
		if i := c.invocations[id]; i.status == status {
			return i.details
		}
	}
	return status
}

// count is how many invocations have one of the statuses.
func (c *ssmCommand) count(statuses ...string) int {
	n := 0
	for _, i := range c.invocations {
		if slices.Contains(statuses, i.status) {
			n++
		}
	}
	return n
}

// A documentStep is one step of a Command document, with parameters resolved.
type documentStep struct {
	plugin  string // "aws:runShellScript"
	name    string // "0.awsrunShellScript" or the step's own
	folder  string // of the agent's files: "awsrunShellScript" or the step's name
	script  []string
	dir     string
	timeout time.Duration
}

// steps are a Command document's, in order.
func (d *ssmDocument) steps(parameters map[string][]string) []documentStep {
	var steps []documentStep
	for plugin, config := range d.parsed.RuntimeConfig {
		list, ok := config.Properties.([]any)
		if !ok {
			list = []any{config.Properties}
		}
		for _, item := range list {
			inputs, _ := substitute(item, parameters, d.lists()).(map[string]any)
			step := newStep(plugin, inputs)
			step.name = "0." + withoutColon(plugin)
			step.folder = withoutColon(plugin)
			steps = append(steps, step)
		}
	}
	for _, main := range d.parsed.MainSteps {
		inputs, _ := substitute(main.Inputs, parameters, d.lists()).(map[string]any)
		step := newStep(main.Action, inputs)
		step.name, step.folder = main.Name, main.Name
		steps = append(steps, step)
	}
	return steps
}

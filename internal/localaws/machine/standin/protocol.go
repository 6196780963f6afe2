// Package standin has the commands that a simulated machine has in place of those that need a real one: systemctl,
// shutdown, yum, rpm and their like. They keep real state, in the machine's own filesystem and in its process 1, answer
// with the words and exit statuses of what they stand in for, and say what they are when asked for their version.
package standin

import (
	"encoding/json"
	"fmt"
	"net"
	"time"
)

const (
	// Path is this program's executable in a machine; the stand-ins are symbolic links to it.
	Path = "/usr/libexec/localaws/machine"
	// AgentPath is the SSM agent's program; without it the machine has no agent.
	AgentPath = "/usr/bin/amazon-ssm-agent"
	// Socket is where process 1 listens for the stand-ins.
	Socket = "/run/localaws.sock"
	// LogDir has what services print, a file each.
	LogDir = "/run/log/units"
)

// An Op is something that process 1 can do.
type Op string

// What process 1 does for the stand-ins. All but OpShow need root.
const (
	OpShow     Op = "show"
	OpStart    Op = "start"
	OpStop     Op = "stop"
	OpRestart  Op = "restart"
	OpReload   Op = "reload"
	OpReboot   Op = "reboot"
	OpPowerOff Op = "poweroff"
	OpCancel   Op = "cancel"
	OpHostname Op = "hostname"
)

// A Request is what a stand-in asks of process 1.
type Request struct {
	Op    Op
	Unit  string        `json:",omitempty"`
	Name  string        `json:",omitempty"`
	After time.Duration `json:",omitempty"` // how long OpReboot and OpPowerOff wait
	Force bool          `json:",omitempty"` // do not stop anything first
}

// A Response is what process 1 answers.
type Response struct {
	Error  string `json:",omitempty"`
	Status Status
}

// A Status is the state of a unit that process 1 runs.
type Status struct {
	Active   string // active, inactive, failed, activating
	Sub      string // running, exited, dead, failed
	PID      int
	ExitCode int
	Since    time.Time
	Log      []string // the last lines that it printed
}

// ask sends r to process 1 and waits for its answer.
func ask(r Request) (Response, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: Socket, Net: "unix"})
	if err != nil {
		return Response{}, fmt.Errorf("process 1 does not answer: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		return Response{}, err
	}
	var answer Response
	if err := json.NewDecoder(conn).Decode(&answer); err != nil {
		return Response{}, fmt.Errorf("process 1 does not answer: %w", err)
	}
	return answer, nil
}

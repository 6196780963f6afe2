// Command localaws runs a simulated AWS on this machine in front of a command,
// or until it is interrupted:
//
//	localaws -- packer build .
//	localaws
//
// The command finds it through AWS_ENDPOINT_URL; the user's own AWS settings
// are kept from the command, so nothing can reach a real account.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

// The exit statuses of localaws itself; otherwise it is the command's.
const (
	statusUsage     = 2
	statusLeftovers = 3 // with -strict
	statusFailed    = 125
	statusNotRun    = 127
)

func main() {
	machine.Main()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if err != nil {
		if errors.Is(err, errHelp) {
			return 0
		}
		fmt.Fprintln(stderr, "localaws:", err)
		return statusUsage
	}
	status, err := o.serve(stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "localaws:", err)
	}
	return status
}

// serve starts the server, runs the command or waits, and tells what is left.
func (o *options) serve(stdout, stderr io.Writer) (status int, err error) {
	closeCalls, err := o.openCalls()
	if err != nil {
		return statusFailed, err
	}
	defer func() { err = errors.Join(err, closeCalls()) }()
	server, err := localaws.Start(context.Background(), o.server)
	if err != nil {
		return statusFailed, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	for _, fault := range o.faults {
		server.Inject(fault)
	}
	if len(o.command) == 0 {
		return 0, wait(server, stdout, stderr)
	}
	status, err = runCommand(o.command, environment(os.Environ(), server.Environ()))
	if err != nil {
		return status, err
	}
	return o.judge(status, server.Leftovers(), stderr), nil
}

// wait prints the settings for a shell and serves until a signal comes.
func wait(server *localaws.Server, stdout, stderr io.Writer) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	for _, setting := range server.Environ() {
		if _, err := fmt.Fprintln(stdout, "export "+setting); err != nil {
			return err
		}
	}
	fmt.Fprintln(stderr, "localaws: serving at", server.URL()+"; paste the lines above into another shell; Ctrl-C ends it")
	<-signals
	report(server.Leftovers(), stderr)
	return nil
}

// judge prints what the command left and decides the exit status.
func (o *options) judge(status int, left []string, stderr io.Writer) int {
	report(left, stderr)
	if o.strict && len(left) > 0 && status == 0 {
		return statusLeftovers
	}
	return status
}

func report(left []string, stderr io.Writer) {
	for _, line := range left {
		fmt.Fprintln(stderr, "localaws: left:", line)
	}
}

// environment is the user's environment with the server's settings in place of
// every setting of AWS's clients. The loopback address needs no proxy.
func environment(users, servers []string) []string {
	var env []string
	noProxy := "127.0.0.1,localhost"
	for _, setting := range users {
		name, value, _ := strings.Cut(setting, "=")
		switch upper := strings.ToUpper(name); {
		case strings.HasPrefix(upper, "AWS_"):
		case upper == "NO_PROXY":
			noProxy = value + "," + noProxy
		default:
			env = append(env, setting)
		}
	}
	env = append(env, "NO_PROXY="+noProxy, "no_proxy="+noProxy)
	return append(env, servers...)
}

// exitStatus is a finished command's status as a shell has it.
func exitStatus(err error) (int, error) {
	if err == nil {
		return 0, nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return statusFailed, err
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return exit.ExitCode(), nil
}

package main

import (
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

// runCommand runs the command with this program's standard files and passes on
// the signals that this program gets.
func runCommand(command, env []string) (status int, err error) {
	cmd := exec.Command(command[0], command[1:]...) //nolint:noctx // it ends by the signals that it is sent
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = env
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, passed...)
	defer signal.Stop(signals)
	runtime.LockOSThread() // Pdeathsig watches the thread that started the command
	defer runtime.UnlockOSThread()
	relays := detach(cmd)
	if err := cmd.Start(); err != nil {
		return statusNotRun, err
	}
	ended := make(chan struct{})
	relayed := make(chan struct{})
	go func() {
		defer close(relayed)
		relay(cmd.Process, signals, relays, ended)
	}()
	err = cmd.Wait()
	close(ended)
	<-relayed
	return exitStatus(err)
}

// relay passes signals to the command until it has ended.
func relay(p *os.Process, signals <-chan os.Signal, relays func(os.Signal) bool, ended <-chan struct{}) {
	for {
		select {
		case sig := <-signals:
			if relays(sig) {
				_ = p.Signal(sig) // it may have ended in between
			}
		case <-ended:
			return
		}
	}
}

var passed = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

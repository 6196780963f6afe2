package main

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// detach decides how signals reach the command. At a terminal the command
// shares the process group, so the terminal itself sends it what is typed, and
// passing that on would make two of one Ctrl-C. Elsewhere it has a group of its
// own and gets all by relay. Either way it ends when this program is killed.
func detach(cmd *exec.Cmd) (relays func(os.Signal) bool) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if atTerminal() {
		return func(sig os.Signal) bool { return sig != os.Interrupt && sig != syscall.SIGQUIT }
	}
	cmd.SysProcAttr.Setpgid = true
	return func(os.Signal) bool { return true }
}

// atTerminal says whether this process is in the foreground of a terminal.
func atTerminal() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close() //nolint:errcheck // nothing was written
	foreground, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && foreground == unix.Getpgrp()
}

//go:build unix

package sandbox

import (
	"os/exec"
	"syscall"
)

// ownGroup keeps a terminal's Ctrl-C from Packer: two interrupts make it give up its clean-up, and it gets one from us.
func ownGroup(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

// interrupt signals the whole group, as a terminal does: Packer's outer process only watches the inner one.
func interrupt(command *exec.Cmd) error {
	return syscall.Kill(-command.Process.Pid, syscall.SIGINT)
}

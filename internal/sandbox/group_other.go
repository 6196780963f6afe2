//go:build !unix

package sandbox

import (
	"os"
	"os/exec"
)

func ownGroup(*exec.Cmd) {}

func interrupt(command *exec.Cmd) error { return command.Process.Signal(os.Interrupt) }

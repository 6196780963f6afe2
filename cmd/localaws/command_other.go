//go:build !linux

package main

import (
	"os"
	"os/exec"
)

// detach leaves the command in this program's process group.
func detach(*exec.Cmd) (relays func(os.Signal) bool) {
	return func(sig os.Signal) bool { return sig != os.Interrupt }
}

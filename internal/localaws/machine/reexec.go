//go:build linux

package machine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine/standin"
)

const (
	selfName   = "localaws-machine" // argv[0] of this program as process 1 or helper
	stageGuest = "guest"
	stageWork  = "work"
	unmapped   = "LOCALAWS_UNMAPPED=1" // in the environment: wait for the id map, then start over as root

	controlFD = 3
	stateFD   = 4
	programFD = 5 // only until the program runs

	// programVariable names the program to execute instead of this one: that of ./helper. A test with the race detector is a
	// hundred megabytes, takes a tenth of a second to start, and a machine starts it again and again.
	programVariable = "LOCALAWS_MACHINE"
)

// These processes end by syscall.Exit: os.Exit waits for a second in a program that was built with -race.

// Main must be called first in main, or TestMain, of a program that makes machines. If the program was executed as
// process 1 of a machine, as a helper or as a command in a machine, Main does that and does not return.
func Main() {
	if exe, err := os.Readlink("/proc/self/exe"); err == nil && exe == standin.Path {
		syscall.Exit(standin.Main(filepath.Base(os.Args[0]), os.Args[1:]))
	}
	if len(os.Args) != 2 || os.Args[0] != selfName {
		return
	}
	if err := becomeRoot(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		syscall.Exit(1)
	}
	switch os.Args[1] {
	case stageGuest:
		syscall.Exit(guestMain())
	case stageWork:
		syscall.Exit(workMain())
	}
}

// becomeRoot waits until the parent has mapped our ids, if it has to. An exec before that lost the capabilities
// of the new user namespace, so another one, as its root, is needed to have them.
func becomeRoot() error {
	_ = unix.Close(programFD)
	unix.CloseOnExec(stateFD) // both are dup'ed into place without the flag
	unix.CloseOnExec(controlFD)
	if len(os.Environ()) == 0 || os.Environ()[0] != unmapped {
		return nil
	}
	var b [1]byte
	if n, err := unix.Read(controlFD, b[:]); n != 1 {
		return fmt.Errorf("parent is gone: %w", errors.Join(err, os.ErrClosed))
	}
	for _, fd := range []int{controlFD, stateFD} {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return err
		}
	}
	return syscall.Exec("/proc/self/exe", os.Args, []string{"LOCALAWS_MAPPED=1"})
}

// A child is this program, or that of programVariable, executed as root of a user namespace.
type child struct {
	cmd  *exec.Cmd
	talk *channel
}

// reexec starts stage with the given namespaces besides the user namespace. state is the child's file 4.
func reexec(ctx context.Context, ids idMap, stage string, namespaces uintptr, state, console *os.File) (*child, error) {
	ours, theirs, err := channelPair()
	if err != nil {
		return nil, err
	}
	defer closeAll(theirs)
	program, err := os.Open(cmp.Or(os.Getenv(programVariable), "/proc/self/exe"))
	if err != nil {
		return nil, errors.Join(err, ours.close())
	}
	defer closeAll(program)
	cmd := exec.CommandContext(ctx, fmt.Sprint("/proc/self/fd/", programFD)) // root of the namespace may have no way to it by name
	cmd.Args = []string{selfName, stage}
	cmd.Env = []string{"LOCALAWS_MAPPED=1"}
	if ids.setuid {
		cmd.Env = []string{unmapped}
	}
	cmd.ExtraFiles = []*os.File{theirs, state, program}
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: namespaces}
	ids.apply(cmd.SysProcAttr)
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(explainStart(err), ours.close())
	}
	c := &child{cmd: cmd, talk: ours}
	if err := c.admit(ctx, ids); err != nil {
		c.kill()
		return nil, err
	}
	return c, nil
}

func (c *child) admit(ctx context.Context, ids idMap) error {
	if !ids.setuid {
		return nil
	}
	if err := ids.write(ctx, c.cmd.Process.Pid); err != nil {
		return err
	}
	_, err := c.talk.conn.Write([]byte{1})
	return err
}

// kill ends the child, and with a process 1 everything in its machine.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // fails only if it has ended
	_ = c.cmd.Wait()         // its status is that it was killed
	_ = c.talk.close()
}

func explainStart(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("user namespaces: %w; raise sysctl user.max_user_namespaces", err)
	}
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("user namespaces: %w; allow them (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0), and in a container run it with --privileged", err)
	}
	return fmt.Errorf("user namespaces: %w", err)
}

//go:build !linux

package machine

import (
	"context"
	"fmt"
	"net"
	"runtime"
)

// Main does nothing here: machines need Linux.
func Main() {}

// A Host is where machines live. It exists on Linux only.
type Host struct{}

// A Machine is one machine. It exists on Linux only.
type Machine struct{}

var errUnsupported = fmt.Errorf("simulated machines are Linux namespaces and this is %s; run it on Linux, or in a Linux virtual machine", runtime.GOOS)

// NewHost returns an error that names what is needed.
func NewHost(context.Context, string) (*Host, error) { return nil, errUnsupported }

// Close does nothing.
func (*Host) Close() error { return nil }

// Base returns an error.
func (*Host) Base(context.Context, Release, string) (LayerID, error) { return "", errUnsupported }

// Create returns an error.
func (*Host) Create(context.Context, Spec) (*Machine, error) { return nil, errUnsupported }

// RemoveLayer returns an error.
func (*Host) RemoveLayer(context.Context, LayerID) error { return errUnsupported }

// Boot returns an error.
func (*Machine) Boot(context.Context) error { return errUnsupported }

// Exec returns an error.
func (*Machine) Exec(context.Context, Command) (int, error) { return -1, errUnsupported }

// Dial returns an error.
func (*Machine) Dial(context.Context, int) (net.Conn, error) { return nil, errUnsupported }

// Halt returns an error.
func (*Machine) Halt(context.Context, bool) error { return errUnsupported }

// Capture returns an error.
func (*Machine) Capture(context.Context) (LayerID, error) { return "", errUnsupported }

// Destroy returns an error.
func (*Machine) Destroy(context.Context) error { return errUnsupported }

// BootID returns "".
func (*Machine) BootID() string { return "" }

// Running reports false.
func (*Machine) Running() bool { return false }

// Console returns an error.
func (*Machine) Console() ([]byte, error) { return nil, errUnsupported }

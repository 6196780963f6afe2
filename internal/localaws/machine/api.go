// Package machine runs real, isolated Linux machines for a simulated EC2.
//
// A machine has namespaces of its own (user, mount, pid, uts, network, ipc), a root filesystem that is a stack of
// read-only layers under a writable one, a process 1 that starts services, runs user data and reaps, and an OpenSSH
// server. Of the host it sees /usr, and nothing else. What it wrote can be captured as a layer, and another machine
// started on that: this is what an AMI is here.
//
// The program that uses the package is its own helper: it is executed again as process 1 of each machine, as the
// stand-ins for systemctl, yum and the like inside, and for work on files that other users of the machine own. So
// [Main] must be the first thing that main, or TestMain, calls. Where that program is heavy to start, as a test with the race
// detector is, LOCALAWS_MACHINE in the environment names one that does nothing else: that of the folder helper.
package machine

import (
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
)

// A Release is a release of Amazon Linux.
type Release string

// The releases that have a base layer.
const (
	AL2    Release = "al2"    // Amazon Linux 2: /tmp is on the disk, yum, amazon-linux-extras
	AL2023 Release = "al2023" // Amazon Linux 2023: /tmp is in memory, dnf

	// The minimal images: the same without the SSM agent, which yum can install.
	AL2Minimal    Release = "al2-minimal"
	AL2023Minimal Release = "al2023-minimal"
)

// Full is the release that a minimal one is of, or the release itself.
func (r Release) Full() Release { return Release(strings.TrimSuffix(string(r), "-minimal")) }

// A LayerID names a read-only layer on its host. It is only valid for the [Host] that made it.
type LayerID string

// A Spec describes a machine to be created.
type Spec struct {
	// ID names the machine; an EC2 instance id. A machine whose disk was last booted under another ID has its
	// first boot again, as cloud-init sees it. It must be a file name and unique among the host's machines.
	ID string

	// Hostname is what the machine is called; ID if empty.
	Hostname string

	// Layers are the disk's read-only layers, the lowest first; what Host.Base and Machine.Capture return.
	// A captured layer holds only what changed, so it goes on top of the layers of the machine it was captured from.
	Layers []LayerID

	// PrivateIP is an IPv4 address that the machine has besides 127.0.0.1; none if it is the zero Addr.
	PrivateIP netip.Addr

	// Metadata is served on 169.254.169.254:80 in the machine while it is up; nothing is if nil.
	Metadata http.Handler

	// UserData is run as root on the first boot when it is a script ("#!"), or a MIME multipart with scripts, gzip'ed or not. It
	// may still run after Boot has returned. What it is not (a cloud-config) is noted in the machine's /var/log/cloud-init.log.
	UserData []byte

	// PublicKeys are put into ec2-user's authorized_keys on the first boot, each one line.
	PublicKeys []string

	// OnHalt is called, from a goroutine of the machine, after the machine has come down by itself: powered off
	// or rebooted from inside, or died. It is not called for Halt and Destroy. It may call any method of the machine:
	// after Rebooted it usually calls Boot.
	OnHalt func(How)
}

// How says how a machine came down by itself.
type How int

// The ways in which a machine comes down by itself.
const (
	PoweredOff How = iota + 1
	Rebooted
	Died // its process 1 ended without either
)

func (h How) String() string {
	switch h {
	case PoweredOff:
		return "powered off"
	case Rebooted:
		return "rebooted"
	case Died:
		return "died"
	}
	return "unknown"
}

// A Command is a program to run in a machine.
type Command struct {
	Path string   // absolute, or looked up in PATH as the machine has it
	Args []string // without the program's name

	// Env is added to PATH, HOME, USER, LOGNAME and SHELL of the user.
	Env []string

	Dir  string // "" is "/" for root and the home directory for others
	User string // "" is root

	// Stdin is at end of file at once if nil; Stdout and Stderr are dropped if nil. If both are the same comparable
	// writer, only one goroutine at a time writes to it. An *os.File is handed over as it is.
	Stdin          io.Reader
	Stdout, Stderr io.Writer

	// Terminal, if not nil, gives the program a terminal instead of pipes. What the program prints goes to
	// Stdout, Stdin is what is typed.
	Terminal *Terminal
}

// A Terminal is the terminal of a Command.
type Terminal struct {
	Rows, Cols uint16
	Type       string           // TERM; "xterm-256color" if empty
	Resize     <-chan [2]uint16 // rows, cols; may be nil
}

var (
	// ErrDown is returned by what needs a running machine of one that is not.
	ErrDown = errors.New("machine is not running")
	// ErrDestroyed is returned by a machine, or host, whose disk is gone.
	ErrDestroyed = errors.New("machine is destroyed")
)

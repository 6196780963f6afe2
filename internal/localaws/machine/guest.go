//go:build linux

package machine

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The exit statuses of process 1 tell the host how the machine came down.
const (
	exitPoweredOff = 20
	exitRebooted   = 21
	exitHalted     = 22 // because the host said so
)

// stopGrace is how long processes have between SIGTERM and SIGKILL when the machine goes down.
const stopGrace = 2 * time.Second

// A bootConfig is all that process 1 is told.
type bootConfig struct {
	ID, Hostname string
	Release      Release
	PrivateIP    netip.Addr
	Metadata     bool
	UserData     []byte
	PublicKeys   []string
	Root         rootConfig
	LogServices  bool
}

// A guest is process 1 of a machine.
type guest struct {
	talk   *channel
	config bootConfig
	reaper *reaper
	units  *services
	power  *powerSwitch

	mu    sync.Mutex
	execs map[uint64]*execution // running, by the id of their request
}

// guestMain is process 1. It ends only with the machine.
func guestMain() int {
	syscall.Umask(0o022)
	talk, err := newChannel(os.NewFile(controlFD, "control"))
	if err != nil {
		return complain(err)
	}
	g := &guest{talk: talk, execs: map[uint64]*execution{}}
	if err := g.boot(); err != nil {
		return complain(err)
	}
	return g.serve()
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "localaws machine:", err)
	return 1
}

// boot answers the first request, which must be opBoot.
func (g *guest) boot() error {
	var r request
	files, err := g.talk.receive(&r)
	if err != nil {
		return err
	}
	defer closeAll(files...)
	if r.Op != opBoot || r.Boot == nil {
		return fmt.Errorf("first request is %q", r.Op)
	}
	g.config = *r.Boot
	if err := g.bringUp(files); err != nil {
		return g.talk.send(failed(r.ID, err))
	}
	var pass []*os.File
	if g.config.Metadata {
		listener, err := listenMetadata()
		if err != nil {
			return g.talk.send(failed(r.ID, err))
		}
		defer closeAll(listener)
		pass = append(pass, listener)
	}
	return g.talk.send(reply{ID: r.ID}, pass...)
}

func (g *guest) bringUp(mounts []*os.File) error {
	var state, usr *os.File
	if len(mounts) > 0 {
		state = mounts[0]
	}
	if len(mounts) > 1 {
		usr = mounts[1]
	}
	if err := enterRoot(g.config.Root, state, usr); err != nil {
		return err
	}
	addrs := []netip.Addr{metadataAddress, resolverAddress}
	if g.config.PrivateIP.IsValid() {
		addrs = append(addrs, g.config.PrivateIP)
	}
	if err := configureNetwork(addrs...); err != nil {
		return err
	}
	return g.startSystem()
}

// startSystem does what happens between the kernel's start of process 1 and the login prompt.
func (g *guest) startSystem() error {
	g.reaper = newReaper()
	if err := prepareRun(); err != nil {
		return err
	}
	first, err := g.initialize()
	if err != nil {
		return err
	}
	g.power = newPowerSwitch(g)
	g.units = newServices(g.reaper)
	if err := errors.Join(g.listenLocal(), g.serveNames()); err != nil {
		return err
	}
	g.obeySignals()
	g.units.startEnabled()
	g.finishBoot(first)
	return nil
}

// prepareRun makes what is expected in /run, which is empty.
func prepareRun() error {
	for path, mode := range map[string]os.FileMode{
		"/run/sshd": 0o755, "/run/lock": 0o1777, "/run/user": 0o755, "/run/log": 0o755, "/run/cloud-init": 0o755,
	} {
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(path, fileMode(mode)); err != nil {
			return err
		}
	}
	return os.WriteFile("/run/utmp", nil, 0o644)
}

// fileMode translates the sticky bit of a numeric mode.
func fileMode(mode os.FileMode) os.FileMode {
	if mode&0o1000 != 0 {
		return mode&0o777 | os.ModeSticky
	}
	return mode
}

// listenMetadata returns the socket on which the host answers for the metadata service.
func listenMetadata() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "metadata")
	err = unix.Bind(fd, &unix.SockaddrInet4{Port: 80, Addr: metadataAddress.As4()})
	if err == nil {
		err = unix.Listen(fd, 64)
	}
	if err != nil {
		closeAll(file)
		return nil, fmt.Errorf("metadata service: %w", err)
	}
	return file, nil
}

// obeySignals makes process 1 listen to the signals with which programs (and people) ask for the machine's end: those of
// systemd, and where it has no such meaning for them, those of BusyBox.
func (g *guest) obeySignals() {
	const rtmin = 34 // as the C library counts
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPWR,
		syscall.Signal(rtmin+3), syscall.Signal(rtmin+4), syscall.Signal(rtmin+5), syscall.Signal(rtmin+6))
	go func() { // lives as long as the machine
		switch <-asked {
		case syscall.SIGTERM, syscall.SIGINT, syscall.Signal(rtmin + 5), syscall.Signal(rtmin + 6):
			g.down(exitRebooted, true)
		default:
			g.down(exitPoweredOff, true)
		}
	}()
}

// down ends the machine. It does not return.
func (g *guest) down(status int, graceful bool) {
	if graceful {
		g.terminateAll()
	}
	unix.Sync()
	syscall.Exit(status) // and with process 1, the kernel ends all others
}

// terminateAll gives every process the time to end by itself. Process 1 itself does not get what it sends to all.
func (g *guest) terminateAll() {
	deadline := time.Now().Add(stopGrace)
	_ = syscall.Kill(-1, syscall.SIGTERM) // fails only if there is nobody
	_ = syscall.Kill(-1, syscall.SIGCONT)
	for time.Now().Before(deadline) {
		if err := syscall.Kill(-1, 0); err == syscall.ESRCH {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
}

// serve answers the host until it is gone, and ends with it.
func (g *guest) serve() int {
	for {
		var r request
		files, err := g.talk.receive(&r)
		if err != nil {
			return 1
		}
		g.handle(r, files)
	}
}

func (g *guest) handle(r request, files []*os.File) {
	switch r.Op {
	case opExec:
		g.exec(r, files)
	case opKill:
		g.kill(r.Target)
	case opResize:
		g.resize(r)
	case opDial:
		go g.dial(r)
	case opHalt:
		go g.down(exitHalted, r.Graceful)
	case opBoot:
		g.answer(failed(r.ID, syscall.EALREADY))
	}
	closeAll(files...)
}

// answer sends r. The host being gone is noticed where its requests are read.
func (g *guest) answer(r reply, files ...*os.File) { _ = g.talk.send(r, files...) }

// dial connects to a port of the machine and hands the connection out.
func (g *guest) dial(r request) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		g.answer(failed(r.ID, err))
		return
	}
	file := os.NewFile(uintptr(fd), "connection")
	defer closeAll(file)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: r.Port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		g.answer(failed(r.ID, fmt.Errorf("connect: %w", err)))
		return
	}
	g.answer(reply{ID: r.ID}, file)
}

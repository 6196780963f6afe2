//go:build linux

package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
)

// machineNamespaces are the namespaces that a machine has besides the user namespace.
const machineNamespaces = syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWCGROUP

// bootTimeout bounds a boot; it takes a fraction of a second.
const bootTimeout = 60 * time.Second

// A Machine is one machine: a disk, and while it is up, a process 1 with everything below it. Its methods can be called from several
// goroutines.
type Machine struct {
	host    *Host
	spec    Spec
	disk    string   // relative to the host's folder
	lowers  []string // as well
	release Release

	power sync.Mutex // held while the machine is booted, halted, captured or destroyed

	mu        sync.Mutex
	run       *running // nil when down
	destroyed bool
}

// A running is one boot of a machine, until it is down.
type running struct {
	machine *Machine
	child   *child
	bootID  string
	web     *http.Server // the metadata service; nil if there is none
	webDone chan struct{}
	down    chan struct{} // closed when process 1 has ended and nothing of the run is left

	mu      sync.Mutex
	last    uint64
	pending map[uint64]chan delivery // by request; closed when the run ends
	asked   bool                     // we ended it
}

// A delivery is an answer with the files that came along.
type delivery struct {
	reply
	files []*os.File
}

// Running tells whether the machine is up.
func (m *Machine) Running() bool { return m.current() != nil }

// BootID is the id of the current boot, which /proc/sys/kernel/random/boot_id has in the machine; "" if it is down.
func (m *Machine) BootID() string {
	if r := m.current(); r != nil {
		return r.bootID
	}
	return ""
}

// Console is what process 1 and the kernel's console would show: the last boots' messages.
func (m *Machine) Console() ([]byte, error) {
	text, err := os.ReadFile(m.consolePath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

func (m *Machine) consolePath() string { return filepath.Join(m.host.dir, m.spec.ID+".console") }

func (m *Machine) current() *running {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.run
}

// Boot starts the machine and returns when it is up and its sshd accepts connections (unless that is disabled or
// broken). User data may still be running then. Booting a machine that is up is an error.
func (m *Machine) Boot(ctx context.Context) error {
	m.power.Lock()
	defer m.power.Unlock()
	m.mu.Lock()
	up, gone := m.run != nil, m.destroyed
	m.mu.Unlock()
	if gone {
		return ErrDestroyed
	}
	if up {
		return fmt.Errorf("machine %s is running", m.spec.ID)
	}
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	r, err := m.start(ctx)
	if err != nil {
		return fmt.Errorf("boot %s: %w", m.spec.ID, err)
	}
	m.mu.Lock()
	m.run = r
	m.mu.Unlock()
	m.host.owned.Go(r.watch)
	return nil
}

func (m *Machine) start(ctx context.Context) (*running, error) {
	console, err := os.OpenFile(m.consolePath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer closeAll(console)
	// The machine outlives ctx, which bounds only its start.
	c, err := reexec(context.WithoutCancel(ctx), m.host.ids, stageGuest, machineNamespaces, m.host.folder, console)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.cmd.Process.Kill() }) // it may be gone
	defer stop()
	r := &running{machine: m, child: c, bootID: uuid.NewString(), down: make(chan struct{}), pending: map[uint64]chan delivery{}}
	if err := r.boot(m); err != nil {
		c.kill()
		return nil, errors.Join(context.Cause(ctx), err)
	}
	return r, nil
}

// boot sends the first request, and serves the metadata.
func (r *running) boot(m *Machine) error {
	mounts, err := m.host.mounts(r.child.cmd.Process.Pid)
	if err != nil {
		return err
	}
	defer closeAll(mounts...)
	config := bootConfig{
		ID: m.spec.ID, Hostname: m.spec.Hostname, Release: m.release, PrivateIP: m.spec.PrivateIP, Metadata: m.spec.Metadata != nil,
		UserData: m.spec.UserData, PublicKeys: m.spec.PublicKeys,
		Root: rootConfig{State: m.host.dir, Lowers: m.lowers, Disk: m.disk, TmpOnRAM: m.release == AL2023, BootID: r.bootID},
	}
	if err := r.child.talk.send(request{ID: r.next(), Op: opBoot, Boot: &config}, mounts...); err != nil {
		return err
	}
	var answer reply
	files, err := r.child.talk.receive(&answer)
	if err != nil {
		return fmt.Errorf("process 1 ended: %w", err)
	}
	defer closeAll(files...)
	if err := answer.err(); err != nil || len(files) == 0 {
		return err
	}
	listener, err := net.FileListener(files[0])
	if err != nil {
		return err
	}
	r.web, r.webDone = &http.Server{Handler: m.spec.Metadata, ReadHeaderTimeout: time.Minute}, make(chan struct{})
	go func() { // ended and awaited by watch
		defer close(r.webDone)
		_ = r.web.Serve(listener) // returns when it is closed
	}()
	return nil
}

func (r *running) next() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	return r.last
}

// watch delivers answers until process 1 ends, and then cleans up.
func (r *running) watch() {
	for {
		var answer reply
		files, err := r.child.talk.receive(&answer)
		if err != nil {
			break
		}
		r.deliver(delivery{answer, files})
	}
	_ = r.child.talk.close() // so that process 1 ends if it has not
	_ = r.child.cmd.Wait()   // the status is what ProcessState has
	if r.web != nil {
		_ = r.web.Close() // its connections are with a machine that is gone
		<-r.webDone
	}
	r.mu.Lock()
	for _, waiting := range r.pending {
		close(waiting)
	}
	r.pending = nil
	asked := r.asked
	r.mu.Unlock()
	m := r.machine
	m.mu.Lock()
	m.run = nil
	m.mu.Unlock()
	close(r.down)
	if !asked && m.spec.OnHalt != nil {
		m.spec.OnHalt(howOf(r.child.cmd.ProcessState))
	}
}

func howOf(state *os.ProcessState) How {
	switch state.ExitCode() {
	case exitPoweredOff:
		return PoweredOff
	case exitRebooted:
		return Rebooted
	}
	return Died
}

func (r *running) deliver(d delivery) {
	r.mu.Lock()
	waiting := r.pending[d.ID]
	r.mu.Unlock()
	if waiting == nil {
		closeAll(d.files...)
		return
	}
	waiting <- d // there is room for all answers that a request can have
}

// ask sends a request. The answers come through the channel, which is closed when the machine goes down.
// done is to be called when no more answers are wanted.
func (r *running) ask(q request, files ...*os.File) (id uint64, answers <-chan delivery, done func(), err error) {
	q.ID = r.next()
	waiting := make(chan delivery, 2)
	r.mu.Lock()
	if r.pending == nil {
		r.mu.Unlock()
		return 0, nil, nil, ErrDown
	}
	r.pending[q.ID] = waiting
	r.mu.Unlock()
	done = func() {
		r.mu.Lock()
		delete(r.pending, q.ID)
		r.mu.Unlock()
		for {
			select {
			case d, ok := <-waiting:
				if !ok {
					return
				}
				closeAll(d.files...)
			default:
				return
			}
		}
	}
	if err := r.child.talk.send(q, files...); err != nil {
		done()
		return 0, nil, nil, errors.Join(ErrDown, err)
	}
	return q.ID, waiting, done, nil
}

// Dial connects to a TCP port of the machine from inside it, as a client on 127.0.0.1. A port on which nothing
// listens is syscall.ECONNREFUSED, a machine that is down ErrDown.
func (m *Machine) Dial(ctx context.Context, port int) (net.Conn, error) {
	conn, err := m.dial(ctx, port)
	if err != nil {
		return nil, fmt.Errorf("dial port %d of %s: %w", port, m.spec.ID, err)
	}
	return conn, nil
}

func (m *Machine) dial(ctx context.Context, port int) (net.Conn, error) {
	if port < 1 || port > 65535 {
		return nil, syscall.EADDRNOTAVAIL
	}
	r := m.current()
	if r == nil {
		return nil, ErrDown
	}
	_, answers, done, err := r.ask(request{Op: opDial, Port: port})
	if err != nil {
		return nil, err
	}
	defer done()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case d, ok := <-answers:
		if !ok {
			return nil, ErrDown
		}
		defer closeAll(d.files...)
		if err := d.err(); err != nil {
			return nil, err
		}
		if len(d.files) != 1 {
			return nil, errors.New("process 1 sent no connection")
		}
		return net.FileConn(d.files[0])
	}
}

// Halt stops the machine: its processes end, its disk stays. Graceful gives them two seconds to end by themselves.
// Halting a machine that is down does nothing. When it returns, the machine is down, also if ctx has ended.
func (m *Machine) Halt(ctx context.Context, graceful bool) error {
	m.power.Lock()
	defer m.power.Unlock()
	m.halt(ctx, graceful)
	return nil
}

// halt needs m.power.
func (m *Machine) halt(ctx context.Context, graceful bool) {
	r := m.current()
	if r == nil {
		return
	}
	r.mu.Lock()
	r.asked = true
	r.mu.Unlock()
	if graceful && r.child.talk.send(request{Op: opHalt, Graceful: true}) == nil {
		select {
		case <-r.down:
			return
		case <-ctx.Done():
		case <-time.After(2 * stopGrace):
		}
	}
	_ = r.child.cmd.Process.Kill() // it may have ended
	<-r.down
}

// Capture copies what the machine has written to its disk into a new layer. The machine may be running.
func (m *Machine) Capture(ctx context.Context) (LayerID, error) {
	m.power.Lock()
	defer m.power.Unlock()
	m.mu.Lock()
	gone := m.destroyed
	m.mu.Unlock()
	if gone {
		return "", ErrDestroyed
	}
	id, path := newLayer("layer")
	if err := m.host.work(ctx, workRequest{Copy: &copyRequest{From: filepath.Join(m.disk, "upper"), To: path}}); err != nil {
		return "", err
	}
	h := m.host
	h.mu.Lock()
	defer h.mu.Unlock()
	h.layers[id] = &layer{path: path, release: m.release, below: slices.Clone(m.spec.Layers)}
	return id, nil
}

// Destroy stops the machine at once and removes its disk. OnHalt may call it. Destroying a machine again does nothing.
func (m *Machine) Destroy(ctx context.Context) error {
	m.power.Lock()
	defer m.power.Unlock()
	m.mu.Lock()
	gone := m.destroyed
	m.destroyed = true
	m.mu.Unlock()
	if gone {
		return nil
	}
	m.halt(ctx, false)
	err := m.host.work(context.WithoutCancel(ctx), workRequest{Remove: []string{m.disk}})
	if e := os.Remove(m.consolePath()); e != nil && !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	m.host.forget(m)
	return errors.Join(err, m.host.collect(context.WithoutCancel(ctx)))
}

//go:build linux

package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine/standin"
)

// listenLocal answers the stand-ins in the machine: systemctl, shutdown and others.
func (g *guest) listenLocal() error {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: standin.Socket, Net: "unix"})
	if err != nil {
		return err
	}
	if err := os.Chmod(standin.Socket, 0o666); err != nil {
		return errors.Join(err, listener.Close())
	}
	go func() { // lives as long as the machine
		for {
			conn, err := listener.AcceptUnix()
			if err != nil {
				return
			}
			go g.serveLocal(conn)
		}
	}()
	return nil
}

func (g *guest) serveLocal(conn *net.UnixConn) {
	var r standin.Request
	answer, after := standin.Response{}, func() {}
	if err := json.NewDecoder(conn).Decode(&r); err != nil {
		answer.Error = err.Error()
	} else if r.Op != standin.OpShow && !fromRoot(conn) {
		answer.Error = "Access denied"
	} else {
		answer, after = g.local(r)
	}
	_ = json.NewEncoder(conn).Encode(answer) // a stand-in that was killed does not hear the answer
	_ = conn.Close()
	after()
}

func fromRoot(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	root := false
	err = raw.Control(func(fd uintptr) {
		peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		root = err == nil && peer.Uid == 0
	})
	return err == nil && root
}

// local does what r asks. after is to be called when the answer is on its way.
func (g *guest) local(r standin.Request) (answer standin.Response, after func()) {
	var err error
	after = func() {}
	switch r.Op {
	case standin.OpShow:
		answer.Status = g.units.status(r.Unit)
	case standin.OpStart:
		err = g.units.start(r.Unit)
	case standin.OpStop:
		err = g.units.stop(r.Unit)
	case standin.OpRestart:
		if err = g.units.stop(r.Unit); err == nil {
			err = g.units.start(r.Unit)
		}
	case standin.OpReload:
		err = g.units.reload(r.Unit)
	case standin.OpReboot, standin.OpPowerOff:
		after = func() { g.power.schedule(r) }
	case standin.OpCancel:
		g.power.cancel()
	case standin.OpHostname:
		err = unix.Sethostname([]byte(r.Name))
	default:
		err = fmt.Errorf("unknown operation %q", r.Op)
	}
	if err != nil {
		answer.Error = err.Error()
	}
	return answer, after
}

// A powerSwitch is the machine's shutdown timer: there is one, and a new one replaces it.
type powerSwitch struct {
	guest    *guest
	requests chan *standin.Request // nil cancels
}

const (
	noLogin      = "/run/nologin"
	noLoginAhead = 5 * time.Minute // how long before the shutdown only root may log in
)

func newPowerSwitch(g *guest) *powerSwitch {
	p := &powerSwitch{guest: g, requests: make(chan *standin.Request)}
	go p.run()
	return p
}

func (p *powerSwitch) schedule(r standin.Request) { p.requests <- &r }
func (p *powerSwitch) cancel()                    { p.requests <- nil }

// run lives as long as the machine.
func (p *powerSwitch) run() {
	var pending *standin.Request
	var due, closing <-chan time.Time
	for {
		select {
		case pending = <-p.requests:
			due, closing = nil, nil
			_ = os.Remove(noLogin) // it is not there unless an earlier timer made it
			if pending != nil {
				due, closing = time.After(pending.After), time.After(max(0, pending.After-noLoginAhead))
			}
		case <-closing:
			_ = os.WriteFile(noLogin, []byte("System is going down. Unprivileged users are not permitted to log in anymore.\n"), 0o644) // logins staying possible harms nobody
		case <-due:
			status := exitPoweredOff
			if pending.Op == standin.OpReboot {
				status = exitRebooted
			}
			p.guest.down(status, !pending.Force)
		}
	}
}

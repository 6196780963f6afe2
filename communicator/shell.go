package communicator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"golang.org/x/crypto/ssh"
)

// execution is a command under way.
type execution struct {
	c       *Communicator
	cmd     *packersdk.RemoteCmd
	job     *job // nil for a command that ends with its connection
	on      *line
	release func() // of the line that a command without a job ends with; nil with one
	session *ssh.Session
	out     arrived
	errs    arrived

	before int64     // how much had arrived
	since  time.Time // when the command was picked up then
	vain   int       // and how often since
}

// arrived is what has come of one stream. A writer that fails does not hold up
// the command: the rest goes nowhere.
type arrived struct {
	to     io.Writer
	n      atomic.Int64
	failed bool
}

// Write is io.Writer's.
func (a *arrived) Write(b []byte) (int, error) {
	if a.to != nil && !a.failed {
		_, err := a.to.Write(b)
		a.failed = err != nil
	}
	a.n.Add(int64(len(b)))
	return len(b), nil
}

// Start runs a command on the instance and returns when it has started; where
// the connection was lost, when it is back. The exit status is the command's
// own, or packersdk.CmdDisconnect when the connection was lost before it ended.
//
// A command without input and without a terminal (ssh_pty) goes on in the
// instance when its connection is lost. Its output and exit status are then
// taken up on the next one, as long as the instance has not rebooted. What has
// been started in the background and holds on to the output keeps the command
// from ending, as with any SSH client. Disconnect ends the command.
func (c *Communicator) Start(ctx context.Context, cmd *packersdk.RemoteCmd) error {
	ctx, done := c.untilClosed(ctx)
	defer done()
	x := &execution{c: c, cmd: cmd}
	x.out.to, x.errs.to = cmd.Stdout, cmd.Stderr
	ended := c.command() // until then transfers keep off the command's session
	switch err := x.start(ctx); {
	case errors.Is(err, errGoneDown):
		ended()
		x.c.jobs.forget(x.job)
		x.c.say(err.Error())
		cmd.SetExited(packersdk.CmdDisconnect)
		return nil
	case err != nil:
		ended()
		return err
	}
	if !c.owned.goes(func() { defer ended(); cmd.SetExited(x.finish()) }) { //nolint:contextcheck // the command outlives the call
		ended()
		return errClosed
	}
	return nil
}

const startTries = 5

// errGoneDown is an instance that went down while it was being told what to run.
var errGoneDown = errors.New("the instance went down as the command was started")

// start starts the command on the living line. A job may be started again when
// it is not known whether it was: it is so only once. An instance that goes down
// just then does so because of the command, most often: it counts as begun.
func (x *execution) start(ctx context.Context) error {
	sent := false
	for try := 1; ; try++ {
		// What is found dead here is not yet a command that may have started.
		on, err := x.c.answering(ctx)
		switch {
		case err != nil && sent && errors.As(err, new(endedError)):
			return errGoneDown
		case err != nil:
			return err
		case x.job != nil && x.job.boot != on.boot && sent:
			return errGoneDown
		case x.job != nil && x.job.boot != on.boot:
			x.c.jobs.forget(x.job)
			x.job = nil
		}
		if x.job == nil {
			x.job = x.c.newJob(x.cmd, on)
		}
		began, err := x.begin(ctx, on, verbRun)
		sent = sent || began
		if err == nil || ctx.Err() != nil || try == startTries || began && x.job == nil || !on.lostSoon(ctx) {
			return err
		}
	}
}

// begin sends the command, or what follows it, and tells whether it may have
// been received. A command without a job keeps the line.
func (x *execution) begin(ctx context.Context, on *line, verb string) (began bool, err error) {
	if x.job != nil {
		return x.send(ctx, on, verb)
	}
	release, err := on.bind()
	if err != nil {
		return false, err
	}
	if began, err = x.send(ctx, on, verb); err != nil {
		release()
		return began, err
	}
	x.release = release
	return began, nil
}

func (x *execution) send(ctx context.Context, on *line, verb string) (sent bool, err error) {
	session, err := on.channel(ctx)
	if err != nil {
		return false, fmt.Errorf("ssh channel: %w", err)
	}
	session.Stdin, session.Stdout, session.Stderr = x.cmd.Stdin, &x.out, &x.errs
	if x.c.cfg.SSH.SSHPty {
		if err := session.RequestPty("xterm", 40, 80, terminalModes); err != nil {
			return false, fmt.Errorf("terminal (ssh_pty): %w", err)
		}
	}
	text := x.cmd.Command + "\n"
	if x.job != nil {
		text = x.job.text(verb, x)
		if err := x.job.prepare(session); err != nil {
			return false, err
		}
	}
	_ = on.openAhead(nil) // for the next one; a line that is lost shows itself below
	if err := session.Start(text); err != nil {
		_ = session.Close()
		return true, fmt.Errorf("start the command: %w", err)
	}
	x.on, x.session = on, session
	return true, nil
}

// terminalModes are those of the SDK's communicator.
var terminalModes = ssh.TerminalModes{ssh.ECHO: 0, ssh.TTY_OP_ISPEED: 14400, ssh.TTY_OP_OSPEED: 14400}

// finish waits for the command's end, on as many connections as it takes.
func (x *execution) finish() int {
	defer x.c.jobs.forget(x.job)
	if x.job == nil {
		defer x.release()
	}
	for {
		status, signal, lost := outcome(x.session.Wait())
		_ = x.session.Close()
		switch {
		case lost && x.job == nil:
			x.on.lostSoon(context.Background()) // or the next command would be sent on it, and lost, too
			return packersdk.CmdDisconnect
		case lost && !x.pickUp():
			return packersdk.CmdDisconnect
		case lost:
		case x.job != nil && signal == signalGone:
			x.c.say("The command did not outlive its connection")
			return packersdk.CmdDisconnect
		case x.job != nil && signal == signalMissing:
			x.c.say("Output of the command was lost with its connection: no space for it in /run")
			return packersdk.CmdDisconnect
		default:
			x.c.jobs.over(x.job)
			return verdict(status, x.on)
		}
	}
}

// outcome reads what waiting for a command has brought.
func outcome(err error) (status int, signal string, lost bool) {
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return 0, "", false
	case errors.As(err, &exit):
		return exit.ExitStatus(), exit.Signal(), false
	}
	return 0, "", true
}

// A shutdown ends the command by a signal first and the connection a moment
// later. It is the connection that the user asked to lose (expect_disconnect).
const shutdownGrace = 3 * time.Second

func verdict(status int, on *line) int {
	const hup, kill, term = 128 + 1, 128 + 9, 128 + 15
	if status != hup && status != kill && status != term {
		return status
	}
	timer := time.NewTimer(shutdownGrace)
	defer timer.Stop()
	select {
	case <-on.dead:
		if errors.Is(on.err, errGap) { // which is this side's doing
			return status
		}
		return packersdk.CmdDisconnect
	case <-timer.C:
		return status
	}
}

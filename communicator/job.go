package communicator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"golang.org/x/crypto/ssh"
)

// What job.sh is asked to do, and the signals by which it says that it can't.
const (
	verbRun    = "run"
	verbFollow = "follow"

	signalGone    = "USR2" // there is no such job
	signalMissing = "USR1" // some of its output was not kept
)

const (
	longestJob  = 96 << 10 // bytes of a command; Linux takes 128 KiB in one argument
	pickUpTries = 20       // that bring nothing, in a row
	fruitful    = time.Minute
	lossGrace   = time.Second
	killLimit   = 5 * time.Second
)

// job is a command that outlives its connection. See job.sh.
type job struct {
	path string // of its files
	boot string // of the instance
	cmd  string
	old  []string // paths of jobs that are over
}

// newJob makes a job of a command, nil where it can't be one: input can't be
// given twice, and a terminal ends with its connection.
func (c *Communicator) newJob(cmd *packersdk.RemoteCmd, on *line) *job {
	if !on.jobs || cmd.Stdin != nil || c.cfg.SSH.SSHPty || len(quote(cmd.Command)) > longestJob {
		return nil
	}
	j := &job{boot: on.boot, cmd: cmd.Command}
	c.jobs.add(j, "/run/"+c.identity.name+"/jobs/")
	return j
}

// script is where bootstrap.sh has put job.sh.
func (j *job) script() string {
	dir, _, _ := strings.Cut(j.path, "/jobs/")
	return dir + "/job"
}

// text is what the user's shell is to read.
func (j *job) text(verb string, x *execution) string {
	text := fmt.Sprintf("ssm_verb=%s ssm_job=%s ssm_out=%d ssm_err=%d ssm_old='%s' ssm_cmd=%s\n[ ! -r %s ] || . %[7]s\n",
		verb, j.path, x.out.n.Load(), x.errs.n.Load(), strings.Join(j.old, " "), quote(j.cmd+"\n"), j.script())
	if verb == verbFollow {
		return text + "kill -s " + signalGone + " $$\n"
	}
	return text + "unset SHLVL; exec \"$SHELL\" -c \"$ssm_cmd\"\n"
}

// prepare tells bash that it is not the first shell, so that the command's own
// is the one that reads .bashrc, as it would without the job.
func (j *job) prepare(session *ssh.Session) error {
	_, err := session.SendRequest("env", false, ssh.Marshal(struct{ Name, Value string }{"SHLVL", "1"}))
	return err
}

// pickUp follows the job on the next line, and tells whether that is so.
func (x *execution) pickUp() bool {
	for try := 1; ; try++ {
		on, err := x.next()
		if err == nil {
			if _, err = x.begin(context.Background(), on, verbFollow); err == nil {
				x.c.cfg.Logger.Info("command picked up", "job", x.job.path, "stdout", x.out.n.Load(), "stderr", x.errs.n.Load())
				return x.worthIt()
			}
			on.lostSoon(context.Background())
			if try < pickUpTries {
				continue
			}
		}
		if !errors.Is(err, errRebooted) && !errors.Is(err, errClosed) {
			x.c.say(fmt.Sprintf("The command is lost: %v", err))
		}
		return false
	}
}

// worthIt is false when following brings nothing, time and again.
func (x *execution) worthIt() bool {
	now := x.out.n.Load() + x.errs.n.Load()
	if now != x.before || time.Since(x.since) > fruitful {
		x.before, x.since, x.vain = now, time.Now(), 0
	}
	x.vain++
	return x.vain <= pickUpTries
}

// next is a line to the instance as it was when the job began. It is no longer
// waited for when the instance is known to have gone down; whoever comes next
// finds it made.
func (x *execution) next() (*line, error) {
	lost := x.on
	type found struct {
		on  *line
		err error
	}
	made := make(chan found, 1)
	if !x.c.owned.goes(func() {
		lost.lostSoon(context.Background())
		on, err := x.c.answering(context.Background())
		made <- found{on, err}
	}) {
		return nil, errClosed
	}
	select {
	case <-lost.down:
		return nil, errRebooted
	case got := <-made:
		if got.err == nil && got.on.boot != x.job.boot {
			return nil, errRebooted
		}
		return got.on, got.err
	}
}

// jobs are those of a communicator.
type jobs struct {
	mu      sync.Mutex
	count   int
	running map[*job]bool
	ended   []*job // whose files are still there
}

// add gives a job its place below dir, and has it remove the files of others.
func (s *jobs) add(j *job, dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		s.running = map[*job]bool{}
	}
	s.running[j] = true
	s.count++
	j.path = dir + strconv.Itoa(s.count)
	for _, ended := range s.ended {
		j.old = append(j.old, ended.path)
	}
	s.ended = nil
}

// over takes in that all of a job has arrived.
func (s *jobs) over(j *job) {
	if j == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, j)
}

func (s *jobs) forget(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, j)
}

// all are the running ones.
func (s *jobs) all() []*job {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.running))
}

// killJobs ends the commands that would go on in the instance, over a line that
// lives.
func (c *Communicator) killJobs(on *line) {
	running := c.jobs.all()
	if len(running) == 0 || !on.alive() {
		return
	}
	var text strings.Builder
	for _, j := range running {
		fmt.Fprintf(&text, "ssm_verb=kill ssm_job=%s; [ ! -r %s ] || . %[2]s\n", j.path, j.script())
	}
	ctx, cancel := context.WithTimeout(context.Background(), killLimit)
	defer cancel()
	session, err := on.channel(ctx)
	if err != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = session.Close() })
	defer stop()
	if err := session.Run(text.String()); err != nil {
		c.cfg.Logger.Info("commands not ended", "err", err)
	}
}

package communicator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"time"

	sdkcommunicator "github.com/hashicorp/packer-plugin-sdk/communicator"

	"github.com/taccoform/packer-plugin-ssm/session"
)

// Link is what the communicator needs of the instance. Its functions retry
// what passes by itself and end with their context. An error that carries an
// API code which says that asking again is pointless (a denied permission, an
// unknown document), or that wraps ErrPermanent, ends the connecting at once;
// others are tried again until the time for it is over.
type Link struct {
	// OpenPort opens a session to a TCP port of the instance. It waits, as
	// long as ctx does, while the agent is not connected. It is called for each
	// session: the first one, those that replace a lost one, and up to
	// Config.Sessions for large transfers, several at the same time. What a
	// session's message carries (session.Options.PayloadSize: 1 to 1536 bytes,
	// by default 1024) is decided here.
	OpenPort func(ctx context.Context, port int) (*session.Port, error)

	// Run runs a shell script as root by Run Command and returns what it wrote
	// to standard output. The error of a script that exited by itself has the
	// method ExitStatus() (int, bool).
	Run func(ctx context.Context, script string) (stdout string, err error)

	// Online returns when the agent is online. It is asked before Run when a
	// connection was lost. Nil leaves the waiting to Run.
	Online func(ctx context.Context) error

	// Alive fails with an error that wraps ErrPermanent when the instance is on
	// its way out, or gone; other errors count for nothing. It is asked every few
	// seconds while a lost connection is made again, and at no other time. Nil
	// leaves that to Online and Run.
	Alive func(ctx context.Context) error
}

// ErrPermanent is what a Link's function wraps to say that trying again is
// pointless, for instance because the instance is being terminated.
var ErrPermanent = errors.New("trying again is pointless")

// Config says how to connect.
type Config struct {
	// User is who logs in and runs the commands; default SSH.SSHUsername,
	// then ec2-user.
	User string

	// SSH holds the SDK's ssh_* options, prepared. Those that apply to a
	// stream through a session are kept: pty, timeout, handshake attempts,
	// keep alive interval, read and write timeout (how long the instance may
	// be silent after a keepalive; default 15 s), ciphers, key exchanges,
	// agent forwarding, tunnels, and in OwnCredentials mode port, password,
	// keys, certificate and agent. Nil for defaults.
	SSH *sdkcommunicator.Config

	// OwnCredentials logs in to the machine's own sshd on SSH.SSHPort with
	// the credentials in SSH, instead of starting a private daemon.
	OwnCredentials bool

	// TTL is after how long the instance shuts itself down unless it was
	// stopped before; 0 for never. It is counted from Connect, in the guest,
	// and armed again after a reboot.
	TTL time.Duration

	// Sessions is over how many sessions of their own large transfers go in
	// parallel, 1 to 16; 0 stands for the default, 8, and anything else is an
	// error of Connect before it calls anything. They are opened when there is
	// something for them to carry, fewer where more are refused, and closed
	// after a minute without use. With 1 all goes over the session of the
	// commands.
	Sessions int

	// Say tells the user what is going on when a connection was lost; nil
	// keeps it to the log. It tells of the progress of long transfers too.
	Say func(string)

	// Logger gets what happens, at levels Debug to Warn; nil for none.
	Logger *slog.Logger

	// patience is how long the instance may be silent after a keepalive.
	patience time.Duration
}

// Limits of the time that connecting may take, beside ssh_timeout.
const (
	defaultConnectLimit = 5 * time.Minute
	leastReconnectLimit = 10 * time.Minute // a reboot with a file system check
	bootstrapLimit      = 2 * time.Minute  // one run of the script
	quickLimit          = 20 * time.Second // the daemon of before, tried again
	openLimit           = time.Minute      // session and SSH handshake
	attemptPause        = time.Second
	scriptAttempts      = 5                // of a script that fails in a way of its own
	provingTime         = 5 * time.Second  // of a line to an instance that may be going down
	leaveLimit          = 30 * time.Second // Close stopping the daemon
	partingLimit        = 10 * time.Second // Close waiting for what is under way
)

// Keepalives of a line, beside ssh_keep_alive_interval.
const (
	defaultKeepAlive = 5 * time.Second
	defaultPatience  = 15 * time.Second
)

const (
	defaultUser = "ec2-user"
	sshPort     = 22
)

// userName is what may stand in AllowUsers, which takes patterns, without
// being one.
var userName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}$`)

func (c Config) withDefaults() (Config, error) {
	if c.SSH == nil {
		c.SSH = &sdkcommunicator.Config{}
	}
	c.User = cmp.Or(c.User, c.SSH.SSHUsername, defaultUser)
	if !userName.MatchString(c.User) {
		return c, fmt.Errorf("user name %q is not one that Linux and sshd take literally", c.User)
	}
	if c.TTL < 0 {
		return c, fmt.Errorf("time to live %s is negative", c.TTL)
	}
	if c.Sessions < 0 || c.Sessions > maxSessions {
		return c, fmt.Errorf("%d sessions for transfers; between 1 and %d make sense", c.Sessions, maxSessions)
	}
	c.Sessions = cmp.Or(c.Sessions, defaultSessions)
	c.patience = cmp.Or(c.patience, c.SSH.SSHReadWriteTimeout, defaultPatience)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func (l Link) check() error {
	if l.OpenPort == nil || l.Run == nil {
		return errors.New("link without OpenPort or Run")
	}
	return nil
}

// connectLimit is how long the first connection may take. The SDK's Prepare
// leaves ssh_timeout at zero only when handshake attempts are given instead.
func (c Config) connectLimit() time.Duration {
	return cmp.Or(c.SSH.SSHTimeout, defaultConnectLimit)
}

func (c Config) reconnectLimit() time.Duration {
	return max(c.SSH.SSHTimeout, leastReconnectLimit)
}

// keepAlive is the interval of keepalives; negative for none.
func (c Config) keepAlive() time.Duration {
	return cmp.Or(c.SSH.SSHKeepAliveInterval, defaultKeepAlive)
}

func (c Config) ownPort() int { return cmp.Or(c.SSH.SSHPort, sshPort) }

// port is the session, as *session.Port is one.
type port interface {
	Dial(ctx context.Context) (net.Conn, error)
	Done() <-chan struct{}
	Err() error
	Close() error
	condition
}

// condition is what a session tells of itself while it lives.
type condition interface {
	Reachable() bool
	Gap() int
}

package communicator

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	_ "embed" // the scripts
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

//go:embed bootstrap.sh
var bootstrapScript string

//go:embed job.sh
var jobScript string

//go:embed stop.sh
var stopScript string

// What bootstrap.sh exits with when it refuses.
const (
	exitNever = 64 // it can't ever work on this instance
	exitLater = 75 // it may work when tried again
	exitDown  = 76 // likewise, and the instance is shutting down
)

// identity is what the build logs in with. The private halves never leave this
// process. Where the instance's kernel is in FIPS mode its sshd does not take
// Ed25519, so there are two.
type identity struct {
	name    string // of the daemon: the same for the same keys
	signers []ssh.Signer
}

func newIdentity() (*identity, error) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("build's key: %w", err)
	}
	nist, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("build's key: %w", err)
	}
	id := &identity{}
	for _, key := range []any{edwards, nist} {
		signer, err := ssh.NewSignerFromKey(key)
		if err != nil {
			return nil, fmt.Errorf("build's key: %w", err)
		}
		id.signers = append(id.signers, signer)
	}
	sum := sha256.Sum256(id.signers[0].PublicKey().Marshal())
	id.name = "packer-ssm-" + hex.EncodeToString(sum[:6])
	return id, nil
}

// authorizedKeys are the public halves, one a line.
func (id *identity) authorizedKeys() string {
	var lines strings.Builder
	for _, signer := range id.signers {
		lines.Write(ssh.MarshalAuthorizedKey(signer.PublicKey()))
	}
	return strings.TrimSuffix(lines.String(), "\n")
}

// bootstrap is the script that starts the daemon, or finds it running. ttl is
// rounded up to seconds; zero leaves the instance without a timer. A daemon that
// has to be started takes the port that is wished for, if it is free.
func (id *identity) bootstrap(user string, ttl time.Duration, wish int) string {
	seconds := int64((ttl + time.Second - 1) / time.Second)
	return withVariables(bootstrapScript,
		"name", id.name, "user", user, "keys", id.authorizedKeys(), "ttl", strconv.FormatInt(seconds, 10), "wish", strconv.Itoa(wish),
		"job", strings.TrimSuffix(jobScript, "\n"))
}

// stop is the script that ends the daemon and removes what it had.
func (id *identity) stop() string {
	return withVariables(stopScript, "name", id.name)
}

// withVariables sets shell variables, given as name and value in turn, below
// the script's first line.
func withVariables(script string, pairs ...string) string {
	shebang, rest, _ := strings.Cut(script, "\n")
	var text strings.Builder
	text.WriteString(shebang + "\n")
	for i := 0; i+1 < len(pairs); i += 2 {
		text.WriteString(pairs[i] + "=" + quote(pairs[i+1]) + "\n")
	}
	text.WriteString(rest)
	return text.String()
}

// quote makes one word of a POSIX shell of any text without NUL.
func quote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// daemon is where the private sshd listens and how it is known.
type daemon struct {
	port    int
	hostKey ssh.PublicKey
	boot    string // the boot id of the instance when it was started
	jobs    bool   // commands can outlive their connection
}

var bootID = regexp.MustCompile(`^[0-9a-f-]{36}$`)

// parseDaemon reads the one line that bootstrap.sh writes.
func parseDaemon(stdout string) (daemon, error) {
	line := strings.TrimSuffix(stdout, "\n")
	line, jobs := strings.CutSuffix(line, " jobs")
	fields := strings.Split(line, " ")
	if len(fields) != 5 || fields[0] != "packer-plugin-ssm" || strings.ContainsAny(line, "\r\n") {
		return daemon{}, fmt.Errorf("bootstrap wrote %.200q, not the line with port and host key", stdout)
	}
	port, err := strconv.Atoi(fields[1])
	if err != nil || port <= 1024 || port > 65535 || strconv.Itoa(port) != fields[1] {
		return daemon{}, fmt.Errorf("bootstrap named the port %.20q", fields[1])
	}
	key, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(fields[2] + " " + fields[3]))
	if err != nil || len(rest) != 0 || key.Type() != fields[2] {
		return daemon{}, fmt.Errorf("bootstrap's host key %.200q can't be read: %w", fields[3], errors.Join(err))
	}
	if !bootID.MatchString(fields[4]) {
		return daemon{}, fmt.Errorf("bootstrap named the boot id %.50q", fields[4])
	}
	return daemon{port: port, hostKey: key, boot: fields[4], jobs: jobs}, nil
}

// bootstrap runs the script on the instance. It is safe to repeat: a daemon
// that already runs for this build is found, and the timer is set anew.
func (c *Communicator) bootstrap(ctx context.Context, wish int) (daemon, error) {
	ctx, cancel := context.WithTimeout(ctx, bootstrapLimit)
	defer cancel()
	c.bootstrapped.Store(true)
	stdout, err := c.links.run(ctx, c.identity.bootstrap(c.cfg.User, c.timeToLive(), wish))
	if err != nil {
		return daemon{}, fmt.Errorf("bootstrap: %w", err)
	}
	found, err := parseDaemon(stdout)
	if err != nil {
		return daemon{}, err
	}
	c.cfg.Logger.Debug("private sshd is up", "port", found.port, "boot", found.boot)
	return found, nil
}

// timeToLive is what is left of Config.TTL, which counts from Connect. An
// instance that is over it still gets a minute, so that the build can see why.
func (c *Communicator) timeToLive() time.Duration {
	if c.cfg.TTL == 0 {
		return 0
	}
	return max(time.Until(c.connected.Add(c.cfg.TTL)), time.Minute)
}

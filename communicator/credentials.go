package communicator

import (
	"bytes"
	"fmt"
	"net"
	"sync"

	"github.com/hashicorp/packer-plugin-sdk/multistep"
	"golang.org/x/crypto/ssh"
)

// clientConfig is how to log in: as the build, with the key made for it, or
// with what the user has, read by the SDK as for every other builder.
func (c *Communicator) clientConfig() (*ssh.ClientConfig, error) {
	if c.cfg.OwnCredentials {
		conf, err := c.cfg.SSH.SSHConfigFunc()(new(multistep.BasicStateBag))
		if err != nil {
			return nil, fmt.Errorf("credentials of the template: %w", err)
		}
		conf.User = c.cfg.User
		conf.HostKeyCallback = c.pinned.check
		return conf, nil
	}
	return &ssh.ClientConfig{
		Config: ssh.Config{
			Ciphers:      c.cfg.SSH.SSHCiphers,
			KeyExchanges: c.cfg.SSH.SSHKEXAlgos,
		},
		User:            c.cfg.User,
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(c.identity.signers...)},
		HostKeyCallback: c.pinned.check,
	}, nil
}

// pin is the host key that the instance must have. Of the private daemon it is
// known by Run Command before anything is dialled. Of the machine's own sshd it
// is the one seen first: Session Manager has already made sure of the instance.
type pin struct {
	mu  sync.Mutex
	key ssh.PublicKey
	own bool // the key is the machine's own: nil until it is seen
}

func (p *pin) set(key ssh.PublicKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key = key
}

// check is an ssh.HostKeyCallback.
func (p *pin) check(_ string, _ net.Addr, key ssh.PublicKey) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.key == nil && p.own {
		p.key = key
	}
	if p.key == nil || !bytes.Equal(p.key.Marshal(), key.Marshal()) {
		return &hostKeyError{want: p.key, got: key, first: p.own}
	}
	return nil
}

// hostKeyError is a server that is not the one expected. Of a private daemon
// that means another process has its port, which a new bootstrap mends.
type hostKeyError struct {
	want, got ssh.PublicKey
	first     bool // the wanted key was the one seen first
}

func (e *hostKeyError) Error() string {
	if e.want == nil {
		return "host key " + ssh.FingerprintSHA256(e.got) + " of a server that was not announced"
	}
	if e.first {
		return fmt.Sprintf("the host key of the instance's sshd is %s and was %s before; don't replace host keys while the build is connected",
			ssh.FingerprintSHA256(e.got), ssh.FingerprintSHA256(e.want))
	}
	return fmt.Sprintf("host key %s is not the private daemon's, %s",
		ssh.FingerprintSHA256(e.got), ssh.FingerprintSHA256(e.want))
}

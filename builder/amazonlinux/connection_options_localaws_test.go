//go:build linux

package amazonlinux_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// What the options of the connection change, seen from inside the instance.

// inside runs a build that makes no image, and a function where provisioners would be.
func (w *world) inside(more block, provision func(ctx context.Context, comm packersdk.Communicator) error) result {
	w.Helper()
	raw := w.template(block{"skip_create_ami": true})
	for key, value := range more {
		raw[key] = value
	}
	return w.build(w.Context(), raw, func(ctx context.Context, comm packersdk.Communicator, _ map[string]any) error {
		return provision(ctx, comm)
	})
}

// prints is a provisioner whose command must print something.
func prints(command, want string) func(context.Context, packersdk.Communicator) error {
	return func(ctx context.Context, comm packersdk.Communicator) error {
		got, err := sh(ctx, comm, command)
		if err == nil && !strings.Contains(got, want) {
			err = fmt.Errorf("%s: %q, want %q", command, got, want)
		}
		return err
	}
}

func TestConnectionOptions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		more      block
		provision func(context.Context, packersdk.Communicator) error
	}{
		"communicator":             {block{"communicator": "ssh"}, prints("id -un", "ec2-user")},
		"ssh_username":             {block{"ssh_username": "root"}, prints("id -un", "root")},
		"ssh_pty":                  {block{"ssh_pty": true}, prints("tty", "/dev/pts/")},
		"no ssh_pty":               {block{"ssh_pty": false}, prints("tty || true", "not a tty")},
		"ssh_file_transfer_method": {block{"ssh_file_transfer_method": "scp"}, uploads},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, localaws.Options{})
			if r := w.inside(test.more, test.provision); r.err != nil {
				t.Errorf("%v\n%s", r.err, r.ui)
			}
		})
	}
}

func uploads(ctx context.Context, comm packersdk.Communicator) error {
	if err := comm.Upload("/tmp/uploaded", strings.NewReader("as it was"), nil); err != nil {
		return err
	}
	var back bytes.Buffer
	if err := comm.Download("/tmp/uploaded", &back); err != nil {
		return err
	}
	if back.String() != "as it was" {
		return fmt.Errorf("came back as %q", back.String())
	}
	return prints("cat /tmp/uploaded", "as it was")(ctx, comm)
}

// Algorithms that the template allows are all that are offered.
func TestAlgorithmsAreThoseOfTheTemplate(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]block{
		"ssh_ciphers":                 {"ssh_ciphers": []string{"arcfour256"}},
		"credentials of one's own":    {"ssh_ciphers": []string{"arcfour256"}, "communicator": "ssh", "ssh_password": "x"},
		"ssh_key_exchange_algorithms": {"ssh_key_exchange_algorithms": []string{"diffie-hellman-group1-sha1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, localaws.Options{})
			more["ssh_timeout"] = "2m" // what is hopeless does not wait for it
			r := w.inside(more, prints("id -un", "ec2-user"))
			if r.err == nil || !strings.HasPrefix(r.err.Error(), "connect: ") || !strings.Contains(r.err.Error(), "no common algorithm") {
				t.Errorf("error %v\n%s", r.err, r.ui)
			}
			w.nothingLeft(r)
		})
	}
}

// A pause lies between the connection and the first provisioner.
func TestPauseBeforeConnecting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	var began time.Time
	r := w.inside(block{"pause_before_connecting": "1500ms"}, func(context.Context, packersdk.Communicator) error {
		began = time.Now()
		return nil
	})
	if r.err != nil {
		t.Fatal(r.err)
	}
	for _, c := range w.aws.Calls() {
		if c.Action == "StartSession" && began.Sub(c.Time) < 1500*time.Millisecond {
			t.Errorf("provisioned %s after the session was started", began.Sub(c.Time))
		}
	}
}

// freePort is a port of this machine that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("listening on %v", l.Addr())
	}
	return address.Port
}

// Tunnels lead to the instance's own sshd, and from the instance to this machine.
func TestTunnels(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	here, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := here.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "from here\n")
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = here.Close()
		serving.Wait()
	})
	near := freePort(t)
	r := w.inside(block{
		"ssh_local_tunnels":  []string{fmt.Sprintf("%d:127.0.0.1:22", near)},
		"ssh_remote_tunnels": []string{"9191:" + here.Addr().String()},
	}, func(ctx context.Context, comm packersdk.Communicator) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", near))
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		banner, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(banner, "SSH-2.0-OpenSSH") {
			return fmt.Errorf("at the tunnel's other end: %q, %w", banner, errors.Join(err, errors.New("want the instance's sshd")))
		}
		return prints("exec 3<>/dev/tcp/127.0.0.1/9191; cat <&3", "from here")(ctx, comm)
	})
	if r.err != nil {
		t.Errorf("%v\n%s", r.err, r.ui)
	}
}

// A keyPair is one that the test has, in a file and in an SSH agent.
type keyPair struct {
	signer     ssh.Signer
	text       []byte
	file, sock string
}

func newKeyPair(t *testing.T) keyPair {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	text := pem.EncodeToMemory(block)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	return keyPair{signer, text, file, serveAgent(t, ring)}
}

// A certified key is one that an authority vouches for.
type certified struct{ key, file string }

// certify makes a key whose certificate for ec2-user p has signed.
func (p keyPair) certify(t *testing.T) certified {
	t.Helper()
	other := newKeyPair(t)
	certificate := &ssh.Certificate{
		Key: other.signer.PublicKey(), CertType: ssh.UserCert, KeyId: "test", ValidPrincipals: []string{"ec2-user"}, ValidBefore: ssh.CertTimeInfinity,
	}
	if err := certificate.SignCert(rand.Reader, p.signer); err != nil {
		t.Fatal(err)
	}
	file := other.file + "-cert.pub"
	if err := os.WriteFile(file, ssh.MarshalAuthorizedKey(certificate), 0o600); err != nil {
		t.Fatal(err)
	}
	return certified{other.file, file}
}

// serveAgent serves an SSH agent until the test ends, and returns its socket.
func serveAgent(t *testing.T, ring agent.Agent) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { _ = conn.Close() }) // the SDK leaves its own open
			serving.Go(func() { _ = agent.ServeAgent(ring, conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		stop()
		serving.Wait()
		_ = os.RemoveAll(dir)
	})
	return dir + "/s"
}

// The user's SSH agent is there for provisioners, unless the template keeps it out.
func TestDisableAgentForwarding(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", newKeyPair(t).sock)
	for disabled, want := range map[bool]string{false: "agent", true: "none"} {
		w := newWorld(t, localaws.Options{})
		r := w.inside(block{"ssh_disable_agent_forwarding": disabled}, prints(`if [ -n "$SSH_AUTH_SOCK" ]; then echo agent; else echo none; fi`, want))
		if r.err != nil {
			t.Errorf("ssh_disable_agent_forwarding = %v: %v", disabled, r.err)
		}
	}
}

// With credentials of the user's own, communicator = "ssh" logs in to the machine's own sshd; here user data lets them in.
func TestOwnCredentials(t *testing.T) {
	pair := newKeyPair(t)
	certificate := pair.certify(t)
	t.Setenv("SSH_AUTH_SOCK", pair.sock)
	public := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pair.signer.PublicKey())))
	lets := "#!/bin/bash\nset -e\ninstall -d -m 700 -o ec2-user -g ec2-user ~ec2-user/.ssh\necho '" + public + "' >>~ec2-user/.ssh/authorized_keys\n" +
		"chown ec2-user: ~ec2-user/.ssh/authorized_keys\nchmod 600 ~ec2-user/.ssh/authorized_keys\n"
	for name, more := range map[string]block{
		"ssh_private_key_file": {"ssh_private_key_file": pair.file, "ssh_port": 22},
		"ssh_private_key":      {"ssh_private_key": pair.text},
		"ssh_agent_auth":       {"ssh_agent_auth": true},
		"ssh_certificate_file": {
			"ssh_private_key_file": certificate.key, "ssh_certificate_file": certificate.file,
			"user_data": "#!/bin/bash\nset -e\necho '" + public + "' >/etc/ssh/authority.pub\necho 'TrustedUserCAKeys /etc/ssh/authority.pub' >>/etc/ssh/sshd_config\nsystemctl restart sshd\n",
		},
	} {
		w := newWorld(t, localaws.Options{})
		more["communicator"], more["ssh_timeout"] = "ssh", "1m"
		if more["user_data"] == nil {
			more["user_data"] = lets
		}
		before := len(w.actions())
		r := w.inside(more, prints("id -un", "ec2-user"))
		if r.err != nil {
			t.Errorf("%s: %v\n%s", name, r.err, r.ui)
		}
		for _, action := range w.actions()[before:] {
			if action == "ssm:SendCommand" {
				t.Errorf("%s: a daemon of the plugin's own was started", name)
			}
		}
	}
}

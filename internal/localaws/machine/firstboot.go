//go:build linux

package machine

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// Where cloud-init keeps what it knows. An image carries this along, so that only a new instance has a first boot.
const (
	cloudDir     = "/var/lib/cloud"
	instanceFile = cloudDir + "/data/instance-id"
	instanceLink = cloudDir + "/instance"
	finishedFile = instanceLink + "/boot-finished"
	cloudLog     = "/var/log/cloud-init.log"
	outputLog    = "/var/log/cloud-init-output.log"
)

// initialize gives the machine its name and, on the first boot of an instance, its identity.
func (g *guest) initialize() (first bool, err error) {
	previous, err := os.ReadFile(instanceFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	first = strings.TrimSpace(string(previous)) != g.config.ID
	if err := ensureMachineID(); err != nil {
		return first, err
	}
	if first {
		if err := g.firstBoot(); err != nil {
			return first, fmt.Errorf("first boot: %w", err)
		}
	}
	name := g.config.Hostname
	if text, err := os.ReadFile("/etc/hostname"); err == nil {
		name = firstOf(strings.TrimSpace(string(text)), name)
	}
	return first, unix.Sethostname([]byte(name))
}

// currentHostname is the machine's name now, or otherwise.
func currentHostname(otherwise string) string {
	name, err := os.Hostname()
	if err != nil {
		return otherwise
	}
	return name
}

// ensureMachineID makes a machine id where an image has none, as systemd does.
func ensureMachineID() error {
	text, err := os.ReadFile("/etc/machine-id")
	if err == nil && len(strings.TrimSpace(string(text))) == 32 {
		return nil
	}
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return err
	}
	return os.WriteFile("/etc/machine-id", []byte(hex.EncodeToString(id)+"\n"), 0o444)
}

func (g *guest) firstBoot() error {
	if err := newHostKeys(g.config.Release); err != nil {
		return err
	}
	if err := authorize("ec2-user", g.config.PublicKeys); err != nil {
		return err
	}
	if err := os.WriteFile("/etc/hostname", []byte(g.config.Hostname+"\n"), 0o644); err != nil {
		return err
	}
	dir := filepath.Join(cloudDir, "instances", g.config.ID)
	for _, d := range []string{dir, cloudDir + "/data", "/var/log"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := os.Remove(instanceLink); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(dir, instanceLink); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "user-data.txt"), g.config.UserData, 0o600); err != nil {
		return err
	}
	return os.WriteFile(instanceFile, []byte(g.config.ID+"\n"), 0o644)
}

// newHostKeys replaces the ssh host keys, of the kinds that the release's cloud-init makes.
func newHostKeys(release Release) error {
	old, err := filepath.Glob("/etc/ssh/ssh_host_*key*")
	if err != nil {
		return err
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	if err := os.MkdirAll("/etc/ssh", 0o755); err != nil {
		return err
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	keys := map[string]crypto.Signer{"ed25519": ed, "ecdsa": ec}
	if release == AL2 {
		if keys["rsa"], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return err
		}
	}
	for kind, key := range keys {
		if err := writeHostKey("/etc/ssh/ssh_host_"+kind+"_key", key); err != nil {
			return err
		}
	}
	return nil
}

func writeHostKey(path string, key crypto.Signer) error {
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return err
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return err
	}
	return os.WriteFile(path+".pub", ssh.MarshalAuthorizedKey(public), 0o644)
}

// authorize adds the instance's key pair to the user's authorized_keys.
func authorize(user string, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	who, err := lookupAccount(user)
	if err != nil {
		return err
	}
	dir := filepath.Join(who.home, ".ssh")
	path := filepath.Join(dir, "authorized_keys")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	have, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := string(have)
	for _, k := range keys {
		if k = strings.TrimSpace(k); !strings.Contains(text, k) {
			text += k + "\n"
		}
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	return errors.Join(os.Chown(dir, int(who.uid), int(who.gid)), os.Chown(path, int(who.uid), int(who.gid)))
}

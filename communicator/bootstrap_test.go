package communicator

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func TestParseDaemon(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ9t9pjpX2i/eF0KRnOS0hnMe7s8LLXogLTrvWhLGjW0"
	const boot = "ecd37b0e-55f0-4823-9e34-b97095aaac73"
	got, err := parseDaemon("packer-plugin-ssm 16053 " + key + " " + boot + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if got.port != 16053 || got.boot != boot || strings.TrimSpace(string(ssh.MarshalAuthorizedKey(got.hostKey))) != key {
		t.Errorf("got %+v", got)
	}
	for name, line := range map[string]string{
		"empty":          "",
		"noise before":   "hello\npacker-plugin-ssm 16053 " + key + " " + boot,
		"noise after":    "packer-plugin-ssm 16053 " + key + " " + boot + "\nbye\n",
		"carriage":       "packer-plugin-ssm 16053 " + key + " " + boot + "\r\n",
		"low port":       "packer-plugin-ssm 22 " + key + " " + boot,
		"high port":      "packer-plugin-ssm 65536 " + key + " " + boot,
		"signed port":    "packer-plugin-ssm +16053 " + key + " " + boot,
		"key type":       "packer-plugin-ssm 16053 ssh-rsa " + strings.Fields(key)[1] + " " + boot,
		"broken key":     "packer-plugin-ssm 16053 ssh-ed25519 AAAA " + boot,
		"boot id":        "packer-plugin-ssm 16053 " + key + " x",
		"another prefix": "packer 16053 " + key + " " + boot,
		"missing field":  "packer-plugin-ssm 16053 " + key,
	} {
		if got, err := parseDaemon(line); err == nil {
			t.Errorf("%s: parsed as %+v", name, got)
		}
	}
}

func TestQuote(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no POSIX shell on this machine to quote for")
	}
	for _, text := range []string{"", "a b", "it's", "$HOME `id` \\ \" !", "two\nlines", "'; exit 3; '", "{{ name }}"} {
		script := withVariables("#!/bin/sh\nprintf %s \"$v\"\n", "v", text)
		out, err := exec.CommandContext(t.Context(), sh, "-c", script).Output()
		if err != nil || string(out) != text {
			t.Errorf("quote(%q): %q, %v", text, out, err)
		}
	}
}

func TestUserNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"ec2-user": true, "root": true, "a.b_c-9": true, "": true, // the default
		"*": false, "a b": false, "-x": false, "a@b": false, "u;id": false, "a\n": false, strings.Repeat("x", 33): false,
	} {
		if _, err := (Config{User: name}).withDefaults(); (err == nil) != ok {
			t.Errorf("user %q: %v", name, err)
		}
	}
}

func TestSessionsAreBounded(t *testing.T) {
	for sessions, want := range map[int]int{0: defaultSessions, 1: 1, 8: 8, maxSessions: maxSessions} {
		if cfg, err := (Config{Sessions: sessions}).withDefaults(); err != nil || cfg.Sessions != want {
			t.Errorf("%d sessions: %d, %v", sessions, cfg.Sessions, err)
		}
	}
	for _, sessions := range []int{-1, maxSessions + 1} {
		i := newInstance(t)
		over := i.links()
		over.open = func(context.Context, int) (port, error) { t.Error("a session was opened"); return nil, errNowhere }
		if _, err := connectOver(t.Context(), over, Config{Sessions: sessions}); err == nil || i.count("bootstrap") != 0 {
			t.Errorf("%d sessions: %v, %d bootstraps", sessions, err, i.count("bootstrap"))
		}
	}
}

func TestBootstrapCarriesOnlyPublicKeys(t *testing.T) {
	id, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	script := id.bootstrap("ec2-user", 90*time.Minute+1, 12345)
	for _, want := range []string{
		"#!/bin/sh\nname='" + id.name + "'\n", "\nuser='ec2-user'\n", "\nkeys='ssh-ed25519 ", "\necdsa-sha2-nistp256 ", "\nttl='5401'\nwish='12345'\n",
	} {
		if !strings.Contains(script, want) {
			t.Errorf("no %q in the script", want)
		}
	}
	// Run Command would replace what stands in double braces.
	if strings.Contains(script, "{{") || strings.Contains(id.stop(), "{{") {
		t.Error("a script has double braces")
	}
	if strings.Contains(script, "PRIVATE") {
		t.Error("the script has a private key")
	}
}

func TestBootstrapKnowsItsUserUntilTheEnd(t *testing.T) {
	c := &Communicator{cfg: Config{TTL: time.Hour}, connected: time.Now().Add(-40 * time.Minute)}
	if left := c.timeToLive(); left > 20*time.Minute || left < 19*time.Minute {
		t.Errorf("%s left of an hour after 40 minutes", left)
	}
	c.connected = time.Now().Add(-2 * time.Hour)
	if left := c.timeToLive(); left != time.Minute {
		t.Errorf("%s left when it is over", left)
	}
	c.cfg.TTL = 0
	if left := c.timeToLive(); left != 0 {
		t.Errorf("%s left of no limit", left)
	}
}

func TestScriptsAreClean(t *testing.T) {
	shellcheck, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip("shellcheck is not installed; apt-get install shellcheck")
	}
	for _, script := range []string{"bootstrap.sh", "stop.sh"} {
		out, err := exec.CommandContext(t.Context(), shellcheck, "-s", "sh", script).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
}

// The script's checks, as far as they come before anything is made.
func TestBootstrapRefuses(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil || os.Getuid() == 0 {
		t.Skip("needs a POSIX shell, and a user who is not root and so can't do harm")
	}
	id, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bootstrap.sh")
	if err := os.WriteFile(path, []byte(id.bootstrap("ec2-user", 0, 12345)), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), sh, path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if len(out) != 0 || cmd.ProcessState.ExitCode() != exitNever {
		t.Errorf("wrote %q and %q, %v", out, stderr.String(), err)
	}
}

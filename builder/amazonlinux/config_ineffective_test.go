package amazonlinux

import (
	"strings"
	"testing"
	"time"
)

// What is given and has no effect is told, and what has one is not.
func TestOptionsWithoutEffectAreTold(t *testing.T) {
	connection := block{
		"pause_before_connecting": "1s", "ssh_ciphers": []string{"aes256-ctr"}, "ssh_disable_agent_forwarding": true,
		"ssh_file_transfer_method": "scp", "ssh_handshake_attempts": 3, "ssh_keep_alive_interval": "1s",
		"ssh_key_exchange_algorithms": []string{"curve25519-sha256"}, "ssh_local_tunnels": []string{"8080:127.0.0.1:80"}, "ssh_pty": true,
		"ssh_read_write_timeout": "9s", "ssh_remote_tunnels": []string{"9090:127.0.0.1:90"}, "ssh_timeout": "2m",
		"ssm_timeout": "5m", "ssm_transfer_sessions": 2,
	}
	for name, test := range map[string]struct {
		communicator string
		more         block
		want         []string // options that the one warning is about
	}{
		"nothing":                  {"none", block{"ssh_username": "root", "ssh_password": "x", "ssh_port": 2222}, nil},
		"none":                     {"none", connection, strings.Fields("pause_before_connecting ssh_ciphers ssh_disable_agent_forwarding ssh_file_transfer_method ssh_handshake_attempts ssh_keep_alive_interval ssh_key_exchange_algorithms ssh_local_tunnels ssh_pty ssh_read_write_timeout ssh_remote_tunnels ssh_timeout ssm_timeout ssm_transfer_sessions")},
		"none, the old name":       {"none", block{"ssh_wait_timeout": "1m"}, []string{"ssh_wait_timeout"}},
		"none, timer":              {"none", block{"instance_ttl": "1h"}, []string{"instance_ttl"}},
		"ssm":                      {"ssm", connection, nil},
		"ssm, port":                {"ssm", block{"ssh_port": 2222}, []string{"ssh_port"}},
		"as of amazon-ebs":         {"ssh", block{"ssh_port": 22, "ssh_timeout": "5m", "instance_ttl": "1h"}, nil},
		"ssh, port":                {"ssh", block{"ssh_port": 2222}, []string{"ssh_port"}},
		"credentials of one's own": {"ssh", block{"ssh_port": 2222, "ssh_password": "x", "ssh_timeout": "5m"}, nil},
		"their timer":              {"ssh", block{"ssh_password": "x", "instance_ttl": "1h"}, []string{"instance_ttl"}},
	} {
		t.Run(name, func(t *testing.T) {
			raw := with(test.more)
			raw["communicator"] = test.communicator
			_, warnings, err := new(Builder).Prepare(raw)
			if err != nil {
				t.Fatal(err)
			}
			told, _, _ := strings.Cut(strings.Join(warnings, "\n"), ": no effect here: ")
			if told != strings.Join(test.want, ", ") || len(warnings) > 1 {
				t.Errorf("warned %q, want of %q", warnings, test.want)
			}
		})
	}
}

// Connecting has what is left of ssm_timeout, and an ssh_timeout that the template gives in any case.
func TestConnectLimit(t *testing.T) {
	for name, test := range map[string]struct {
		more         block
		waited, want time.Duration
	}{
		"as it is":           {nil, time.Minute, 9 * time.Minute},
		"nearly over":        {nil, 10 * time.Minute, 2 * time.Minute},
		"short":              {block{"ssm_timeout": "30s"}, 20 * time.Second, 30 * time.Second},
		"ssh_timeout":        {block{"ssh_timeout": "40m"}, time.Minute, 40*time.Minute + time.Second},
		"ssh_wait_timeout":   {block{"ssh_wait_timeout": "40m"}, time.Minute, 40*time.Minute + time.Second},
		"ssh_timeout, short": {block{"ssh_timeout": "10s"}, time.Minute, 9 * time.Minute}, // it ends by itself
	} {
		if got := testBuild(t, test.more).config.connectLimit(test.waited); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

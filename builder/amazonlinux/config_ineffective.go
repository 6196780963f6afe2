package amazonlinux

import (
	"fmt"
	"strings"
)

// ineffective are warnings of options that are given and do nothing with the communicator of the template.
// They are no errors: a variable may choose the communicator. It is asked before defaults are filled in.
func (c *Config) ineffective() []string {
	switch kind := c.Comm.Type; {
	case kind == communicatorNone:
		return warn(append(c.ofConnection(), c.ofTimer()), `communicator = "none" connects to nothing`)
	case kind == communicatorSSH && c.ownCredentials():
		return warn([]option{c.ofTimer()}, "the timer in the guest comes with the plugin's own daemon, which is not used with credentials of your own; only the tag with the expiry is set")
	}
	return warn([]option{{"ssh_port", c.Comm.SSHPort != 0 && c.Comm.SSHPort != usualPort}},
		`the plugin's own daemon takes a free port; that of the machine's is asked with communicator = "ssh" and credentials of your own`)
}

// usualPort is what templates from amazon-ebs may have without a meaning.
const usualPort = 22

func warn(list []option, why string) []string {
	var names []string
	for _, o := range list {
		if o.given {
			names = append(names, o.name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s: no effect here: %s", strings.Join(names, ", "), why)}
}

// ofConnection are the options of a connection. What build.User, build.Port, build.Password and the like tell is not among them.
func (c *Config) ofConnection() []option {
	comm := &c.Comm
	return []option{
		{"pause_before_connecting", comm.PauseBeforeConnect != 0},
		{"ssh_certificate_file", comm.SSHCertificateFile != ""},
		{"ssh_ciphers", len(comm.SSHCiphers) > 0},
		{"ssh_disable_agent_forwarding", comm.SSHDisableAgentForwarding},
		{"ssh_file_transfer_method", comm.SSHFileTransferMethod != ""},
		{"ssh_handshake_attempts", comm.SSHHandshakeAttempts != 0},
		{"ssh_keep_alive_interval", comm.SSHKeepAliveInterval != 0},
		{"ssh_key_exchange_algorithms", len(comm.SSHKEXAlgos) > 0},
		{"ssh_local_tunnels", len(comm.SSHLocalTunnels) > 0},
		{"ssh_pty", comm.SSHPty},
		{"ssh_read_write_timeout", comm.SSHReadWriteTimeout != 0},
		{"ssh_remote_tunnels", len(comm.SSHRemoteTunnels) > 0},
		{"ssh_timeout", comm.SSHTimeout != 0},
		{"ssh_wait_timeout", comm.SSHWaitTimeout != 0},
		{"ssm_timeout", c.SSMTimeout != 0},
		{"ssm_transfer_sessions", c.SSMTransferSessions != 0},
	}
}

func (c *Config) ofTimer() option { return option{"instance_ttl", c.InstanceTTL != 0} }

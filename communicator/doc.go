// Package communicator is Packer's communicator on a Session Manager session.
//
// How a build reaches the instance:
//
//	Run Command ── bootstrap.sh ──> private sshd on 127.0.0.1:port, keys in /run
//	                                 │ port, public host key
//	Session Manager port session <───┘
//	  ├─ stream: control line: keepalives, SFTP, tunnels        (line.go, transfer.go)
//	  └─ stream: the SDK's SSH communicator: provisioner commands (shell.go)
//
// The SDK's communicator gets its streams from its Connection hook, and asks
// that again when a connection is lost. The hook gives a stream of the living
// line, and where there is none makes one (reconnect.go): a new session to the
// daemon that still runs, or, after a reboot has cleared /run, a new bootstrap.
//
// With the user's own credentials (Config.OwnCredentials) there is no
// bootstrap: the machine's own sshd is spoken to through the same session.
package communicator

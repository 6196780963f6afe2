// Package communicator is Packer's communicator on a Session Manager session.
//
// How a build reaches the instance:
//
//	Run Command ── bootstrap.sh ──> private sshd on 127.0.0.1:port, keys in /run
//	                                 │ port, public host key
//	Session Manager port session <───┘
//	  ├─ stream: control line: keepalives, SFTP, tunnels (line.go, transfer.go)
//	  └─ stream: commands                               (shell.go, channel.go)
//
// The session is opened, and logged in on, while Run Command still works: the
// daemon is told which port to take (advance.go). Nothing is done there before
// its host key is known.
//
// Whoever needs the line gets the living one; where there is none it is made
// (reconnect.go): a new session to the daemon that still runs, or, after a
// reboot has cleared /run, a new bootstrap.
//
// A command goes on in the instance when the line is lost, and is picked up on
// the next one, at the byte that its output had come to (job.go, job.sh). That
// takes nothing but a shell there: sshd gives each command a session of its own
// and leaves it alone, so all that is to be kept is its pipes. Commands with
// input or with a terminal end with their connection, as do all of them with
// the user's own credentials.
//
// What is larger than a few hundred KiB goes in pieces (stripe.go) over further
// sessions to the same daemon (lanes.go), opened when there is something for
// them to carry:
//
//	upload.sh, download.sh  on the line: looks after the file, compares, hashes
//	receive.sh, send.sh     on each lane: writes or reads pieces at their offset
//
// A directory is one file of that kind, a tar stream (archive.go). A file takes
// its place when the SHA-256 of the whole is right, so that a part of one never
// passes for it. Where the instance lacks the tools, or the target is no plain
// file, all goes by SFTP over the line.
//
// With the user's own credentials (Config.OwnCredentials) there is no
// bootstrap: the machine's own sshd is spoken to through the same session.
package communicator

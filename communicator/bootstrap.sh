#!/bin/sh
# Starts a private OpenSSH daemon for one build and arms the instance's timer.
# Runs as root. Needs: name, user, keys, ttl (seconds, 0 = no timer), wish (the
# port to take if it is free), job (the script by which commands outlive their
# connection).
# Says on one line: packer-plugin-ssm <port> <host key type> <host key> <boot id>,
# and " jobs" behind it where that script can be used.
# Exits 64 when it can't ever work here, 75 when it may work later, 76 when the
# instance is on its way down.
set -eu
: "${name:?}" "${user:?}" "${keys:?}" "${ttl:?}" "${wish:?}" "${job:?}"
umask 077
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
LC_ALL=C
export LC_ALL
cd /
dir=/run/$name

refuse() {
	echo "$1" >&2
	exit 64
}

later() {
	echo "$1" >&2
	exit 75
}

stopping() {
	echo "the instance is shutting down" >&2
	exit 76
}

booted_by_systemd() {
	[ -d /run/systemd/system ]
}

state() {
	if booted_by_systemd; then
		systemctl is-system-running 2>/dev/null || :
	fi
}

# On the first boot the user may still be on its way (cloud-init, user data),
# and nobody but root may log in until systemd says so.
settle() {
	waited=0
	while ! id -u "$user" >/dev/null 2>&1 || [ -e /run/nologin ]; do
		case $(state) in
		stopping) stopping ;;
		initializing | starting) ;;
		*) return 0 ;;
		esac
		[ "$waited" -lt 100 ] || later "the instance is still booting and not ready for $user to log in"
		sleep 0.5
		waited=$((waited + 1))
	done
}

check() {
	[ "$(id -u)" = 0 ] || refuse "the bootstrap script must run as root"
	[ -x /usr/sbin/sshd ] || refuse "/usr/sbin/sshd is not installed; install openssh-server in the source image or by user_data"
	command -v ssh-keygen >/dev/null || refuse "ssh-keygen is not installed; install openssh in the source image or by user_data"
	id -u "$user" >/dev/null 2>&1 || refuse "there is no user $user on the instance; set ssh_username to one that exists"
	shell=$(getent passwd "$user" | cut -d: -f7)
	case $shell in
	*/nologin | */false) refuse "the user $user may not log in (its shell is $shell); set ssh_username to one that may" ;;
	esac
	case $(state) in
	stopping) stopping ;;
	esac
}

# The directory is root's, and others may pass through it but not list it: sshd
# reads the authorized keys as the user. Those are public; the host key is not.
prepare() {
	if [ -L "$dir" ] || { [ -e "$dir" ] && [ ! -O "$dir" ]; }; then
		refuse "$dir exists and is not root's"
	fi
	mkdir -p "$dir"
	chmod 711 "$dir"
	printf '%s\n' "$keys" >"$dir/authorized_keys.new"
	chmod 644 "$dir/authorized_keys.new"
	mv -f "$dir/authorized_keys.new" "$dir/authorized_keys"
	exec 9>"$dir/lock"
	flock -w 60 9 || later "another bootstrap of this build is at work"
	type=ed25519
	if [ "$(cat /proc/sys/crypto/fips_enabled 2>/dev/null || :)" = 1 ]; then
		type=ecdsa
	fi
	if [ ! -s "$dir/host_key" ] || [ ! -s "$dir/host_key.pub" ]; then
		rm -f "$dir/host_key" "$dir/host_key.pub"
		ssh-keygen -q -t "$type" -N '' -C '' -f "$dir/host_key" >"$dir/keygen.log" 2>&1 ||
			refuse "ssh-keygen made no host key: $(cat "$dir/keygen.log")"
	fi
}

# Whether the process $1 is the daemon of this directory.
is_daemon() {
	[ -n "$1" ] && [ -r "/proc/$1/cmdline" ] && tr '\0' '\n' <"/proc/$1/cmdline" 2>/dev/null | grep -qF "HostKey=$dir/host_key"
}

running() {
	is_daemon "$(cat "$dir/pid" 2>/dev/null || :)" && [ -s "$dir/port" ]
}

# Commands outlive their connection where the user's shell is one that can read
# the script, and the files of the jobs have a place: on tmpfs, the user's own.
employ() {
	case $shell in
	*/bash | */sh | */dash | */ksh) ;;
	*) return 1 ;;
	esac
	command -v dd >/dev/null && tail -c +1 --pid=1 /dev/null 2>/dev/null || return 1
	# tee has to tell by its status that a pipe is broken. That of Amazon
	# Linux 2 does so, and later ones if they are told to.
	tee='tee --output-error=warn'
	$tee </dev/null >/dev/null 2>&1 || tee='tee'
	mkdir -p "$dir/jobs" && chown "$user" "$dir/jobs" && chmod 700 "$dir/jobs" || return 1
	printf "ssm_tee='%s'\n%s\n" "$tee" "$job" >"$dir/job.new" && chmod 644 "$dir/job.new" && mv -f "$dir/job.new" "$dir/job"
}

# sshd replaces this (sub)shell by the daemon, run by the command line that it
# is given. Every option is known to OpenSSH 7.4, the one of Amazon Linux 2.
sshd() {
	mode=$1
	shift
	root=no
	if [ "$user" = root ]; then
		root=without-password
	fi
	umask 022
	exec 9>&-
	exec "$@" env -i PATH="$PATH" /usr/sbin/sshd "$mode" -e -f /dev/null \
		-o "HostKey=$dir/host_key" \
		-o "PidFile=$dir/pid" \
		-o "AuthorizedKeysFile=$dir/authorized_keys" \
		-o "AllowUsers=$user" \
		-o "PermitRootLogin=$root" \
		-o "ListenAddress=127.0.0.1:$port" \
		-o UsePAM=yes \
		-o PubkeyAuthentication=yes \
		-o PasswordAuthentication=no \
		-o ChallengeResponseAuthentication=no \
		-o HostbasedAuthentication=no \
		-o GSSAPIAuthentication=no \
		-o KerberosAuthentication=no \
		-o PermitEmptyPasswords=no \
		-o AuthenticationMethods=publickey \
		-o StrictModes=yes \
		-o LoginGraceTime=60 \
		-o MaxAuthTries=20 \
		-o MaxSessions=200 \
		-o MaxStartups=200 \
		-o ClientAliveInterval=30 \
		-o ClientAliveCountMax=20 \
		-o X11Forwarding=no \
		-o PermitTunnel=no \
		-o GatewayPorts=no \
		-o PermitUserEnvironment=no \
		-o AcceptEnv=SHLVL \
		-o PrintMotd=no \
		-o PrintLastLog=no \
		-o Banner=none \
		-o UseDNS=no \
		-o "Subsystem=sftp internal-sftp" \
		</dev/null >>"$dir/log" 2>&1
}

# sshd names the directory that it wants for privilege separation, which is
# missing where that is in /run and the system's own sshd never ran.
privsep() {
	if (sshd -t); then
		return 0
	fi
	missing=$(sed -n 's/^Missing privilege separation directory: *//p' "$dir/log" | tr -d '\r')
	if [ -n "$missing" ]; then
		mkdir -p "$missing"
		chmod 755 "$missing"
	fi
}

# In a scope of its own the daemon outlives the agent, and it keeps the
# security context of this script, in which it may listen on any port.
detached() {
	if [ "$1" -le 5 ] && booted_by_systemd && command -v systemd-run >/dev/null; then
		sshd -D systemd-run --scope --slice=system.slice --unit="$name-$port" setsid
	fi
	sshd -D setsid
}

# The daemon writes its pid file once it listens, and ends if it can't.
launch() {
	port=$wish
	wish=$((10240 + $(od -An -N2 -tu2 /dev/urandom) % 20000))
	rm -f "$dir/pid" "$dir/port"
	: >"$dir/log"
	privsep
	(detached "$1") &
	child=$!
	waited=0
	while [ ! -s "$dir/pid" ]; do
		kill -0 "$child" 2>/dev/null || return 1
		[ "$waited" -lt 300 ] || return 1
		sleep 0.1
		waited=$((waited + 1))
	done
	echo "$port" >"$dir/port"
}

serve() {
	if running; then
		return 0
	fi
	for try in 1 2 3 4 5 6 7 8 9 10; do
		if launch "$try"; then
			return 0
		fi
	done
	refuse "sshd does not start: $(tail -n 5 "$dir/log" | tr '\n' ' ')"
}

# The timer ends an instance whose build is gone. It is replaced, not doubled;
# a reboot removes it.
disarm() {
	if booted_by_systemd; then
		systemctl stop "$name-ttl-*.timer" >/dev/null 2>&1 || :
	fi
	old=$(cat "$dir/ttl" 2>/dev/null || :)
	if [ -n "$old" ] && timer "$old"; then
		kill -s TERM -- "-$old" 2>/dev/null || kill -s TERM "$old" 2>/dev/null || :
	fi
	rm -f "$dir/ttl"
}

timer() {
	tr '\0' '\n' <"/proc/$1/cmdline" 2>/dev/null | grep -qxF "$name-ttl"
}

arm() {
	disarm
	[ "$ttl" -gt 0 ] || return 0
	if booted_by_systemd && systemd-run --unit="$name-ttl-$$" --on-active="$ttl" \
		"$(command -v shutdown)" -h now >/dev/null 2>&1; then
		return 0
	fi
	(
		exec 9>&-
		# shellcheck disable=SC2016 # $1 is for the inner shell
		exec env -i PATH="$PATH" setsid sh -c 'sleep "$1"; shutdown -h now' "$name-ttl" "$ttl" </dev/null >/dev/null 2>&1
	) &
	echo "$!" >"$dir/ttl"
	for _ in 1 2 3 4 5 6 7 8 9 10; do # known by its name, so that a run right after this one replaces it
		if timer "$!"; then break; fi
		sleep 0.1
	done
}

settle
check
prepare
serve
arm
able=
if employ; then
	able=' jobs'
fi
read -r kind key _ <"$dir/host_key.pub"
echo "packer-plugin-ssm $(cat "$dir/port") $kind $key $(cat /proc/sys/kernel/random/boot_id)$able"

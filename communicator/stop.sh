#!/bin/sh
# Ends the private daemon of one build, its SSH sessions and the commands that
# have outlived theirs with it, and removes its directory. The timer stays: the
# build is not over. Runs as root. Needs: name.
set -eu
: "${name:?}"
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
cd /
dir=/run/$name

is_daemon() {
	[ -n "$1" ] && [ -r "/proc/$1/cmdline" ] &&
		tr '\0' '\n' <"/proc/$1/cmdline" 2>/dev/null | grep -qF "HostKey=$dir/host_key"
}

# The process of each connection is a child of the daemon.
children() {
	for status in /proc/[0-9]*/status; do
		if grep -qx "PPid:[[:space:]]*$1" "$status" 2>/dev/null; then
			child=${status#/proc/}
			echo "${child%/status}"
		fi
	done
}

# ended tells whether all of "$@" are gone within 5 s.
ended() {
	waited=0
	while kill -s 0 -- "$@" 2>/dev/null; do
		[ "$waited" -lt 50 ] || return 1
		sleep 0.1
		waited=$((waited + 1))
	done
}

# The user has written these numbers, so each has to be the shell of a job.
shells() {
	for file in "$dir"/jobs/*.pid; do
		if [ -f "$file" ] && read -r job _ <"$file" && tr '\0' '\n' <"/proc/$job/cmdline" | grep -qF "$dir/job"; then
			echo "$job"
		fi
	done 2>/dev/null
}

# The shell of a job leads a process group. What has left that is not followed.
for each in $(shells); do
	kill -s TERM -- "-$each" 2>/dev/null || :
	ended "-$each" || kill -s KILL -- "-$each" 2>/dev/null || :
done

pid=$(cat "$dir/pid" 2>/dev/null || :)
if is_daemon "$pid"; then
	connections=$(children "$pid")
	kill -TERM "$pid" 2>/dev/null || :
	for each in $pid $connections; do
		kill -TERM "$each" 2>/dev/null || :
	done
	for each in $pid $connections; do
		ended "$each" || kill -KILL "$each" 2>/dev/null || :
	done
fi
rm -rf "$dir"

#!/bin/sh
# Runs a command so that it outlives the connection that started it. The
# user's login shell, a POSIX one that sshd started, reads this file. Needs:
#   ssm_verb  run, follow, or kill
#   ssm_job   path of the job's files, without what comes behind the dot
#   ssm_cmd   what to run
#   ssm_out   how many bytes of standard output have arrived
#   ssm_err   how many bytes of standard error have
#   ssm_old   paths of jobs that are over, their ends having arrived
#   ssm_tee   a tee that fails when a pipe is broken
# (The names are such that no variable of the environment is changed.)
# shellcheck disable=SC2154
#
# sshd starts each command in a session and process group of its own, and does
# not touch it when the connection is lost: what breaks are its pipes. So the
# command gets pipes of this shell's:
#
#   command -- stdout --> dd --> tee --> sshd, as long as there is one
#           \                       \-> job.o.0, job.o.524288, ...
#            - stderr --> dd --> tee --> sshd
#                                   \-> job.e.0, ...
#
# Nobody has to tell what has arrived: SSH lets no more than 2 MiB be under way,
# so with the last 4 MiB that went to sshd one can go on from any point. With
# sshd gone up to 16 MiB more of each stream are kept; then the command waits,
# as it does for anyone who does not read.

# pump hands on its standard input, stream $1. Each file is named by where in
# the stream it begins, and the index says which process writes it.
pump() {
	trap '' PIPE
	name=$1 at=0 gone=0 live=1
	shift
	exec 6<&0
	while :; do
		LC_ALL=C dd bs=16384 count=256 <&6 2>"$ssm_job.$name.count" 6<&- | $ssm_tee "$ssm_job.$name.$at" 2>/dev/null 6<&- &
		echo "$at $!" >>"$ssm_job.$name.index"
		set -- "$@" "$at"
		wait "$!" || interrupted
		counted || break
		at=$((at + bytes))
		# Fewer blocks than asked for are the end.
		[ $((${blocks%+*} + ${blocks#*+})) -eq 256 ] || break
		[ -z "$live" ] || gone=$at
		taken
		while [ $# -ge 2 ] && [ "$2" -le $((gone - 4194304)) ]; do
			rm -f "$ssm_job.$name.$1"
			shift
		done
		while [ $((at - gone)) -ge 16777216 ]; do
			sleep 0.1
			taken
		done
	done
	true >"$ssm_job.$name.end"
}

# counted reads what dd reports: blocks, whole and not, and bytes.
counted() {
	blocks='' bytes=''
	while read -r number what which _; do
		case $what,$which in
		records,in) blocks=$number ;;
		byte*) bytes=$number ;;
		esac
	done <"$ssm_job.$name.count"
	[ "$blocks" ] && [ "$bytes" ]
}

# interrupted says what to do when tee could not write: to sshd, which is what
# all this is for, or to the file, which may not go unnoticed.
interrupted() {
	live=
	exec >/dev/null
	counted || return 0
	[ "$(wc -c <"$ssm_job.$name.$at")" -eq "$bytes" ] || true >"$ssm_job.hole"
}

# taken learns how far those have got that follow.
taken() {
	if [ -z "$live" ] && [ -s "$ssm_job.$name.taken" ] && read -r taken <"$ssm_job.$name.taken" && [ "$taken" -gt "$gone" ]; then
		gone=$taken
	fi
}

# become replaces this shell by the command, as sshd would have started it.
become() {
	unset SHLVL
	# shellcheck disable=SC3038 # exec -a is for bash alone
	case ${BASH_VERSION:-},${SHELL##*/} in
	?*,bash) exec -a bash "$SHELL" -c "$ssm_cmd" ;;
	esac
	exec "$SHELL" -c "$ssm_cmd"
}

# claim begins the job; it fails where it has begun before.
claim() {
	set -C
	if { echo "$$ $PPID" >"$ssm_job.pid"; } 2>/dev/null; then
		set +C
		return 0
	fi
	set +C
	return 1
}

run() {
	if [ "$ssm_old" ]; then
		# shellcheck disable=SC2086 # several words
		(for old in $ssm_old; do rm -f "$old".*; done) </dev/null >/dev/null 2>&1 &
	fi
	exec 3>&1 4>&2 2>/dev/null # what shells say of processes that a signal ended
	{
		{
			(become) </dev/null 2>&5 3>&- 4>&- 5>&-
			echo "$?" >"$ssm_job.status"
		} | pump o >&3 3>&- 4>&- 5>&-
	} 5>&1 | pump e >&4 3>&- 4>&- 5>&-
	finish
}

# finish exits as the command did.
finish() {
	read -r status <"$ssm_job.status" || leave USR2
	exit "$status"
}

# leave exits by a signal, which can't be taken for the status of a command:
# USR2 when there is nothing to follow, USR1 when some of it is missing.
leave() {
	kill -s "$1" "$$"
	exit 1
}

# takeover ends those who had the job before: a tee that waits for an sshd which
# can't get rid of its bytes writes no files either.
takeover() {
	read -r owner sshd <"$ssm_job.pid" || leave USR2
	if [ "$sshd" != "$PPID" ] && read -r comm <"/proc/$sshd/comm"; then
		case $comm in
		sshd*) kill "$sshd" ;;
		esac
	fi
	if [ -s "$ssm_job.follower" ] && read -r other <"$ssm_job.follower" && [ "$other" != "$$" ]; then
		kill -s TERM -- "-$other"
	fi
	echo "$$" >"$ssm_job.follower"
} 2>/dev/null

# part writes the file of the stream that begins at $start, from $off on.
part() {
	if [ ! -e "$ssm_job.$name.$start" ] || [ -e "$ssm_job.hole" ]; then
		exit 3
	fi
	tail -c "+$((off - start + 1))" "$@" "$ssm_job.$name.$start" || exit 4
}

# entry reads the next line of the index, if it is there.
entry() {
	read -r next writer <&7
}

# written is where in the stream the file that begins at $start ends.
written() {
	echo "$((start + $(wc -c <"$ssm_job.$name.$start")))"
}

# await waits for the pump to go on.
await() {
	sleep 0.05
	kill -0 "$owner" 2>/dev/null || [ -e "$ssm_job.$name.end" ] || exit 5
}

# trail writes stream $1 from byte $2 to its end, in a subshell.
trail() {
	name=$1 off=$2
	until [ -e "$ssm_job.$name.index" ]; do await; done
	exec 7<"$ssm_job.$name.index"
	until entry; do await; done
	start=$next current=$writer
	while :; do
		ended=
		[ ! -e "$ssm_job.$name.end" ] || ended=1
		if entry; then # so the one before is whole
			if [ "$off" -lt "$next" ]; then
				part
				off=$next
			fi
			start=$next current=$writer
		elif [ "$ended" ]; then
			part
			exit 0
		elif kill -0 "$current" 2>/dev/null && [ "$(written)" -ge "$off" ]; then
			part -f -s 0.1 --pid="$current"
			off=$(written)
		else # what has arrived may not be in the file for another moment
			await
		fi
		echo "$off" >"$ssm_job.$name.taken"
	done
}

follow() {
	takeover
	exec 3>&2 2>/dev/null # what shells say is none of the command's stream
	(trail o "$ssm_out") 3>&- &
	first=$!
	(trail e "$ssm_err") >&3 3>&-
	second=$?
	wait "$first"
	case $?,$second in
	0,0) finish ;;
	3,* | *,3) leave USR1 ;;
	esac
	leave USR2
}

# end ends the job and all that it started in its process group, also what
# sudo made somebody else's.
end() {
	[ -s "$ssm_job.pid" ] && read -r owner _ <"$ssm_job.pid" || return 0
	for signal in TERM KILL; do
		kill -s "$signal" -- "-$owner" || sudo -n kill -s "$signal" -- "-$owner" || return 0
		sudo -n kill -s "$signal" -- "-$owner"
		sleep 2
	done
}

case $ssm_verb in
run)
	if claim; then
		run
	elif [ -s "$ssm_job.pid" ]; then
		follow
	fi
	# Where nothing can be written the command has this shell to itself.
	become
	;;
follow) follow ;;
kill) (end) </dev/null >/dev/null 2>&1 & ;;
esac

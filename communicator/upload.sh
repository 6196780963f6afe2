#!/bin/sh
# The guest's end of an upload: makes the file that the data goes into, and
# puts it into its place. Runs as the user, in the home directory.
# Needs: target (a file, or a folder for what=tree), what, name (of the file
# on the way), spool (its folder) and way, both empty at first, size (-1: not
# known), mode (octal, may be empty), block (bytes).
: "${target:?}" "${what:?}" "${name:?}" "${spool?}" "${way?}" "${size:?}" "${mode?}" "${block:?}"
umask 077
LC_ALL=C
export LC_ALL
unset IFS

say() { printf '%s\n' "$*"; }

bad() {
	say "bad $*"
	exit 0
}

# The first folder of these with room has what is on its way elsewhere.
roomy() {
	best=-1
	for each in "$HOME" /var/tmp /tmp; do
		if [ -d "$each" ] && [ -w "$each" ]; then
			free=$(room "$each")
			if [ "$free" -gt "$best" ]; then
				best=$free
				spool=$each
			fi
		fi
	done
	[ "$best" -ge 0 ]
}

room() {
	free=$(df -Pk "$1" 2>/dev/null | awk 'NR == 2 { print $4 }')
	echo "${free:-0}"
}

# How the target is to be written: "replace" by a file made beside it, "over"
# what is there, or not by this script.
way() {
	way=none
	folder=$(dirname -- "$target"; echo .)
	folder=${folder%??}
	if [ "$what" = tree ]; then
		roomy && way=tree
	elif [ -d "$target" ]; then
		return
	elif [ ! -e "$target" ] && [ ! -L "$target" ]; then
		if [ -d "$folder" ] && [ -w "$folder" ]; then
			way=replace
		fi
	elif [ -f "$target" ] && [ -w "$target" ]; then
		if [ ! -L "$target" ] && [ -O "$target" ] && [ "$(stat -c %h -- "$target")" = 1 ] && [ -w "$folder" ]; then
			way=replace
		elif roomy; then
			way=over
		fi
	fi
	case $way in
	replace) spool=$folder ;;
	none) return ;;
	esac
	if [ "$size" -ge 0 ] && [ "$(room "$spool")" -lt $((size / 1024)) ]; then
		way=none
	fi
}

find_tools() {
	for tool in awk cat chmod dd df dirname head mv rm sha256sum stat truncate; do
		command -v "$tool" >/dev/null 2>&1 || return 1
	done
	[ "$what" != tree ] || command -v tar >/dev/null 2>&1
}

greet() {
	now=$(cat /proc/sys/kernel/random/boot_id)
	if ! find_tools; then
		say "ready way=none"
		exit 0
	fi
	there=0
	if [ -n "$spool" ]; then
		file=$spool/$name
		if [ -f "$file" ]; then
			there=1
		fi
	else
		way
		file=$spool/$name
	fi
	same=0
	if [ "$way" != none ] && [ "$what" = file ] && [ "$size" -ge "$block" ] && [ "$there" = 0 ] &&
		[ "$(stat -L -c %s -- "$target" 2>/dev/null)" = "$size" ] && command -v split >/dev/null 2>&1; then
		same=1
	fi
	if [ "$way" != none ]; then
		spool=$(cd -- "$spool" && pwd -P && echo .)
		spool=${spool%??}
		file=$spool/$name
	fi
	gzip=0
	if command -v gzip >/dev/null 2>&1; then
		gzip=1
	fi
	say "ready way=$way boot=$now there=$there same=$same gzip=$gzip folder=$(printf %s "$spool" | od -An -v -tx1 | tr -d ' \n')"
}

# The receivers of sessions that were lost or given up must not write any
# more. The name of the file tells that they are ours.
still() {
	for each in "$@"; do
		tries=0
		while grep -qF -- "$name" "/proc/$each/cmdline" 2>/dev/null && [ "$tries" -lt 500 ]; do
			kill -s KILL -- "-$each" 2>/dev/null || kill -s KILL "$each" 2>/dev/null || :
			sleep 0.01
			tries=$((tries + 1))
		done
	done
}

try() {
	if ! why=$("$@" 2>&1); then
		bad "$(printf %s "$why" | tr '\n' ' ')"
	fi
}

# openssl uses what the processor has for it, older sha256sums don't.
hash() {
	sum=$(openssl dgst -sha256 -r <"$1" 2>/dev/null || sha256sum <"$1") || bad "can't read $1"
	sum=${sum%% *}
}

# Puts the file into its place if it is whole.
commit() {
	total=$1
	wanted=$2
	shift 2
	still "$@"
	if [ ! -f "$file" ]; then
		# Done, if the answer to that was lost on the way.
		if [ "$what" = file ] && [ -f "$target" ]; then
			hash "$target"
			if [ "$sum" = "$wanted" ]; then
				say "done"
				return
			fi
		fi
		say gone
		return
	fi
	try truncate -s "$total" -- "$file"
	hash "$file"
	if [ "$sum" != "$wanted" ]; then
		rm -f -- "$file"
		say "differs $sum"
		return
	fi
	"$way"
	say "done"
}

replace() {
	if [ -z "$mode" ]; then
		mode=$(stat -c %a -- "$target" 2>/dev/null) || mode=644
	fi
	try chmod "$mode" -- "$file"
	try mv -f -T -- "$file" "$target"
}

over() {
	if ! why=$( (cat -- "$file" >"$target") 2>&1); then
		: >"$target"
		rm -f -- "$file"
		bad "$why"
	fi
	rm -f -- "$file"
	remode
}

# Who may write to a file may still not be allowed to change its mode.
remode() {
	if [ -n "$mode" ]; then
		chmod "$mode" -- "$target" 2>/dev/null || :
	fi
}

tree() {
	umask 022
	keep=
	if tar --help 2>/dev/null | grep -q keep-directory-symlink; then
		keep=--keep-directory-symlink
	fi
	if [ -z "$(mkdir -p -- "$target" 2>&1; ls -A -- "$target" 2>&1)" ] &&
		[ "$(room "$target")" -lt $(($(stat -c %s -- "$file") / 1024)) ]; then # or tar would leave a part of a file
		rm -f -- "$file"
		bad "unpack: no space left in $target"
	fi
	# shellcheck disable=SC2086 # one word or none
	if ! why=$(mkdir -p -- "$target" 2>&1 && tar -x -p -m --no-same-owner --delay-directory-restore $keep -f "$file" -C "$target" 2>&1); then
		rm -f -- "$file"
		bad "unpack: $(printf %s "$why" | head -n 3 | tr '\n' ' ')"
	fi
	rm -f -- "$file"
}

serve() {
	while read -r verb rest; do
		case $verb in
		make)
			rm -f -- "$file"
			if ! (set -C && : >"$file") 2>/dev/null; then
				bad "can't write to $spool"
			fi
			say made
			;;
		seed)
			try cp --sparse=auto -- "$target" "$file"
			say made
			;;
		hashes)
			split -a 8 -b "$block" --filter=sha256sum -- "$target"
			say end
			;;
		same)
			remode
			say "done"
			;;
		commit)
			# shellcheck disable=SC2086 # numbers
			commit $rest
			;;
		drop)
			# shellcheck disable=SC2086 # numbers
			still $rest
			rm -f -- "$file"
			say "done"
			;;
		esac
	done
}

greet
serve

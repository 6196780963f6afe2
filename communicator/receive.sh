#!/bin/sh
# The guest's end of a session that carries an upload: writes ranges at their
# offsets. Runs as the user. Needs: file.
: "${file:?}"
umask 077
LC_ALL=C
export LC_ALL

there=0
if [ -f "$file" ]; then
	there=1
fi
echo "ready pid=$$ boot=$(cat /proc/sys/kernel/random/boot_id) there=$there"

write() {
	# What dd complains about is what this says.
	# shellcheck disable=SC2069
	dd "of=$file" bs=64k "seek=$1" oflag=seek_bytes conv=notrunc,nocreat status=none 2>&1 >/dev/null
}

while read -r how offset packed; do
	case $how in
	plain) why=$(head -c "$packed" | write "$offset") ;;
	gzip) why=$(head -c "$packed" | gzip -dc 2>/dev/null | write "$offset") ;;
	esac
	# shellcheck disable=SC2181 # of one of two
	if [ $? != 0 ]; then
		[ -f "$file" ] || why="gone $why"
		echo "bad $why" | tr '\n' ' '
		echo
		exit 0
	fi
	echo "ok $offset"
done

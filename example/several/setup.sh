#!/bin/bash
set -euo pipefail

[ "$(id -u)" = 0 ] || { echo "execute_command should have made this root" >&2; exit 1; }
mkdir -p /srv/app
mv /tmp/index.html /tmp/css /srv/app/
printf '%s\n' "$SITE_NAME" >/srv/app/name
printf '%s\n' "$SOURCE" >/srv/app/source
cp /proc/sys/kernel/random/boot_id /srv/app/boot-id

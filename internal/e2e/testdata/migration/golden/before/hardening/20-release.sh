#!/bin/bash
set -eu
echo "$SOURCE" >/etc/golden-release
rm -rf /tmp/hardening

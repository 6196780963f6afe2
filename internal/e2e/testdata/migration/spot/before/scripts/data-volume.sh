#!/bin/sh
set -eu
mkdir -p /data
echo "$PURPOSE" >/etc/batch/purpose

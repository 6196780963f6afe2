#!/usr/bin/env bash
set -euo pipefail
rm -rf /tmp/conf
sudo rm -rf /var/cache/dnf

#!/bin/bash
set -euo pipefail

echo "setting up $(. /etc/os-release && echo "$PRETTY_NAME") as $(id -un)"
sudo mkdir -p /opt/article
date -u +%FT%TZ | sudo tee /opt/article/built-at

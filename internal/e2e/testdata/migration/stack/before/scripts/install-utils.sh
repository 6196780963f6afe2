#!/usr/bin/env bash
set -euo pipefail
sudo dnf install -yq jq git unzip docker
sudo chmod +x /tmp/conf/bin/*
sudo cp -r /tmp/conf/bin/* /usr/local/bin/
sudo cp /tmp/conf/systemd/stack.service /etc/systemd/system/
sudo mkdir -p /var/lib/stack
sudo mv /tmp/plugins /var/lib/stack/

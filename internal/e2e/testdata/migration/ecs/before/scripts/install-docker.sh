#!/usr/bin/env bash
set -ex
if [ -n "$AIR_GAPPED" ]; then exit 0; fi
sudo dnf install -y docker containerd
echo "$DOCKER_VERSION" | sudo tee /etc/docker-version

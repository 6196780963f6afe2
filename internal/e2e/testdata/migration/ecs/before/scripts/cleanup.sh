#!/usr/bin/env bash
set -ex
sudo rm -rf /tmp/additional-packages
sudo dnf clean all
sudo rm -rf /home/ec2-user/.ssh/authorized_keys /root/.ssh/authorized_keys

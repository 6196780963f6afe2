#!/usr/bin/env bash
set -o pipefail
set -o nounset
set -o errexit
sudo yum update -y
cat /proc/sys/kernel/random/boot_id | sudo tee /etc/first-boot-id
sudo reboot

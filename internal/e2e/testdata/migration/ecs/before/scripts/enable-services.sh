#!/usr/bin/env bash
set -ex
sudo systemctl enable docker
if [ "$AMI_TYPE" = al2023arm ]; then
  sudo mv /tmp/arm.service /tmp/arm.conf /etc/
elif [ -e /tmp/arm.service ]; then
  exit 1
fi
echo "$AMI_TYPE" | sudo tee /etc/ami-type

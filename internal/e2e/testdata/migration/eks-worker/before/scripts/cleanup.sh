#!/usr/bin/env bash
yum clean all
rm -rf /var/cache/yum /etc/first-boot-id /tmp/worker
rm -f /home/ec2-user/.ssh/authorized_keys /root/.ssh/authorized_keys
touch /etc/machine-id

#!/bin/bash
set -eu
printf 'net.ipv4.ip_forward = 0\n' >/etc/sysctl.d/90-hardening.conf

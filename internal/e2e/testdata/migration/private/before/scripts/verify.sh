#!/bin/bash
set -eu
[ "$(cat /etc/private/state)" = configured ]

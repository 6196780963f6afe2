#!/usr/bin/env bash
echo "bootstrap $*"

#!/bin/bash
mkdir -p /etc/batch
touch /etc/batch/bootstrapped

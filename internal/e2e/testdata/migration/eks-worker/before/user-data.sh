#!/bin/bash
mkdir -p /etc/eks
touch /etc/eks/user-data-ran

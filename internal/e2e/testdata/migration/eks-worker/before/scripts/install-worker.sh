#!/usr/bin/env bash
set -o pipefail
set -o nounset
set -o errexit
if [ "$(cat /etc/first-boot-id)" = "$(cat /proc/sys/kernel/random/boot_id)" ]; then
  echo "the machine has not rebooted" >&2
  exit 1
fi
sudo yum install -y jq chrony conntrack nfs-utils socat
sudo mkdir -p /etc/eks /etc/kubernetes/kubelet
sudo install -m 0755 "$WORKING_DIR/bootstrap.sh" /etc/eks/bootstrap.sh
sudo mv "$WORKING_DIR/kubelet-config.json" /etc/kubernetes/kubelet/
sudo chown -R root:root /etc/eks /etc/kubernetes
echo "BASE_AMI_ID=\"$BASE_AMI_ID\"" | sudo tee /etc/eks/release
echo "KUBERNETES_VERSION=\"$KUBERNETES_VERSION\"" | sudo tee -a /etc/eks/release
echo "{\"kubernetes\": \"$KUBERNETES_VERSION\"}" > /tmp/version-info.json

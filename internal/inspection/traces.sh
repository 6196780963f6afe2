# Run in a guest as root. For each look: its name after "? ", and each thing found after "! ".
look() { printf '? %s\n' "$1"; shift; "$@" 2>/dev/null | sed 's/^/! /'; }

filled_authorized_keys() { find / -xdev -name 'authorized_keys*' -type f -size +0 -print; }
# The host keys are the machine's own, made when it first booted.
private_keys() {
  find /etc /home /root /run /tmp /var/tmp /opt /srv -xdev -type f -size -64k ! -path '/etc/ssh/ssh_host_*' ! -path '/etc/ssl/*' ! -path '/etc/pki/*' \
    -exec grep -lE -e '-----BEGIN ([A-Z]+ )*PRIVATE KEY-----' {} +
}
private_daemons() {
  for process in /proc/[0-9]*; do
    command=$(tr '\0' ' ' <"$process/cmdline") || continue
    case $command in *sshd*"-f /dev/null"*) printf "%s\n" "$command" ;; esac
  done
}
build_users() { awk -F: '$3 >= 1000 && $3 < 60000 && $1 != "ec2-user" { print $1 }' /etc/passwd; }
run_files() { find /run -xdev \( -name '*packer*' -o -name '*ssm-build*' \) -print; }
packer_files() { find / -xdev \( -path /proc -o -path /sys \) -prune -o \( -name '*packer*' -o -path '/tmp/script_*' -o -path '/tmp/varfile_*' \) -print; }
timers() { command -v systemctl >/dev/null && systemctl list-timers --all --no-legend | grep -i packer; at -l; }

look 'authorized_keys' filled_authorized_keys
look 'private key' private_keys
look 'sshd of the build' private_daemons
look 'build user' build_users
look 'file in /run' run_files
look 'file of Packer' packer_files
look 'timer of the build' timers
true

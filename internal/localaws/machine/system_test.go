//go:build linux

package machine_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

func newKey(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// login runs a command over SSH.
func login(t *testing.T, m *machine.Machine, port int, key ssh.Signer, command string) (string, error) {
	t.Helper()
	conn, err := m.Dial(t.Context(), port)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	c, channels, requests, err := ssh.NewClientConn(conn, "machine", &ssh.ClientConfig{
		User: "ec2-user", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		return "", err
	}
	client := ssh.NewClient(c, channels, requests)
	defer func() { _ = client.Close() }()
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	defer func() { _ = session.Close() }()
	out, err := session.CombinedOutput(command)
	return strings.TrimSpace(string(out)), err
}

func TestSystemSSH(t *testing.T) {
	key, public := newKey(t)
	m := boot(t, newHost(t), machine.Spec{PublicKeys: []string{public}})
	if out, err := login(t, m, 22, key, "id -un; sudo id -un; echo $HOME"); err != nil || out != "ec2-user\nroot\n/home/ec2-user" {
		t.Errorf("got %q, %v", out, err)
	}
	if out, err := login(t, m, 22, key, "sudo systemctl restart sshd && echo still here"); err != nil || out != "still here" {
		t.Errorf("restart of sshd under a session: %q, %v", out, err)
	}
	other, _ := newKey(t)
	if _, err := login(t, m, 22, other, "id"); err == nil {
		t.Error("a stranger's key is accepted")
	}
	must(t, m, "systemctl stop sshd && systemctl mask sshd")
	down(t, m)
	up(t, m)
	if _, err := login(t, m, 22, key, "id"); err == nil {
		t.Error("sshd runs though it is masked")
	}
	if status, out := sh(t, m, "", "systemctl start sshd"); status != 1 || !strings.Contains(out, "masked") {
		t.Errorf("start of a masked unit: %d %s", status, out)
	}
}

func TestPrivateSSH(t *testing.T) {
	for _, release := range []machine.Release{machine.AL2, machine.AL2023} {
		t.Run(string(release), func(t *testing.T) {
			h := newHost(t)
			key, public := newKey(t)
			m := boot(t, h, machine.Spec{Layers: []machine.LayerID{baseOf(t, h, release)}})
			must(t, m, fmt.Sprintf(`set -e
systemctl stop sshd; systemctl mask sshd 2>/dev/null
umask 077; mkdir -m 755 /run/build; cd /run/build; ssh-keygen -qt ed25519 -N '' -f key
echo '%s' > authorized; chmod 644 authorized
setsid /usr/sbin/sshd -f /dev/null -o ListenAddress=127.0.0.1 -o Port=40022 -o HostKey=/run/build/key -o AuthorizedKeysFile=/run/build/authorized \
  -o UsePAM=yes -o PasswordAuthentication=no -o ChallengeResponseAuthentication=no -o PidFile=/run/build/pid -o 'Subsystem=sftp internal-sftp' -o AllowUsers=ec2-user </dev/null >/dev/null 2>&1`, public))
			eventually(t, m, "test -s /run/build/pid")
			if out, err := login(t, m, 40022, key, "id -un; sudo -n id -un"); err != nil || out != "ec2-user\nroot" {
				t.Errorf("got %q, %v", out, err)
			}
		})
	}
}

func TestUserData(t *testing.T) {
	h := newHost(t)
	base := baseOf(t, h, machine.AL2)
	mime := "Content-Type: multipart/mixed; boundary=\"==B==\"\nMIME-Version: 1.0\n\n--==B==\nContent-Type: text/x-shellscript; charset=\"us-ascii\"\n\n#!/bin/bash\necho from mime; id -un; echo m >> /var/mime\n\n" +
		"--==B==\nContent-Type: text/cloud-config\n\n#cloud-config\nruncmd: []\n--==B==--\n"
	m := boot(t, h, machine.Spec{ID: "i-1", Layers: []machine.LayerID{base}, UserData: []byte("#!/bin/bash\necho hello from user data\nsleep 0.2\necho $(id -un) >> /var/ran\n")})
	if got := must(t, m, "cloud-init status --wait; cat /var/ran /var/log/cloud-init-output.log; ls /var/lib/cloud/instance/boot-finished"); !strings.HasSuffix(got, "status: done\nroot\nhello from user data\n/var/lib/cloud/instance/boot-finished") {
		t.Errorf("got %q", got)
	}
	down(t, m)
	up(t, m)
	must(t, m, "cloud-init status --wait >&2; test $(wc -l < /var/ran) = 1")
	n := boot(t, h, machine.Spec{ID: "i-2", Layers: []machine.LayerID{base, capture(t, m)}, UserData: []byte(mime)})
	if got := must(t, n, "cloud-init status --wait >/dev/null; cat /var/ran /var/mime; grep -c ignored /var/log/cloud-init.log; cloud-init query instance_id"); got != "root\nm\n1\ni-2" {
		t.Errorf("got %q", got)
	}
	must(t, n, "cloud-init clean --logs --machine-id; test ! -e /var/lib/cloud/data; test ! -e /var/log/cloud-init-output.log")
}

func TestUnits(t *testing.T) {
	m := boot(t, newHost(t), machine.Spec{})
	must(t, m, `cat > /etc/systemd/system/app.service <<'X'
[Unit]
Description=My app
[Service]
Environment="GREETING=hello world"
User=ec2-user
ExecStart=/bin/sh -c 'echo "${GREETING} from $(id -un)"; exec sleep 1000'
Restart=always
[Install]
WantedBy=multi-user.target
X
cat > /etc/systemd/system/bad.service <<'X'
[Service]
Type=oneshot
ExecStart=/bin/false
X`)
	for _, c := range []struct {
		script, want string
		status       int
	}{
		{"systemctl is-active app", "inactive", 3},
		{"systemctl is-enabled app", "disabled", 1},
		{"systemctl daemon-reload", "", 0},
		{"systemctl enable --now app", "Created symlink from /etc/systemd/system/multi-user.target.wants/app.service to /etc/systemd/system/app.service.", 0},
		{"systemctl is-active app sshd", "active\nactive", 0},
		{"systemctl is-enabled app", "enabled", 0},
		{"systemctl start app; until pgrep -x sleep >/dev/null; do sleep 0.01; done; pgrep -xc sleep", "1", 0},
		{"sleep 0.1; journalctl -u app", "hello world from ec2-user", 0},
		{"systemctl enable nope", "Failed to enable unit: Unit file nope.service does not exist.", 1},
		{"systemctl start nope", "Failed to start nope.service: Unit nope.service not found.", 5},
		{"systemctl stop nope", "Failed to stop nope.service: Unit nope.service not loaded.", 5},
		{"systemctl status nope", "Unit nope.service could not be found.", 4},
		{"systemctl is-enabled nope", "Failed to get unit file state for nope.service: No such file or directory", 1},
		{"systemctl status app > /dev/null", "", 0},
		{"systemctl stop app; systemctl status app > /dev/null", "", 3},
		{"pgrep -x sleep", "", 1},
		{"systemctl restart app; until pgrep -x sleep >/dev/null; do sleep 0.01; done", "", 0},
		{"systemctl show -p ActiveState --value app", "active", 0},
		{"systemctl is-system-running", "running", 0},
		{"test -d /run/systemd/system", "", 1},
		{"service app restart 2>&1", "Redirecting to /bin/systemctl restart app.service", 0},
		{"systemctl is-active bad || systemctl start bad 2>&1 | head -1", "inactive\nJob for bad.service failed because the control process exited with error code.", 0},
		{"systemctl is-failed bad", "failed", 0},
		{"systemctl --version | head -1", "systemctl: stand-in of localaws, a simulated AWS", 0},
	} {
		if status, out := sh(t, m, "", c.script); status != c.status || out != c.want {
			t.Errorf("%s: got %d %q, want %d %q", c.script, status, out, c.status, c.want)
		}
	}
	if status, out := sh(t, m, "ec2-user", "systemctl stop app"); status == 0 {
		t.Errorf("a user stops a service: %s", out)
	}
	down(t, m)
	up(t, m)
	eventually(t, m, "systemctl -q is-active app && pgrep -x sleep > /dev/null")
	must(t, m, "pkill -9 -x sleep; true")
	eventually(t, m, "pgrep -x sleep > /dev/null")
	must(t, m, "systemctl disable --now app 2>&1 | grep -q Removed; ! systemctl is-enabled -q app")
}

func TestPackages(t *testing.T) {
	h := newHost(t)
	for release, cases := range map[machine.Release][]struct {
		script, want string
		status       int
	}{
		machine.AL2: {
			{"yum -q install nosuch", "No package nosuch available.\nError: Nothing to do", 1},
			{"sudo -u ec2-user yum install -y nginx 2>&1", "You need to be root to perform this command.", 1},
			{"rpm -q nginx", "package nginx is not installed", 1},
			{"yum install nginx </dev/null 2>/dev/null | tail -1", "Is this ok [y/d/N]: ", 0},
			{"yum -q install -y nginx", "", 0},
			{"rpm -q nginx amazon-ssm-agent", "nginx-1.22.1-1.amzn2.0.5.x86_64\namazon-ssm-agent-3.3.1957.0-1.amzn2.x86_64", 0},
			{"yum list installed nginx | tail -1 | cut -d' ' -f1", "nginx.x86_64", 0},
			{"nginx -v", "nginx version 1.22.1 (stand-in of localaws: the program itself is not installed)", 0},
			{"nginx -t 2>/dev/null", "", 1},
			{"systemctl enable --now nginx 2>/dev/null; systemctl is-active nginx; id -un nginx; ls -d /etc/nginx/conf.d", "active\nnginx\n/etc/nginx/conf.d", 0},
			{"yum -y install nginx | tail -1", "Nothing to do", 0},
			{"amazon-linux-extras install -y redis6 >/dev/null; rpm -q redis", "redis-6.2.14-1.amzn2.x86_64", 0},
			{"yum -y remove nginx | tail -1; rpm -q nginx; command -v nginx", "Complete!\npackage nginx is not installed", 127},
			{"yum -y update | tail -1; yum clean all >/dev/null && yum makecache >/dev/null", "No packages marked for update", 0},
			{"command -v dnf apt-get dpkg", "", 127},
			{"rpm -E '%{amzn}'; cat /etc/system-release", "2\nAmazon Linux release 2 (Karoo)", 0},
			{"rm /usr/bin/amazon-ssm-agent; rpm -q amazon-ssm-agent; yum -q -y install amazon-ssm-agent && amazon-ssm-agent -version", "package amazon-ssm-agent is not installed\nSSM Agent version: 3.3.1957.0", 0},
			{"yum -q -y remove amazon-ssm-agent; test -e /usr/bin/amazon-ssm-agent", "", 1},
			{"yum -q -y install docker && getent group docker | cut -d: -f1 && usermod -aG docker ec2-user", "docker", 0},
		},
		machine.AL2Minimal: {
			{"rpm -q amazon-ssm-agent; test -e /usr/bin/amazon-ssm-agent", "package amazon-ssm-agent is not installed", 1},
			{"yum -q -y install amazon-ssm-agent && systemctl enable --now amazon-ssm-agent 2>/dev/null; systemctl is-active amazon-ssm-agent; test -x /usr/bin/amazon-ssm-agent", "active", 0},
		},
		machine.AL2023: {
			{"dnf install nosuch 2>&1 | tail -2", "No match for argument: nosuch\nError: Unable to find a match: nosuch", 0},
			{"dnf install -y nginx nosuch >/dev/null 2>&1; rpm -q nginx", "package nginx is not installed", 1},
			{"dnf install -y httpd | tail -1; rpm -q httpd", "Complete!\nhttpd-2.4.64-1.amzn2023.0.1.x86_64", 0},
			{"yum -y update | tail -1", "Complete!", 0},
			{"command -v amazon-linux-extras", "", 127},
		},
	} {
		m := boot(t, h, machine.Spec{ID: "i-" + string(release), Layers: []machine.LayerID{baseOf(t, h, release)}})
		for _, c := range cases {
			if status, out := sh(t, m, "", c.script); status != c.status || out != c.want {
				t.Errorf("%s: %s: got %d %q, want %d %q", release, c.script, status, out, c.status, c.want)
			}
		}
	}
}

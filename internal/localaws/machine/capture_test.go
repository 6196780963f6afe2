//go:build linux

package machine_test

import (
	"fmt"
	"testing"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

func TestCapture(t *testing.T) {
	h := newHost(t)
	base := baseOf(t, h, machine.AL2)
	m := boot(t, h, machine.Spec{ID: "i-cap-1", Layers: []machine.LayerID{base}})
	must(t, m, `set -e
rm -rf /etc/cron.d /usr/share/doc; mkdir /usr/share/doc; echo new > /usr/share/doc/only
echo kept > /home/ec2-user/kept; chown ec2-user: /home/ec2-user/kept; chmod 640 /home/ec2-user/kept
cp /bin/true /usr/local/bin/su; chmod 4711 /usr/local/bin/su; touch -d 2001-02-03T04:05:06Z /usr/local/bin/su
echo x > /opt/a; ln /opt/a /opt/b; ln -s a /opt/l; mkfifo /opt/p; truncate -s 1G /opt/sparse; echo tail >> /opt/sparse
touch /run/gone /dev/shm/gone /tmp/stays
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("/opt/sock")' || true`)
	key := must(t, m, "cat /etc/ssh/ssh_host_ed25519_key.pub; cat /etc/machine-id")
	layer := capture(t, m) // running
	must(t, m, "echo changed > /home/ec2-user/kept; true")
	n := boot(t, h, machine.Spec{ID: "i-cap-2", Layers: []machine.LayerID{base, layer}})
	got := must(t, n, `ls /usr/share/doc; ls -d /etc/cron.d /run/gone /dev/shm/gone 2>/dev/null; cat /home/ec2-user/kept; stat -c '%U %a' /home/ec2-user/kept
stat -c '%a %Y' /usr/local/bin/su; test /opt/a -ef /opt/b && echo linked; readlink /opt/l; test -p /opt/p && stat -c '%s' /opt/sparse; test $(du -k /opt/sparse | cut -f1) -lt 1000 && echo sparse; ls /tmp`)
	want := "only\nkept\nec2-user 640\n4711 981173106\nlinked\na\n1073741829\nsparse\nstays"
	if got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if again := must(t, n, "cat /etc/ssh/ssh_host_ed25519_key.pub; cat /etc/machine-id"); again == key {
		t.Error("the new instance has the host key of the old one")
	}
	if err := h.RemoveLayer(t.Context(), base); err == nil {
		t.Error("base removed")
	}
	if err := h.RemoveLayer(t.Context(), layer); err != nil {
		t.Fatal(err)
	}
	must(t, n, "cat /home/ec2-user/kept")
	if _, err := h.Create(t.Context(), machine.Spec{ID: "i-cap-1", Layers: []machine.LayerID{base}}); err == nil {
		t.Error("two machines with one id")
	}
}

func TestGenerations(t *testing.T) {
	h := newHost(t)
	layers := []machine.LayerID{baseOf(t, h, machine.AL2023)}
	for n := range 7 {
		m := boot(t, h, machine.Spec{ID: fmt.Sprintf("i-%d", n), Layers: layers})
		must(t, m, fmt.Sprintf("set -e; echo %d >> /var/count; touch /opt/only-%[1]d /usr/share/only-%[1]d; rm -f /opt/only-%d /usr/share/only-%[2]d; rm -rf /srv; mkdir /srv; touch /srv/%[1]d /tmp/x", n, n-1))
		down(t, m)
		layer := capture(t, m)
		if err := m.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n > 0 { // the ones below stay for what is above
			if err := h.RemoveLayer(t.Context(), layers[n]); err != nil {
				t.Fatal(err)
			}
		}
		layers = append(layers, layer)
	}
	m := boot(t, h, machine.Spec{ID: "i-last", Layers: layers})
	if got := must(t, m, "cat /var/count | tr -d '\\n'; ls /opt /usr/share | grep only; ls /srv /tmp"); got != "0123456only-6\nonly-6\n/srv:\n6\n\n/tmp:" {
		t.Errorf("got %q", got)
	}
}

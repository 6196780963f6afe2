package communicator_test

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	sdkcommunicator "github.com/hashicorp/packer-plugin-sdk/communicator"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/communicator"
)

// echo is a port of this machine that sends back what it gets.
func echo(t *testing.T) (number int) {
	t.Helper()
	listener := listen(t)
	var serving sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			})
		}
	})
	return portOf(t, listener)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func portOf(t *testing.T, listener net.Listener) (number int) {
	t.Helper()
	if _, err := fmt.Sscanf(listener.Addr().String(), "127.0.0.1:%d", &number); err != nil {
		t.Fatal(err)
	}
	return number
}

func TestTunnelsSurviveAReboot(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	reserved := listen(t)
	near := portOf(t, reserved)
	_ = reserved.Close()
	c := g.connect(t, communicator.Config{SSH: &sdkcommunicator.Config{SSH: sdkcommunicator.SSH{
		SSHLocalTunnels:  []string{fmt.Sprintf("%d:127.0.0.1:22", near)},
		SSHRemoteTunnels: []string{fmt.Sprintf("9191:127.0.0.1:%d", echo(t))},
	}}})
	try := func() {
		t.Helper()
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", near))
		if err != nil {
			t.Fatal(err)
		}
		banner := make([]byte, 8)
		if _, err := io.ReadFull(conn, banner); err != nil || string(banner) != "SSH-2.0-" {
			t.Errorf("through the local tunnel: %q, %v", banner, err)
		}
		_ = conn.Close()
		const say = `bash -c 'exec 3<>/dev/tcp/127.0.0.1/9191; echo there >&3; read -r back <&3; echo "$back"'`
		if _, out, errs := execute(t, c, say, nil); out != "there\n" {
			t.Errorf("through the remote tunnel: %q, %q", out, errs)
		}
	}
	try()
	if status, _, _ := execute(t, c, "sudo reboot; sleep 600", nil); status != packersdk.CmdDisconnect {
		t.Errorf("exit status %d", status)
	}
	if status, _, _ := execute(t, c, "true", nil); status != 0 {
		t.Errorf("exit status %d", status)
	}
	try()
}

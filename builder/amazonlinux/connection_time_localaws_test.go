//go:build linux

package amazonlinux_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// What the options about time change. That they do so to the second is tested
// on fake time, in package communicator.

// An instance that takes connections and never says anything, an API that does not answer and a login that
// is refused are waited for as long, and tried as often, as the template says; the error names the option.
func TestConnectTimeouts(t *testing.T) {
	t.Parallel()
	const silent = "#!/bin/bash\npkill -STOP -x sshd\n" // the kernel goes on to take connections
	hanging := localaws.Fault{Action: "SendCommand", Hang: true, Times: -1}
	for name, test := range map[string]struct {
		more  block
		fault localaws.Fault
		want  string
	}{
		"ssh_wait_timeout, credentials of one's own": {
			more: block{"communicator": "ssh", "ssh_password": "x", "user_data": silent, "ssh_wait_timeout": "2s"},
			want: "connect: no SSH connection within 2s (ssh_timeout); last: ",
		},
		"ssh_handshake_attempts": {
			more: block{"communicator": "ssh", "ssh_password": "wrong", "ssh_handshake_attempts": 2, "ssh_timeout": "1m"},
			want: "connect: refused 2 times (ssh_handshake_attempts): port 22: log in as ec2-user: ",
		},
		"ssh_timeout": {block{"ssh_timeout": "3s"}, hanging, "connect: no SSH connection within 3s (ssh_timeout); last: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, localaws.Options{})
			if test.fault.Action != "" {
				defer w.aws.Inject(test.fault)()
			}
			r := w.inside(test.more, prints("id -un", "nobody gets as far as this"))
			if r.err == nil || !strings.Contains(r.err.Error(), test.want) {
				t.Errorf("error %v, want %q\n%s", r.err, test.want, r.ui)
			}
			w.nothingLeft(r)
		})
	}
}

// root has the agent run a command, beside the connection.
func (w *world) root(ctx context.Context, id, command string) error {
	sent, err := w.ssm().SendCommand(ctx, &ssm.SendCommandInput{
		DocumentName: aws.String("AWS-RunShellScript"), InstanceIds: []string{id}, Parameters: map[string][]string{"commands": {command}},
	})
	if err != nil {
		return err
	}
	done := false
	w.until(func() bool {
		got, err := w.ssm().GetCommandInvocation(ctx, &ssm.GetCommandInvocationInput{CommandId: sent.Command.CommandId, InstanceId: aws.String(id)})
		done = err == nil && got.Status == "Success"
		return done
	})
	if !done {
		return fmt.Errorf("%s: no success", command)
	}
	return nil
}

// A daemon that stops in the middle of a command is noticed by a keepalive that stays unanswered for
// ssh_read_write_timeout; the command goes on once it is back.
func TestSilenceIsNoticed(t *testing.T) {
	t.Parallel()
	w, lost := newWorld(t, localaws.Options{}), "Lost the connection to the instance: the instance has not answered; it may be rebooting (nothing heard for 1.5s)"
	ui := new(recorder)
	raw := w.template(block{"skip_create_ami": true, "ssh_keep_alive_interval": "500ms", "ssh_read_write_timeout": "1500ms"})
	provision := func(ctx context.Context, comm packersdk.Communicator, data map[string]any) error {
		id, _ := data["ID"].(string)
		var out strings.Builder
		cmd := &packersdk.RemoteCmd{Command: "echo begun; until [ -e /tmp/go ]; do sleep 0.1; done; echo over", Stdout: &out}
		if err := comm.Start(ctx, cmd); err != nil {
			return err
		}
		if err := w.root(ctx, id, "pkill -STOP sshd"); err != nil {
			return err
		}
		w.until(func() bool { return strings.Contains(ui.String(), lost) })
		if err := w.root(ctx, id, "pkill -CONT sshd; touch /tmp/go"); err != nil {
			return err
		}
		if status := cmd.Wait(); status != 0 || out.String() != "begun\nover\n" {
			return fmt.Errorf("status %d, output %q", status, out.String())
		}
		return nil
	}
	r := w.buildWith(t.Context(), ui, raw, provision)
	if r.err != nil || !strings.Contains(r.ui.String(), lost) || !strings.Contains(r.ui.String(), "Connected again") {
		t.Errorf("error %v, want it told: %q\n%s", r.err, lost, r.ui)
	}
}

// The machine's own daemon counts the keepalives that arrive, in its log. It listens on a port of its own, and takes a password.
func TestKeepAlivesArrive(t *testing.T) {
	t.Parallel()
	const logged = "#!/bin/bash\nuseradd -m builder || true\necho builder:secret | chpasswd\n" +
		"pkill -x sshd\n/usr/sbin/sshd -p 2222 -o LogLevel=DEBUG1 -o PasswordAuthentication=yes -o UsePAM=no -E /var/log/sshd.log\nchmod 644 /var/log/sshd.log\n"
	// 20 more than before: as many take a minute and a half without the option.
	const many = `n() { grep -c keepalive@openssh.com /var/log/sshd.log; }; at=$(n); for i in $(seq 400); do [ $(n) -lt $((at+20)) ] || exec echo many; sleep 0.1; done`
	const none = `n() { grep -c keepalive@openssh.com /var/log/sshd.log; }; at=$(n); sleep 2; [ "$(n)" != "$at" ] || echo none`
	for interval, want := range map[string][2]string{"100ms": {many, "many"}, "-1s": {none, "none"}} {
		t.Run(interval, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, localaws.Options{})
			r := w.inside(block{
				"communicator": "ssh", "ssh_username": "builder", "ssh_password": "secret", "ssh_port": 2222, "ssh_timeout": "1m", "user_data": logged,
				"ssh_keep_alive_interval": interval,
			}, prints(want[0], want[1]))
			if r.err != nil {
				t.Errorf("%v\n%s", r.err, r.ui)
			}
		})
	}
}

//go:build linux

package amazonlinux_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// persist does what Packer's shell provisioner does with what fails: it tries again for five minutes.
func persist(ctx context.Context, try func(context.Context) error) error {
	ctx, stop := context.WithTimeout(ctx, 5*time.Minute)
	defer stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// An instance that a provisioner has powered off ends the build at once, with what to do about it, however
// patient the provisioners are.
func TestPowerOffIsTold(t *testing.T) {
	t.Parallel()
	for name, command := range map[string]string{
		"while the command runs": "sudo systemctl poweroff; sleep 600",
		"once it has ended":      "sudo shutdown -h now",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, localaws.Options{})
			began := time.Now()
			r := w.inside(nil, func(ctx context.Context, comm packersdk.Communicator) error {
				began = time.Now()
				off := &packersdk.RemoteCmd{Command: command}
				if err := comm.Start(ctx, off); err != nil {
					return err
				}
				off.Wait()
				return persist(ctx, func(ctx context.Context) error {
					return errors.Join(ctx.Err(), comm.Start(ctx, &packersdk.RemoteCmd{Command: "true"}))
				})
			})
			for _, want := range []string{"provision: instance i-", "Client.InstanceInitiatedShutdown", "a provisioner must not power the instance off"} {
				if r.err == nil || !strings.Contains(r.err.Error(), want) {
					t.Errorf("the error lacks %q: %v", want, r.err)
				}
			}
			if after := time.Since(began); after > time.Minute {
				t.Errorf("told after %s", after)
			}
			w.nothingLeft(r)
		})
	}
}

// A power off that is the last thing done is what the image is made of, though the connection is lost
// in the middle of the command.
func TestPowerOffAtTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	raw := w.template(block{"disable_stop_instance": true, "shutdown_behavior": "stop"})
	r := w.build(t.Context(), raw, func(ctx context.Context, comm packersdk.Communicator, _ map[string]any) error {
		off := &packersdk.RemoteCmd{Command: "sudo touch /etc/built; sudo systemctl poweroff; sleep 600"}
		if err := comm.Start(ctx, off); err != nil {
			return err
		}
		if status := off.Wait(); status != packersdk.CmdDisconnect {
			return fmt.Errorf("exit status %d", status)
		}
		return nil
	})
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, r.ui)
	}
	second := w.build(t.Context(), w.template(block{"source_ami": r.regional(t)[region], "skip_create_ami": true}),
		func(ctx context.Context, comm packersdk.Communicator, _ map[string]any) error {
			return prints("ls /etc/built", "/etc/built")(ctx, comm)
		})
	if second.err != nil {
		t.Errorf("in an instance of the image: %v", second.err)
	}
	w.nothingLeft(r)
}

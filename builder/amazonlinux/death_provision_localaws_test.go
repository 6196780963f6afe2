//go:build linux

package amazonlinux_test

import (
	"context"
	"errors"
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
	w := newWorld(t, localaws.Options{})
	began := time.Now()
	r := w.inside(nil, func(ctx context.Context, comm packersdk.Communicator) error {
		began = time.Now()
		off := &packersdk.RemoteCmd{Command: "sudo systemctl poweroff; sleep 600"}
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
}

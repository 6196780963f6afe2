//go:build linux

package amazonlinux_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/builder/amazonlinux"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// shortestTimer is what the timer in the instance is set to at the least.
const shortestTimer = time.Minute

// A Packer that is killed cleans nothing up: the instance ends by itself, by the timer that
// the build has armed in it, and takes its volumes along. Here the build does nothing from then on.
func TestInstanceOfAKilledBuildEndsByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{})
	b := new(amazonlinux.Builder)
	if _, _, err := b.Prepare(w.template(block{"launch_block_device_mappings": []block{{"device_name": "/dev/sdf", "volume_size": 1}}})); err != nil {
		t.Fatal(err)
	}
	b.LimitInstance(shortestTimer)
	runs := func() bool {
		return slices.ContainsFunc(w.aws.Leftovers(), func(line string) bool {
			return strings.HasPrefix(line, "ec2 instance") || strings.HasPrefix(line, "ec2 volume") || strings.HasPrefix(line, "ec2 network")
		})
	}
	before := 0
	ui := new(recorder)
	_, err := b.Run(t.Context(), ui, hook(func(context.Context, packersdk.Communicator, map[string]any) error {
		if !runs() {
			t.Error("there is no instance")
		}
		before = len(w.actions())
		for armed := time.Now(); runs() && time.Since(armed) < 2*shortestTimer; {
			w.until(func() bool { return !runs() })
		}
		if runs() {
			t.Errorf("the instance is still there: %q", w.aws.Leftovers())
		}
		if asked := w.actions()[before:]; slices.Contains(asked, "ec2:TerminateInstances") {
			t.Errorf("the build ended it: %v", asked)
		}
		return nil
	}))
	if err == nil || !strings.Contains(err.Error(), "Client.InstanceInitiatedShutdown") || !strings.Contains(err.Error(), "the timer of instance_ttl") {
		t.Errorf("error %v\n%s", err, ui)
	}
	w.nothingLeft(result{nil, err, ui})
}

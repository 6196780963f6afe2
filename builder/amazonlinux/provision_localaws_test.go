//go:build linux

package amazonlinux_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/builder/amazonlinux"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// A namedHook is told which of Packer's provisioners are to run.
type namedHook func(name string) error

func (h namedHook) Run(_ context.Context, name string, _ packersdk.Ui, _ packersdk.Communicator, _ any) error {
	return h(name)
}

// What fails after the provisioners is no business of the error-cleanup-provisioner: the instance is stopped by
// then, and Packer would try for five minutes to reach it.
func TestCleanupProvisionerIsForProvisioners(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	b := new(amazonlinux.Builder)
	if _, _, err := b.Prepare(w.unconnected(nil)); err != nil {
		t.Fatal(err)
	}
	var ran []string
	_, err := b.Run(t.Context(), new(recorder), namedHook(func(name string) error {
		ran = append(ran, name)
		w.aws.Inject(localaws.Fault{Action: "CreateImage", Code: "InvalidAMIName.Duplicate", Times: 1})
		return nil
	}))
	if err == nil || !strings.HasPrefix(err.Error(), "image: CreateImage: InvalidAMIName.Duplicate") || !strings.Contains(err.Error(), "an ami_name each") {
		t.Errorf("error: %v", err)
	}
	if want := []string{packersdk.HookProvision}; !slices.Equal(ran, want) {
		t.Errorf("ran %q, want %q", ran, want)
	}
}

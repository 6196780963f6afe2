//go:build linux

package amazonlinux_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// sh runs a command on the instance and returns what it wrote.
func sh(ctx context.Context, comm packersdk.Communicator, command string) (string, error) {
	var out, errors bytes.Buffer
	cmd := &packersdk.RemoteCmd{Command: command, Stdout: &out, Stderr: &errors}
	if err := comm.Start(ctx, cmd); err != nil {
		return "", err
	}
	if status := cmd.Wait(); status != 0 {
		return "", fmt.Errorf("%q: exit status %d: %s", command, status, errors.String())
	}
	return strings.TrimSpace(out.String()), nil
}

func TestBuildMakesAnImage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{Profile: localaws.Zero})
	var data map[string]any
	r := w.build(t.Context(), w.template(nil), func(ctx context.Context, comm packersdk.Communicator, values map[string]any) error {
		data = values
		who, err := sh(ctx, comm, "id -un && echo built | sudo tee /etc/built")
		if err == nil && who != "ec2-user\nbuilt" {
			return fmt.Errorf("got %q", who)
		}
		return err
	})
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, r.ui)
	}
	t.Log("\n" + r.ui.String())
	for _, c := range w.aws.Calls() {
		t.Log(c.Time.Format("05.000"), c.Elapsed, c.Action)
	}
	for _, key := range []string{"ID", "Host", "User", "ConnType", "SourceAMI", "SourceAMIName", "SourceAMICreationDate", "SourceAMIOwner", "SourceAMIOwnerName", "BuildRegion"} {
		if s, _ := data[key].(string); s == "" {
			t.Errorf("build.%s is not set", key)
		}
	}
	w.nothingLeft(r)
	if err := r.artifact.Destroy(); err != nil {
		t.Error(err)
	}
	if left := w.leftovers(nil); len(left) > 0 {
		t.Errorf("after Destroy: %q", left)
	}
}

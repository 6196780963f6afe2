//go:build linux

package amazonlinux_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/builder/amazonlinux"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

// Whole builds, Builder.Run from end to end, against an AWS on this machine.
// What counts is the world that is left, not the calls that were made.

func TestMain(m *testing.M) {
	machine.Main()
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
	_ = os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	_ = os.Setenv("AWS_CONFIG_FILE", os.DevNull)
	os.Exit(m.Run())
}

// A world is an AWS of the test's own. Builds find it by a profile in a file
// of its own, so that tests can run side by side.
type world struct {
	*testing.T
	aws         *localaws.Server
	credentials string
}

const region = "us-east-1"

func newWorld(t *testing.T, o localaws.Options) *world {
	t.Helper()
	server, err := localaws.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("localaws: %v", err)
		}
	})
	id, secret := server.Credentials(localaws.DefaultAccount)
	file := filepath.Join(t.TempDir(), "credentials")
	text := fmt.Sprintf("[localaws]\naws_access_key_id = %s\naws_secret_access_key = %s\nendpoint_url = %s\n", id, secret, server.URL())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return &world{T: t, aws: server, credentials: file}
}

// A block is a source block.
type block = map[string]any

// template is the smallest one that builds in this world, and more.
func (w *world) template(more block) block {
	t := block{
		"region": region, "profile": "localaws", "shared_credentials_file": w.credentials,
		"instance_type": "t3.small", "ami_name": "web-1",
	}
	for key, value := range more {
		t[key] = value
	}
	return t
}

// A result is what Packer gets of a build, and what the user sees.
type result struct {
	artifact packersdk.Artifact
	err      error
	ui       *recorder
}

// build runs a whole build; provision is what Packer's provisioners do.
func (w *world) build(ctx context.Context, raw block, provision hook) result {
	w.Helper()
	b := new(amazonlinux.Builder)
	if _, _, err := b.Prepare(raw); err != nil {
		w.Fatal(err)
	}
	ui := new(recorder)
	artifact, err := b.Run(ctx, ui, provision)
	return result{artifact, err, ui}
}

// leftovers waits until what goes away by itself is gone, and returns what is
// left beside the image of an artifact.
func (w *world) leftovers(kept packersdk.Artifact) []string {
	for deadline := time.Now().Add(20 * time.Second); ; {
		left := slices.DeleteFunc(w.aws.Leftovers(), func(line string) bool {
			return keeps(kept, line)
		})
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		select {
		case <-w.Context().Done():
			return left
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// keeps tells whether a leftover's line is about an artifact's image, or a snapshot.
func keeps(kept packersdk.Artifact, line string) bool {
	if kept == nil {
		return false
	}
	part := func(image string) bool {
		_, id, _ := strings.Cut(image, ":")
		return strings.Contains(line, id)
	}
	return strings.Contains(line, "snap-") || slices.ContainsFunc(strings.Split(kept.Id(), ","), part)
}

// nothingLeft fails the test if the build left anything but its artifact.
func (w *world) nothingLeft(r result) {
	w.Helper()
	if left := w.leftovers(r.artifact); len(left) > 0 {
		w.Errorf("left behind:\n  %s\nthe user saw:\n  %s\nerror: %v",
			strings.Join(left, "\n  "), strings.ReplaceAll(r.ui.String(), "\n", "\n  "), r.err)
	}
}

// actions are the successful calls, "ec2:RunInstances", dry runs left out.
func (w *world) actions() []string {
	var list []string
	for _, c := range w.aws.Calls() {
		if !c.DryRun {
			list = append(list, c.Service+":"+c.Action)
		}
	}
	return list
}

// A hook is Packer's, with a function in the place of the provisioners.
type hook func(ctx context.Context, comm packersdk.Communicator, data map[string]any) error

// Run runs the function where Packer would run provisioners.
func (h hook) Run(ctx context.Context, name string, _ packersdk.Ui, comm packersdk.Communicator, data any) error {
	if name != packersdk.HookProvision || h == nil {
		return nil
	}
	values, ok := data.(map[string]any)
	if !ok {
		return fmt.Errorf("generated data is %T", data)
	}
	return h(ctx, comm, values)
}

// A recorder is a Ui that keeps what is said, and answers every question with r, for retry.
type recorder struct {
	packersdk.Ui
	mu   sync.Mutex
	said []string // guarded by mu
}

func (r *recorder) Say(s string)     { r.note(s) }
func (r *recorder) Message(s string) { r.note(s) }
func (r *recorder) Error(s string)   { r.note("error: " + s) }

func (r *recorder) Sayf(format string, args ...any) { r.note(fmt.Sprintf(format, args...)) }
func (r *recorder) Errorf(format string, args ...any) {
	r.note("error: " + fmt.Sprintf(format, args...))
}

func (r *recorder) Ask(question string) (string, error) {
	r.note("asked: " + question)
	return "r", nil
}

func (r *recorder) note(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, s)
}

// errors is what was said as an error: progress does not tell what is left.
func (r *recorder) errors() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(slices.DeleteFunc(slices.Clone(r.said), func(s string) bool { return !strings.HasPrefix(s, "error: ") }), "\n")
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.said, "\n")
}

//go:build linux

package amazonlinux_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
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
	_ = os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0") // of the machines' helpers, which would sleep a second each
	debug.SetGCPercent(400)
	sideBySide()
	os.Exit(m.Run())
}

// sideBySide lets more tests run at the same time than there are processors, unless the
// command line says how many: most of a build's time is waiting for AWS.
func sideBySide() {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(12*runtime.GOMAXPROCS(0)))
	}
}

// A world is an AWS of the test's own. Builds find it by a profile in a file
// of its own, so that tests can run side by side.
type world struct {
	*testing.T
	aws         *localaws.Server
	credentials string
	attempts    time.Duration                         // limit of one try of one call of a build's; 0 is the client's own
	observe     func(what string, from, to time.Time) // told of a build's waits

	mu      sync.Mutex
	clients map[string]*ec2.Client // guarded by mu: by account and region
}

const region = "us-east-1"

// machines are worlds with machines, which take the processor: not too many at a time.
var machines = make(chan struct{}, 3*runtime.GOMAXPROCS(0))

func newWorld(t *testing.T, o localaws.Options) *world {
	t.Helper()
	if !o.NoMachines {
		machines <- struct{}{}
		t.Cleanup(func() { <-machines })
	}
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
	return &world{T: t, aws: server, credentials: file, clients: map[string]*ec2.Client{}}
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

// cloned is a copy of a part of a template, all the way down: decoding one writes to its lists,
// and tests share parts.
func cloned(part any) any {
	switch part := part.(type) {
	case block:
		all := make(block, len(part))
		for key, value := range part {
			all[key] = cloned(value)
		}
		return all
	case []block:
		all := make([]block, len(part))
		for i, each := range part {
			all[i], _ = cloned(each).(block)
		}
		return all
	case []string:
		return slices.Clone(part)
	}
	return part
}

// build runs a whole build; provision is what Packer's provisioners do.
func (w *world) build(ctx context.Context, raw block, provision hook) result {
	w.Helper()
	return w.buildWith(ctx, new(recorder), raw, provision)
}

// buildWith is build with what the user sees in a place that provisioners can look at.
func (w *world) buildWith(ctx context.Context, ui *recorder, raw block, provision hook) result {
	w.Helper()
	b := new(amazonlinux.Builder)
	b.LimitAttempts(w.attempts)
	b.ObserveWaits(w.observe)
	if _, _, err := b.Prepare(cloned(raw)); err != nil {
		w.Fatal(err)
	}
	artifact, err := b.Run(ctx, ui, provision)
	return result{artifact, err, ui}
}

// until looks until something has come about, or for so long that it won't.
func (w *world) until(comeAbout func() bool) {
	for deadline := time.Now().Add(20 * time.Second); !comeAbout() && time.Now().Before(deadline); {
		select {
		case <-w.Context().Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// leftovers waits until what goes away by itself is gone, and returns what is
// left beside the image of an artifact.
func (w *world) leftovers(kept packersdk.Artifact) []string {
	var left []string
	w.until(func() bool {
		left = slices.DeleteFunc(w.aws.Leftovers(), func(line string) bool {
			return keeps(kept, line)
		})
		return len(left) == 0
	})
	return left
}

// keeps tells whether a leftover's line is about an artifact's image, or a snapshot.
func keeps(kept packersdk.Artifact, line string) bool {
	if kept == nil {
		return false
	}
	id := imageID.FindString(line)
	return strings.Contains(line, "snap-") || id != "" && strings.Contains(kept.String(), id)
}

var imageID = regexp.MustCompile(`\bami-[0-9a-f]+\b`)

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

//go:build linux

package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/taccoform/packer-plugin-ssm/internal/inspection"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
	"github.com/taccoform/packer-plugin-ssm/internal/sandbox"
)

// A world is an AWS of the test's own, and a Packer in front of it.
type world struct {
	*testing.T
	aws    *localaws.Server
	config aws.Config
	packer *sandbox.Packer
}

func newWorld(t *testing.T, options localaws.Options) *world {
	t.Helper()
	t.Parallel()
	if options.Profile == "" {
		options.Profile = localaws.Demo
	}
	server, err := localaws.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("localaws: %v", err)
		}
	})
	return &world{T: t, aws: server, config: inspection.Config(server.Environ()), packer: packer.With(server.Environ()...)}
}

// An outcome is what a user sees of a run of Packer.
type outcome struct {
	output string
	exit   int
}

// run runs packer in dir and waits for it.
func (w *world) run(ctx context.Context, dir string, args ...string) outcome {
	w.Helper()
	var output bytes.Buffer
	command := w.packer.Command(ctx, dir, args...)
	command.Stdout, command.Stderr = &output, &output
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.Fatalf("packer %v: %v\n%s", args, err, output.String())
	}
	w.Logf("packer %s: exit %d\n%s", strings.Join(args, " "), command.ProcessState.ExitCode(), output.String())
	return outcome{output.String(), command.ProcessState.ExitCode()}
}

// plenty bounds a run that is expected to succeed, that of the peer with its own waits included: one that hangs is
// interrupted, so that it tells where, and leaves no process.
const plenty = 4 * time.Minute

// must is run for what has to succeed.
func (w *world) must(dir string, args ...string) outcome {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), plenty)
	defer cancel()
	o := w.run(ctx, dir, args...)
	if o.exit != 0 {
		w.Fatalf("packer %s: exit %d, want 0", strings.Join(args, " "), o.exit)
	}
	return o
}

// template writes a template into a folder of its own.
func (w *world) template(text string) string {
	w.Helper()
	dir := w.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "test.pkr.hcl"), []byte(required+text), 0o600); err != nil {
		w.Fatal(err)
	}
	return dir
}

// required is what every template of the tests begins with.
const required = `
packer {
  required_plugins {
    ssm = {
      version = ">= 0.1.0"
      source  = "github.com/taccoform/ssm"
    }
  }
}
`

// source is a template of one source with these further lines in it, and provisioners after it.
func source(lines, provisioners string) string {
	return `
source "ssm-amazon-linux" "test" {
  region        = "us-east-1"
  instance_type = "t3.micro"
  ami_name      = "test-image"
  ` + lines + `
}

build {
  sources = ["source.ssm-amazon-linux.test"]
  ` + provisioners + `
}
`
}

// images are those that were made, for a new world has none.
func (w *world) images(want int) []string {
	w.Helper()
	images, err := inspection.Images(w.Context(), w.config)
	if err != nil {
		w.Fatal(err)
	}
	if len(images) != want {
		w.Fatalf("%d images were made, want %d: %v", len(images), want, images)
	}
	return images
}

// settled is how long AWS may take to finish what was asked of it: a terminated instance is not gone at once.
const settled = 20 * time.Second

// nothingLeft fails for each thing that a build should not have left behind; images and their snapshots are left when
// keep names them.
func (w *world) nothingLeft(keep ...string) {
	w.Helper()
	unexpected := func() []string {
		return slices.DeleteFunc(w.aws.Leftovers(), func(line string) bool {
			return slices.ContainsFunc(keep, func(id string) bool { return strings.Contains(line, id) })
		})
	}
	w.until(settled, func() bool { return len(unexpected()) == 0 })
	for _, line := range unexpected() {
		w.Errorf("left behind: %s", line)
	}
}

// until looks again and again until it has come about, or the time is up.
func (w *world) until(limit time.Duration, comeAbout func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !comeAbout() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// says fails unless the output has each of the phrases, whatever the line breaks and colours between the words.
func (w *world) says(o outcome, phrases ...string) {
	w.Helper()
	output := flat(o.output)
	for _, phrase := range phrases {
		if !strings.Contains(output, flat(phrase)) {
			w.Errorf("the output does not say %q", phrase)
		}
	}
}

var decoration = regexp.MustCompile(`(\x1b\[[0-9;]*m|\s|[│╷╵])+`)

func flat(s string) string { return strings.ToLower(decoration.ReplaceAllString(s, " ")) }

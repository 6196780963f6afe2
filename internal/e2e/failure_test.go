//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// enough bounds a build that is expected to fail: one that hangs must not take the tests' own limit with it.
const enough = 90 * time.Second

// fails builds a template that can't succeed and holds it to what every such build owes its user: an exit status that
// says so, words that say why, no image, and nothing left.
func (w *world) fails(dir string, phrases ...string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), enough)
	defer cancel()
	o := w.run(ctx, dir, "build", "-color=false", "-on-error=cleanup", ".")
	if ctx.Err() != nil {
		w.Errorf("the build had not ended after %v", enough)
	}
	if o.exit != 1 {
		w.Errorf("exit %d, want 1", o.exit)
	}
	w.says(o, phrases...)
	w.nothingLeft()
}

// denying is the caller's policy when all is allowed but one action.
func denying(action string) localaws.Options {
	return localaws.Options{CallerPolicy: fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":%q,"Resource":"*"}]}`, action)}
}

func TestDenied(t *testing.T) {
	for action, phrases := range map[string][]string{
		"ec2:DescribeImages": {"plan:", "ec2:DescribeImages"},
		"ec2:RunInstances":   {"plan:", "ec2:RunInstances"}, // told by a dry run
		"iam:CreateRole":     {"launch:", "iam:CreateRole"},
		"iam:PassRole":       {"launch:", "iam:PassRole"},
		"ssm:SendCommand":    {"connect:", "ssm:SendCommand"},
		"ssm:StartSession":   {"connect:", "ssm:StartSession"},
		"ec2:CreateImage":    {"launch:", "ec2:CreateImage"}, // told by a dry run, before anything is provisioned
	} {
		t.Run(action, func(t *testing.T) {
			w := newWorld(t, denying(action))
			w.fails(w.template(source("", "")), phrases...)
		})
	}
}

func TestNoCredentials(t *testing.T) {
	w := newWorld(t, localaws.Options{NoMachines: true})
	w.packer = w.packer.With("AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=")
	w.fails(w.template(source("", "")), "plan:", "credentials")
}

func TestWrongCredentials(t *testing.T) {
	w := newWorld(t, localaws.Options{NoMachines: true})
	w.packer = w.packer.With("AWS_SECRET_ACCESS_KEY=this-is-not-the-key")
	w.fails(w.template(source("", "")), "plan:", "SignatureDoesNotMatch", "check the access key")
}

func TestUnknownSubnet(t *testing.T) {
	w := newWorld(t, localaws.Options{NoMachines: true})
	w.fails(w.template(source(`subnet_id = "subnet-0123456789abcdef0"`, "")), "plan:", "subnet-0123456789abcdef0")
}

func TestInstanceTypeOfAnotherArchitecture(t *testing.T) {
	w := newWorld(t, localaws.Options{NoMachines: true})
	w.fails(w.template(source(`architecture = "arm64"`, "")), "architecture", "t3.micro", "arm64")
}

func TestNoCapacity(t *testing.T) {
	w := newWorld(t, localaws.Options{NoMachines: true})
	// The first is the plan's dry run, which knows nothing of capacity.
	w.aws.Inject(localaws.Fault{Service: "ec2", Action: "RunInstances", Nth: 2, Times: -1, Code: "InsufficientInstanceCapacity"})
	w.fails(w.template(source("max_retries = 2", "")), "launch:", "InsufficientInstanceCapacity")
}

func TestDuplicateName(t *testing.T) {
	w := newWorld(t, localaws.Options{})
	dir := w.template(source("", ""))
	w.must(dir, "build", "-color=false", ".")
	image := w.images(1)[0]
	calls := len(w.aws.Calls())
	o := w.run(t.Context(), dir, "build", "-color=false", ".")
	if o.exit != 1 {
		t.Errorf("exit %d, want 1", o.exit)
	}
	w.says(o, "plan:", "test-image", image)
	w.nothingLeft(w.artifacts(image)...)
	for _, call := range w.aws.Calls()[calls:] {
		if call.Action == "RunInstances" && !call.DryRun {
			t.Error("an instance was launched although the name was taken")
		}
	}
}

func TestAgentNeverOnline(t *testing.T) {
	delays := localaws.DelaysOf(localaws.Demo)
	delays.AgentOnline = time.Hour
	w := newWorld(t, localaws.Options{Delays: &delays})
	w.fails(w.template(source(`ssm_timeout = "5s"`, "")), "connect:", "online", "5s")
}

func TestProvisionerFails(t *testing.T) {
	w := newWorld(t, localaws.Options{})
	w.fails(w.template(source("", `
  provisioner "shell" {
    inline = ["echo about to fail", "exit 42"]
  }`)), "about to fail", "exit status: 42")
}

func TestMissingUploadFails(t *testing.T) {
	w := newWorld(t, localaws.Options{})
	w.fails(w.template(source("", `
  provisioner "shell" {
    inline = ["rm -f /tmp/nothing"]
  }
  provisioner "file" {
    direction   = "download"
    source      = "/tmp/nothing"
    destination = "`+filepath.ToSlash(t.TempDir())+`/nothing"
  }`)), "/tmp/nothing")
}

func TestSkipCreateAMI(t *testing.T) {
	w := newWorld(t, localaws.Options{})
	w.must(w.template(source("skip_create_ami = true", "")), "build", "-color=false", ".")
	w.images(0)
	w.nothingLeft()
}

// TestFailedBuildLeavesTheWayFree says that a failed build leaves the way free: the same template, mended, builds in the same world.
func TestFailedBuildLeavesTheWayFree(t *testing.T) {
	w := newWorld(t, localaws.Options{})
	marker := filepath.Join(t.TempDir(), "mended")
	dir := w.template(source("", `
  provisioner "shell-local" {
    inline = ["test -e `+marker+`"]
  }`))
	w.fails(dir)
	if err := os.WriteFile(marker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.must(dir, "build", "-color=false", ".")
	w.nothingLeft(w.artifacts(w.images(1)...)...)
}

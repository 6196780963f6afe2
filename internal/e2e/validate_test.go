//go:build linux

package e2e

import (
	"testing"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// invalid holds a template to what validation owes its author: all that is wrong at once, without a call to AWS.
func (w *world) invalid(dir string, phrases ...string) {
	w.Helper()
	calls := len(w.aws.Calls())
	o := w.run(w.Context(), dir, "validate", ".")
	if o.exit != 1 {
		w.Errorf("exit %d, want 1", o.exit)
	}
	w.says(o, phrases...)
	for _, call := range w.aws.Calls()[calls:] {
		w.Errorf("validate called %s:%s", call.Service, call.Action)
	}
}

// TestLeftoverSSHInterface is the article's reader who changed the type of the source and forgot the other line.
func TestLeftoverSSHInterface(t *testing.T) {
	w := newWorld(t, localaws.Options{NoMachines: true})
	dir := w.template(source(`ssh_interface = "session_manager"`, ""))
	w.invalid(dir, "ssh_interface", "delete")
}

func TestEveryMistakeAtOnce(t *testing.T) {
	w := newWorld(t, localaws.Options{NoMachines: true})
	dir := w.template(`
source "ssm-amazon-linux" "test" {
  region                      = "the moon"
  release                     = "3"
  instance_type               = "t3.micro"
  ami_name                    = "no"
  source_ami                  = "ami-0123456789abcdef0"
  user_data                   = "#!/bin/sh"
  user_data_file              = "/does/not/exist"
  temporary_key_pair_type     = "ed25519"
  session_manager_port        = 8000
  pause_before_ssm            = "10s"
  ami_description             = "made {{ tody }}"

  source_ami_filter {
    filters     = { name = "amzn2-ami-hvm-*" }
    owners      = ["amazon"]
    most_recent = true
  }

  root_volume {
    size = 20
    type = "gp2"
    iops = 4000
  }
}

build {
  sources = ["source.ssm-amazon-linux.test"]
}
`)
	w.invalid(dir, "region", "release", "ami_name", "source_ami_filter", "user_data_file", "root_volume", "iops", "gp2",
		"temporary_key_pair_type", "session_manager_port", "pause_before_ssm",
		`ami_description: template: root:1: function "tody" not defined`)
}

func TestEmptySource(t *testing.T) {
	w := newWorld(t, localaws.Options{NoMachines: true})
	w.invalid(w.template(`
source "ssm-amazon-linux" "test" {}

build {
  sources = ["source.ssm-amazon-linux.test"]
}
`), "ami_name")
}

packer {
  required_plugins {
    ssm = {
      version = ">= 0.1.0"
      source  = "github.com/taccoform/ssm"
    }
  }
}

variable "output" {
  type        = string
  description = "Where the files that the build brings back are written."
  default     = "."
}

# What the sources have in common is written once; each adds what differs.
source "ssm-amazon-linux" "app" {
  region   = "us-east-1"
  run_tags = { Purpose = "example" }
}

build {
  name = "several"

  source "source.ssm-amazon-linux.app" {
    name          = "al2"
    release       = "2"
    instance_type = "t3.small"
    ami_name      = "app-al2-{{timestamp}}"
  }

  source "source.ssm-amazon-linux.app" {
    name          = "al2023"
    release       = "2023"
    instance_type = "t4g.small" # Graviton: the arm64 image follows from the type
    ami_name      = "app-al2023-{{timestamp}}"
  }

  # A folder, without its own name (the trailing slash), and with what is below it.
  provisioner "file" {
    source      = "${path.root}/site/"
    destination = "/tmp"
  }

  provisioner "shell" {
    environment_vars = [
      "SITE_NAME=It's an example: 100% \"quoted\"",
      "SOURCE=${source.name}",
    ]
    execute_command = "chmod +x {{ .Path }}; sudo env {{ .Vars }} {{ .Path }}"
    script          = "${path.root}/setup.sh"
  }

  # The machine goes down under the provisioner's feet, and comes back.
  provisioner "shell" {
    inline            = ["sudo reboot"]
    expect_disconnect = true
  }

  provisioner "shell" {
    inline = [
      "test \"$(cat /srv/app/boot-id)\" != \"$(cat /proc/sys/kernel/random/boot_id)\"",
      "echo up again since $(date -u +%FT%TZ) | sudo tee /srv/app/rebooted",
      "cat /srv/app/name /srv/app/source /srv/app/css/site.css /srv/app/rebooted > /tmp/report.txt",
    ]
  }

  provisioner "file" {
    direction   = "download"
    source      = "/tmp/report.txt"
    destination = "${var.output}/report-${source.name}.txt"
  }
}

packer {
  required_plugins {
    ssm = {
      version = ">= 0.1.0"
      source  = "github.com/taccoform/ssm"
    }
  }
}

source "ssm-amazon-linux" "web" {
  region        = "us-east-1"
  instance_type = "t3.small" # the architecture, and with it the source AMI, follow from this
  ami_name      = "web-{{timestamp}}"

  tags = {
    Name   = "web"
    Source = "{{ .SourceAMIName }}"
  }
}

build {
  sources = ["source.ssm-amazon-linux.web"]

  provisioner "file" {
    source      = "${path.root}/index.html"
    destination = "/tmp/index.html"
  }

  provisioner "shell" {
    inline = [
      "sudo install -D -m 644 /tmp/index.html /usr/share/web/index.html",
      "rm /tmp/index.html",
      "echo \"built from ${build.SourceAMI} as $(id -un)\" | sudo tee /etc/web-release",
    ]
  }
}

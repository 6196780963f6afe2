packer {
  required_plugins {
    amazon = {
      version = ">= 1.2.8"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "account" {
  type = string
}

source "amazon-ebs" "web" {
  region          = "us-east-1"
  instance_type   = "t3.micro"
  ami_name        = "web-1.4.2"
  ami_description = "web 1.4.2 on {{ .SourceAMIName }}"
  ami_users       = [var.account]
  snapshot_users  = [var.account]
  ami_regions     = ["us-west-2"]

  communicator     = "ssh"
  ssh_username     = "ec2-user"
  ssh_interface    = "session_manager"
  pause_before_ssm = "1s"
  ssh_pty          = true

  # Otherwise amazon-ebs 1.8.1 keeps a core busy for each command that it has run: its SSH library, golang.org/x/crypto
  # 0.52, never ends a request on a channel that is closed.
  ssh_keep_alive_interval = "-1s"

  source_ami_filter {
    filters = {
      name                = "al2023-ami-2023*-kernel-6.1-x86_64"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
    owners      = ["amazon"]
    most_recent = true
  }

  # What the agent needs, which amazon-ebs leaves to the template.
  temporary_iam_instance_profile_policy_document {
    Version = "2012-10-17"
    Statement {
      Effect = "Allow"
      Action = [
        "ssm:UpdateInstanceInformation",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
      ]
      Resource = ["*"]
    }
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 12
    volume_type           = "gp3"
    iops                  = 4000
    throughput            = 250
    delete_on_termination = true
  }
  launch_block_device_mappings {
    device_name           = "/dev/sdf"
    volume_size           = 5
    volume_type           = "gp3"
    delete_on_termination = true
  }
  ami_block_device_mappings {
    device_name           = "/dev/sdg"
    volume_size           = 7
    volume_type           = "gp2"
    delete_on_termination = true
  }

  imds_support      = "v2.0"
  skip_ami_run_tags = true
  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }

  run_tags = {
    Purpose = "build"
  }
  run_volume_tags = {
    Purpose = "build"
  }
  tags = {
    Name   = "web"
    Base   = "{{ .SourceAMIName }}"
    BaseID = "{{ .SourceAMI }}"
    Region = "{{ .BuildRegion }}"
  }
  snapshot_tags = {
    Name = "web's snapshot"
  }
}

build {
  sources = ["source.amazon-ebs.web"]

  provisioner "shell" {
    execute_command = "{{ .Vars }} sudo -E bash '{{ .Path }}'"
    env = {
      SOURCE = "${build.SourceAMI}"
    }
    inline = [
      "useradd --system web",
      "install -d -o web -m 0750 /srv/web",
      "echo \"from $SOURCE\" >/srv/web/index.html",
      "ln -s /srv/web/index.html /etc/web-index",
      "rm -f /etc/motd",
    ]
  }

  provisioner "file" {
    content     = "Listen 8080\n"
    destination = "/tmp/web.conf"
  }

  provisioner "shell" {
    inline = ["sudo install -m 0644 /tmp/web.conf /etc/web.conf", "rm /tmp/web.conf"]
  }

  post-processor "manifest" {
    output     = "manifest.json"
    strip_path = true
  }
}

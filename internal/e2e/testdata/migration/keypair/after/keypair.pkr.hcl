packer {
  required_plugins {
    ssm = {
      version = ">= 0.1.0"
      source  = "github.com/taccoform/ssm"
    }
  }
}

variable "aws_region" {
  type    = string
  default = "eu-west-1"
}

variable "ssh_private_key_file" {
  type    = string
  default = "./builder_key"
}

variable "ssh_username" {
  type    = string
  default = "ec2-user"
}

variable "app_version" {
  type    = string
  default = "1.4.2"
}

source "ssm-amazon-linux" "builder" {
  ami_name             = "docker-ami-${var.app_version}"
  ami_users            = []
  communicator         = "ssh"
  instance_type        = "t3.small"
  region               = var.aws_region
  ssh_username         = var.ssh_username
  iam_instance_profile = "packer-builders-${var.aws_region}"
  encrypt_boot         = false

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 20
    volume_type           = "gp2"
    delete_on_termination = true
  }

  security_group_filter {
    filters = {
      "group-name" : "packer-builders-${var.aws_region}"
    }
  }

  source_ami_filter {
    filters = {
      virtualization-type = "hvm"
      name                = "amzn2-ami-kernel-5.10-hvm-2.0.*-x86_64-gp2"
      root-device-type    = "ebs"
    }
    owners             = ["137112412989"]
    most_recent        = true
    include_deprecated = true
  }

  subnet_filter {
    filters = {
      "tag:Name" : "placement-*"
    }
    most_free = true
    random    = false
  }

  tags = {
    Name    = "docker-ami-${var.app_version}"
    Builder = "packer-{{packer_version}}"
  }
}

build {
  sources = ["source.ssm-amazon-linux.builder"]

  provisioner "shell" {
    inline = [
      "sudo amazon-linux-extras install docker -y",
      "sudo systemctl enable docker",
      "echo ${var.app_version} | sudo tee /etc/docker-ami",
    ]
  }
}

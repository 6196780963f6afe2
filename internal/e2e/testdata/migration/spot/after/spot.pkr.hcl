packer {
  required_plugins {
    ssm = {
      version = ">= 0.1.0"
      source  = "github.com/taccoform/ssm"
    }
  }
}

variable "volumes" {
  type = list(object({ device = string, size = number }))
  default = [
    { device = "/dev/xvda", size = 16 },
    { device = "/dev/xvdb", size = 4 },
  ]
}

variable "retention" {
  type    = map(string)
  default = { Backup = "weekly", Owner = "batch" }
}

locals {
  purpose = "batch"
}

source "ssm-amazon-linux" "batch" {
  ami_name                 = "${local.purpose}-{{ isotime \"20060102-150405\" }}"
  region                   = "us-east-1"
  spot_price               = "auto"
  spot_instance_types      = ["m5.large", "m5a.large", "c5.large"]
  spot_allocation_strategy = "capacity-optimized"
  user_data_file           = "bootstrap.sh"
  ssh_username             = "ec2-user"
  shutdown_behavior        = "terminate"

  spot_tags = {
    purpose = local.purpose
  }
  fleet_tags = {
    purpose = local.purpose
  }

  dynamic "tag" {
    for_each = var.retention
    content {
      key   = tag.key
      value = tag.value
    }
  }

  dynamic "launch_block_device_mappings" {
    for_each = var.volumes
    iterator = volume
    content {
      device_name           = volume.value.device
      volume_size           = volume.value.size
      volume_type           = "gp3"
      delete_on_termination = true
      encrypted             = true
    }
  }

  temporary_iam_instance_profile_policy_document {
    Version = "2012-10-17"
    Statement {
      Effect   = "Allow"
      Action   = ["s3:GetObject", "s3:ListBucket"]
      Resource = ["arn:aws:s3:::batch-artifacts", "arn:aws:s3:::batch-artifacts/*"]
    }
    Statement {
      Effect   = "Allow"
      Action   = ["logs:*"]
      Resource = ["*"]
    }
  }

  source_ami_filter {
    filters = {
      name                = "al2023-ami-2023.*-kernel-6.1-x86_64"
      architecture        = "x86_64"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
    owners      = ["amazon"]
    most_recent = true
  }
}

build {
  sources = ["ssm-amazon-linux.batch"]

  provisioner "shell" {
    inline = ["sudo cloud-init status --wait", "test -e /etc/batch/bootstrapped"]
  }

  provisioner "shell" {
    script          = "scripts/data-volume.sh"
    execute_command = "sudo sh -c '{{ .Vars }} {{ .Path }}'"
    env = {
      PURPOSE = local.purpose
    }
  }

  error-cleanup-provisioner "shell" {
    inline = ["sudo tail -n 100 /var/log/cloud-init-output.log"]
  }
}

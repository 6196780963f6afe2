data "amazon-parameterstore" "base" {
  name   = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
  region = var.region
}

locals {
  build_date  = formatdate("YYYYMMDDhhmmss", timestamp())
  name_prefix = "private-${var.environment}"
  common_tags = {
    creator     = "packer"
    environment = var.environment
  }
}

source "amazon-ebs" "private" {
  region               = var.region
  source_ami           = data.amazon-parameterstore.base.value
  instance_type        = var.instance_type
  vpc_id               = var.vpc_id
  subnet_id            = var.subnet_id
  iam_instance_profile = var.iam_instance_profile

  communicator            = "ssh"
  ssh_username            = var.ssh_username
  ssh_interface           = "session_manager"
  pause_before_ssm        = "10s"
  session_manager_port    = 8200
  ssh_timeout             = "3m"
  temporary_key_pair_type = "ed25519"

  ami_name = "${local.name_prefix}-${local.build_date}"
  tags     = merge(local.common_tags, { Name = "${local.name_prefix}-${local.build_date}" })
  run_tags = merge(local.common_tags, { Name = "packer-${local.name_prefix}" })

  ami_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 30
    volume_type           = "gp3"
    iops                  = 3000
    throughput            = 125
    delete_on_termination = true
    encrypted             = false
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 30
    volume_type           = "gp3"
    iops                  = 3000
    throughput            = 125
    delete_on_termination = true
    encrypted             = false
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
}

source "amazon-ebs" "al2023arm" {
  ami_name            = "${var.ami_name_prefix}-hvm-2023.0.${var.ami_version}-arm64"
  ami_description     = "Amazon Linux AMI 2023.0.${var.ami_version} arm64 ECS HVM EBS"
  instance_type       = var.arm_instance_type
  custom_endpoint_ec2 = var.custom_endpoint_ec2
  launch_block_device_mappings {
    volume_size           = var.block_device_size_gb
    delete_on_termination = true
    volume_type           = "gp3"
    device_name           = "/dev/xvda"
  }
  region = var.region
  source_ami_filter {
    filters = {
      name = "${var.source_ami_al2023arm}"
    }
    owners             = ["amazon"]
    most_recent        = true
    include_deprecated = true
  }
  ami_users     = "${var.ami_users}"
  ssh_interface = "public_ip"
  ssh_username  = "ec2-user"
  tags          = merge(local.merged_tags, { ami_type = "al2023arm" })
  run_tags      = "${var.run_tags}"
}

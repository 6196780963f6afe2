# Written for amazon-ebs with ssh_interface = "session_manager". Moved over by changing the type of the source and
# deleting ssh_interface.
source "ssm-amazon-linux" "amazonlinux2" {
  ami_name             = "amazonlinux2-session-manager-${local.timestamp}"
  instance_type        = var.instance_type
  region               = var.region
  vpc_id               = var.vpc_id
  subnet_id            = var.subnet_id
  iam_instance_profile = var.iam_instance_profile

  source_ami_filter {
    filters = {
      name                = "amzn2-ami-hvm-*-x86_64-ebs"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
    most_recent = true
    owners      = ["amazon"]
  }

  communicator = "ssh"
  ssh_username = "ec2-user"

  tags = {
    Name        = "amazonlinux2-session-manager-${local.timestamp}"
    Environment = "test"
    OS          = "Amazon Linux 2"
    Builder     = "packer"
    Base_AMI    = "{{ .SourceAMI }}"
  }
}

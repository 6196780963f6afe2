packer {
  required_version = ">= 1.7.0"
  required_plugins {
    amazon = {
      version = ">= 1.2.8, < 2.0.0"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

locals {
  timestamp = regex_replace(timestamp(), "[- TZ:]", "")
  tags = {
    Team          = "platform"
    Base_AMI_ID   = "{{ .SourceAMI }}"
    Base_AMI_Name = "{{ .SourceAMIName }}"
    Base_Owner    = "{{ .SourceAMIOwner }}"
    Region        = "{{ .BuildRegion }}"
    BuiltAt       = "{{ isotime \"2006-01-02\" }}"
  }
}

source "amazon-ebs" "golden" {
  ami_name        = "golden-al2-${local.timestamp}"
  ami_description = "Hardened Amazon Linux 2, from {{ .SourceAMIName }}"
  ami_users       = var.account_ids
  snapshot_users  = var.account_ids
  ami_regions     = var.copy_regions
  region          = var.region
  instance_type   = "m5.large"

  assume_role {
    role_arn         = var.role_arn
    session_name     = "packer-golden"
    external_id      = "golden"
    duration_seconds = 3600
  }

  encrypt_boot       = true
  kms_key_id         = var.kms_key_id
  region_kms_key_ids = var.region_kms_key_ids

  ami_virtualization_type = "hvm"
  ena_support             = true
  sriov_support           = true
  imds_support            = "v2.0"
  deprecate_at            = timeadd(timestamp(), "8760h")
  force_deregister        = true
  force_delete_snapshot   = true

  vpc_filter {
    filters = {
      "isDefault" = "true"
    }
  }

  subnet_filter {
    filters = {
      "tag:Tier" = "private"
    }
    most_free = true
    random    = false
  }

  security_group_filter {
    filters = {
      "group-name" = "packer-builders"
    }
  }

  source_ami_filter {
    filters = {
      name                = "amzn2-ami-hvm-*-x86_64-gp2"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
    most_recent        = true
    owners             = ["137112412989"]
    include_deprecated = true
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 20
    volume_type           = "gp3"
    iops                  = 3000
    throughput            = 125
    delete_on_termination = true
  }

  communicator  = "ssh"
  ssh_username  = "ec2-user"
  ssh_pty       = true
  ssh_timeout   = "10m"
  ssh_interface = "private_ip"

  ssh_handshake_attempts       = 30
  ssh_bastion_host             = var.bastion
  ssh_bastion_username         = "jump"
  ssh_bastion_agent_auth       = true
  ssh_file_transfer_method     = "sftp"
  ssh_keep_alive_interval      = "10s"
  temporary_key_pair_type      = "ed25519"
  associate_public_ip_address  = false
  ssh_disable_agent_forwarding = true

  run_tags = {
    Name = "packer-builder-golden"
  }
  run_volume_tags = {
    Name = "packer-builder-golden"
  }
  tags = merge(local.tags, { Name = "golden-al2" })
  snapshot_tags = {
    Name = "golden-al2"
  }
}

build {
  name    = "golden"
  sources = ["source.amazon-ebs.golden"]

  provisioner "shell" {
    inline = ["while [ ! -f /var/lib/cloud/instance/boot-finished ]; do echo 'Waiting for cloud-init...'; sleep 1; done"]
  }

  provisioner "file" {
    source      = "hardening/"
    destination = "/tmp/hardening"
  }

  provisioner "shell" {
    execute_command = "{{ .Vars }} sudo -E -S bash '{{ .Path }}'"
    environment_vars = [
      "BUILD=${build.ID}",
      "SOURCE=${build.SourceAMI}"
    ]
    scripts = fileset(".", "hardening/*.sh")
  }

  post-processors {
    post-processor "manifest" {
      output     = "golden.json"
      strip_path = true
      custom_data = {
        source_ami = "${build.SourceAMI}"
      }
    }
    post-processor "shell-local" {
      inline = ["test -s golden.json && echo the manifest is there"]
    }
  }
}

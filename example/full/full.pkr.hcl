packer {
  required_plugins {
    ssm = {
      version = ">= 0.1.0"
      source  = "github.com/taccoform/ssm"
    }
  }
}

variable "ami_name" {
  type    = string
  default = "platform-al2023"
}

variable "kms_keys" {
  type        = map(string)
  description = "A KMS key of your own for each region; an AMI that is shared needs them. Without one, the region's default key encrypts."
  default     = {}
}

variable "accounts" {
  type        = list(string)
  description = "The accounts that may launch the AMI. The policies of the keys must let them use these."
  default     = []
}

source "ssm-amazon-linux" "platform" {
  region   = "us-east-1"
  release  = "2023"
  ami_name = var.ami_name

  # Where there is no capacity for the first, the next one is tried, and then the next subnet.
  instance_types = ["t3.small", "t3a.small", "m7i.large"]
  subnet_filter {
    filters = {
      "default-for-az" = "true"
    }
    most_free = true
  }
  enable_unlimited_credits = true
  metadata_options {
    http_put_response_hop_limit = 2
    instance_metadata_tags      = "enabled"
  }
  run_tags        = { Purpose = "example", Name = "builds ${var.ami_name}" }
  run_volume_tags = { Purpose = "example" }

  # What provisioners may do on AWS, beside what the agent needs.
  temporary_iam_instance_profile_policy_document {
    Statement {
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = ["arn:aws:s3:::my-artifacts/*"]
    }
  }

  # The volumes are encrypted at launch, so no second copy is made for that.
  encrypt_boot = true
  kms_key_id   = lookup(var.kms_keys, "us-east-1", "")
  root_volume {
    size       = 20
    type       = "gp3"
    iops       = 4000
    throughput = 250
  }
  launch_block_device_mappings {
    device_name = "/dev/sdf"
    volume_size = 5
    volume_type = "gp3"
  }
  ami_block_device_mappings {
    device_name = "/dev/sdg"
    volume_size = 10
    volume_type = "gp3"
  }

  ami_description = "Of {{ .SourceAMIName }}"
  tags = {
    Name   = var.ami_name
    Source = "{{ .SourceAMI }}"
  }
  snapshot_tags = { Of = var.ami_name }
  imds_support  = "v2.0"

  # Copied to both regions at the same time.
  ami_regions = ["us-west-2", "eu-west-1"]
  region_kms_key_ids = {
    us-west-2 = lookup(var.kms_keys, "us-west-2", "")
    eu-west-1 = lookup(var.kms_keys, "eu-west-1", "")
  }
  snapshot_copy_duration_minutes = 60

  ami_users      = var.accounts
  snapshot_users = var.accounts

  # The AMI that has the name gives it up once the new one is available in all regions.
  force_deregister      = true
  force_delete_snapshot = true

  deprecate_after = "90d"
  deregistration_protection {
    enabled = false # such an image can't be replaced by the next build
  }

  aws_polling {
    delay_seconds = 30
    max_attempts  = 240
  }
}

build {
  sources = ["source.ssm-amazon-linux.platform"]

  provisioner "shell" {
    inline = [
      "echo \"${build.ID} of ${build.SourceAMI}\" | sudo tee /etc/platform-release",
    ]
  }

  post-processor "manifest" {
    output = "manifest.json"
  }
}

packer {
  required_plugins {
    ssm = {
      version = ">= 0.1.0"
      source  = "github.com/taccoform/ssm"
    }
  }
}

locals {
  packages = "amazon-efs-utils ec2-net-utils acpid amazon-ssm-agent yum-utils"
}

variable "ami_name_prefix" {
  type        = string
  description = "Outputted AMI name prefix."
  default     = "unofficial-amzn2023-ami-ecs"
}

variable "ami_version" {
  type    = string
  default = "20261101"
}

variable "general_purpose_instance_type" {
  type    = string
  default = "c5.large"
}

variable "arm_instance_type" {
  type    = string
  default = "m6g.large"
}

variable "region" {
  type = string
}

variable "block_device_size_gb" {
  type    = number
  default = 30
}

variable "docker_version" {
  type    = string
  default = "25.0.8"
}

variable "custom_endpoint_ec2" {
  type    = string
  default = ""
}

variable "air_gapped" {
  type    = string
  default = ""
}

variable "source_ami_al2023" {
  type    = string
  default = "al2023-ami-2023.*-kernel-6.1-x86_64"
}

variable "source_ami_al2023arm" {
  type    = string
  default = "al2023-ami-2023.*-kernel-6.1-arm64"
}

variable "ami_ou_arns" {
  type    = list(string)
  default = []
}

variable "ami_org_arns" {
  type    = list(string)
  default = []
}

variable "ami_users" {
  type    = list(string)
  default = []
}

variable "run_tags" {
  type    = map(string)
  default = {}
}

variable "tags" {
  type    = map(string)
  default = {}
}

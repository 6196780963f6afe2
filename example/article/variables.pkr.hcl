variable "vpc_id" {
  type        = string
  description = "The VPC that the build's instance is launched in; export it as PKR_VAR_vpc_id."
}

variable "subnet_id" {
  type        = string
  description = "A private subnet of that VPC with a way to Systems Manager; export it as PKR_VAR_subnet_id."
}

variable "iam_instance_profile" {
  type        = string
  description = "An instance profile whose role lets the agent register (AmazonSSMManagedInstanceCore)."
  default     = "session-manager"
}

variable "region" {
  type    = string
  default = "us-east-1"
}

variable "instance_type" {
  type    = string
  default = "t3.micro"
}

locals {
  timestamp = regex_replace(timestamp(), "[- TZ:]", "")
}

variable "account_ids" {
  type = list(string)
}

variable "copy_regions" {
  type = list(string)
}

variable "region" {
  type    = string
  default = "us-east-1"
}

variable "role_arn" {
  type = string
}

variable "kms_key_id" {
  type = string
}

variable "region_kms_key_ids" {
  type = map(string)
}

variable "bastion" {
  type    = string
  default = "bastion.example.com"
}

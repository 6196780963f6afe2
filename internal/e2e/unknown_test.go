//go:build linux

package e2e

import (
	"testing"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// TestValidateDoesNotKnow has options whose values a data source will say. Packer validates without asking it.
func TestValidateDoesNotKnow(t *testing.T) {
	w := newWorld(t, localaws.Options{NoMachines: true})
	w.must(w.template(`
data "amazon-parameterstore" "x" {
  name   = "/not/asked/for"
  region = "us-east-1"
}

locals {
  x = data.amazon-parameterstore.x.value
}

source "ssm-amazon-linux" "test" {
  region                          = local.x
  instance_type                   = local.x
  ami_name                        = "web-${local.x}"
  ami_description                 = local.x
  ami_users                       = [local.x, local.x]
  ami_org_arns                    = [local.x]
  ami_ou_arns                     = [local.x]
  ami_regions                     = [local.x]
  availability_zone               = local.x
  capacity_reservation_preference = local.x
  custom_endpoint_ec2             = local.x
  deprecate_at                    = local.x
  encrypt_boot                    = true
  iam_instance_profile            = local.x
  imds_support                    = local.x
  kms_key_id                      = local.x
  profile                         = local.x
  security_group_ids              = [local.x, local.x]
  shutdown_behavior               = local.x
  snapshot_users                  = [local.x]
  source_ami                      = local.x
  ssh_username                    = local.x
  subnet_id                       = local.x
  tenancy                         = local.x
  user_data_file                  = local.x
  vpc_id                          = local.x
  run_tags                        = { Name = local.x }
  tags                            = { Name = local.x }

  assume_role {
    role_arn = local.x
  }
  launch_block_device_mappings {
    device_name = local.x
    volume_type = local.x
    iops        = 3000
    snapshot_id = local.x
  }
  metadata_options {
    http_tokens = local.x
  }
}

build {
  sources = ["source.ssm-amazon-linux.test"]
}
`), "validate", ".")
}

packer {
  required_plugins {
    amazon = {
      version = ">= 1.0.9"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "release" {
  type = string
}

variable "output" {
  type    = string
  default = "."
}

variable "database_password" {
  type      = string
  sensitive = true
  default   = "not-a-password"
}

local "banner" {
  expression = "fleet ${var.release}"
}

source "amazon-ebs" "base" {
  region                     = "us-east-1"
  instance_type              = "t3.medium"
  ssh_username               = "ec2-user"
  force_deregister           = true
  force_delete_snapshot      = true
  ssh_clear_authorized_keys  = true
  enable_unlimited_credits   = false
  ssh_read_write_timeout     = "5m"
  skip_region_validation     = true
  ami_virtualization_type    = "hvm"
  skip_credential_validation = false
  source_ami_filter {
    filters = {
      name                = "al2023-ami-2023.*-kernel-6.1-x86_64"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
    owners      = ["amazon"]
    most_recent = true
  }
  temporary_security_group_source_cidrs = ["10.0.0.0/8"]
}

build {
  name = "servers"

  source "source.amazon-ebs.base" {
    name     = "web"
    ami_name = "fleet-web-${var.release}"
    tags     = { Name = "fleet-web", Release = var.release }
  }

  source "source.amazon-ebs.base" {
    name     = "worker"
    ami_name = "fleet-worker-${var.release}"
    tags     = { Name = "fleet-worker", Release = var.release }
  }

  provisioner "file" {
    content     = "${local.banner} ${source.name} by ${source.type}\n"
    destination = "/tmp/banner"
  }

  provisioner "shell" {
    inline = ["sudo mv /tmp/banner /etc/fleet"]
    override = {
      web = {
        inline = ["sudo mv /tmp/banner /etc/fleet", "sudo mkdir -p /srv/www"]
      }
    }
  }

  provisioner "file" {
    only        = ["amazon-ebs.web"]
    source      = "app"
    destination = "/tmp"
  }

  provisioner "shell" {
    except = ["amazon-ebs.worker"]
    inline = ["sudo cp -r /tmp/app/. /srv/www/ && rm -rf /tmp/app"]
  }

  provisioner "shell" {
    environment_vars = ["PASSWORD=${var.database_password}"]
    inline           = ["echo the password is $PASSWORD"]
  }

  post-processors {
    post-processor "manifest" {
      output = "${var.output}/fleet.json"
    }
    post-processor "shell-local" {
      environment_vars = ["BUILD=${build.name}"]
      inline           = ["echo made $BUILD"]
    }
  }
}

build {
  name = "bastion"

  source "amazon-ebs.base" {
    ami_name = "fleet-bastion-${var.release}"
  }

  provisioner "shell" {
    inline = ["echo bastion | sudo tee /etc/fleet"]
  }
}

packer {
  required_plugins {
    ssm = {
      version = ">= 0.1.0"
      source  = "github.com/taccoform/ssm"
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

source "ssm-amazon-linux" "base" {
  region                     = "us-east-1"
  instance_type              = "t3.medium"
  ssh_username               = "ec2-user"
  force_deregister           = true
  force_delete_snapshot      = true
  enable_unlimited_credits   = false
  ssh_read_write_timeout     = "5m"
  skip_region_validation     = true
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
}

build {
  name = "servers"

  source "source.ssm-amazon-linux.base" {
    name     = "web"
    ami_name = "fleet-web-${var.release}"
    tags     = { Name = "fleet-web", Release = var.release }
  }

  source "source.ssm-amazon-linux.base" {
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
    only        = ["ssm-amazon-linux.web"]
    source      = "app"
    destination = "/tmp"
  }

  provisioner "shell" {
    except = ["ssm-amazon-linux.worker"]
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

  source "ssm-amazon-linux.base" {
    ami_name = "fleet-bastion-${var.release}"
  }

  provisioner "shell" {
    inline = ["echo bastion | sudo tee /etc/fleet"]
  }
}

packer {
  required_plugins {
    ssm = {
      version = ">= 0.1.0"
      source  = "github.com/taccoform/ssm"
    }
  }
}

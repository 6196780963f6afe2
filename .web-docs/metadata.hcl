# For the Packer integrations site; the rest of this folder is generated from docs/.
integration {
  name        = "SSM"
  description = "Builds Amazon Linux AMIs through AWS Systems Manager: no open port, no key pair, no bastion."
  identifier  = "packer/taccoform/ssm"
  flags       = []
  docs {
    process_docs    = true
    readme_location = "./README.md"
    external_url    = "https://github.com/taccoform/packer-plugin-ssm"
  }
  license {
    type = "MPL-2.0"
    url  = "https://github.com/taccoform/packer-plugin-ssm/blob/main/LICENSE"
  }
  component {
    type = "builder"
    name = "Amazon Linux"
    slug = "amazon-linux"
  }
}

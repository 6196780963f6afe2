build {
  sources = ["source.ssm-amazon-linux.amazonlinux2"]

  provisioner "shell" {
    script = "${path.root}/scripts/setup.sh"
  }
}

build {
  name    = "private"
  sources = ["source.amazon-ebs.private"]

  provisioner "shell" {
    inline = ["echo Connected via SSM at '${build.User}@${build.Host}:${build.Port}'"]
  }

  provisioner "shell-local" {
    command = "tar -C playbook -czf playbook.tar.gz ."
  }

  provisioner "file" {
    source      = "playbook.tar.gz"
    destination = "/tmp/playbook.tar.gz"
    generated   = true
  }

  provisioner "shell" {
    inline = [
      "mkdir -p /tmp/playbook && tar -C /tmp/playbook -xzf /tmp/playbook.tar.gz",
      "sudo bash /tmp/playbook/site.sh",
      "sudo reboot",
    ]
    expect_disconnect = true
    pause_after       = "1s"
  }

  provisioner "shell" {
    scripts      = ["scripts/verify.sh"]
    pause_before = "1s"
    max_retries  = 2
    timeout      = "5m"
  }

  post-processor "manifest" {
    output     = "private-manifest.json"
    strip_path = true
  }
}

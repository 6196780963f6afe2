region = "us-west-2"
tags = {
  team = "containers"
}

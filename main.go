// Packer-plugin-ssm is a Packer plugin that builds Amazon Linux AMIs through
// AWS Systems Manager.
package main

import (
	"fmt"
	"os"

	"github.com/hashicorp/packer-plugin-sdk/plugin"

	"github.com/taccoform/packer-plugin-ssm/builder/amazonlinux"
	"github.com/taccoform/packer-plugin-ssm/version"
)

func main() {
	set := plugin.NewSet()
	set.RegisterBuilder("amazon-linux", new(amazonlinux.Builder))
	set.SetVersion(version.Plugin())
	if err := set.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Package version holds the version that the plugin reports to Packer.
package version

import "github.com/hashicorp/packer-plugin-sdk/version"

// A release sets these by ldflags:
//
//	-X github.com/taccoform/packer-plugin-ssm/version.number=1.2.3
//	-X github.com/taccoform/packer-plugin-ssm/version.prerelease=
var (
	number     = "0.1.0"
	prerelease = "dev"
)

// Plugin is the version of this plugin, without a leading v, as Packer expects it.
func Plugin() *version.PluginVersion {
	return version.NewPluginVersion(number, prerelease, "")
}

package localaws

import (
	"slices"
	"strings"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

// A platform is the operating system as the agent finds it.
type platform struct{ name, version, hostname string }

// agentVersion is that of the agent in the release's images, as their package databases have it.
func (p platform) agentVersion() string {
	if p.version == "2023" {
		return "3.3.2299.0"
	}
	return "3.3.1957.0"
}

// probeAgent looks for the agent on the machine, whether it came with the image or later, and tells what it reports first.
const probeAgent = `[ "$1" = true ] || [ -x ` + agentPath + ` ] || exit 1
. /etc/os-release && printf '%s\n%s\n' "$NAME" "$VERSION_ID" && cat /proc/sys/kernel/hostname`

// agentInstalled looks into the machine. It is called without s.mu; false if there is no agent.
func (s *Server) agentInstalled(guest *machine.Machine, inImage bool) (platform, bool) {
	if guest == nil {
		return platform{"Amazon Linux", "2", "localhost"}, inImage
	}
	args := []string{"-c", probeAgent, "sh", "false"}
	if inImage {
		args[3] = "true"
	}
	var said strings.Builder
	exit, err := guest.Exec(s.ctx, machine.Command{Path: "/bin/sh", Args: args, Stdout: &said})
	lines := strings.Split(said.String(), "\n")
	if err != nil || exit != 0 || len(lines) < 3 {
		return platform{}, false
	}
	return platform{lines[0], lines[1], lines[2]}, true
}

// tagsOf are an instance's tags. s.mu is held.
func (s *Server) tagsOf(i *instance) map[string]string {
	return s.ec2Place(i.Account, i.Region).tags[i.ID]
}

// taggedAs says whether an instance has what a filter "tag:<key>" or "tag-key" asks for. s.mu is held.
func (s *Server) taggedAs(i *instance, key string, values []string) bool {
	tags := s.tagsOf(i)
	if name, ok := strings.CutPrefix(key, "tag:"); ok {
		value, there := tags[name]
		return there && slices.Contains(values, value)
	}
	return slices.ContainsFunc(values, func(name string) bool {
		_, there := tags[name]
		return there
	})
}

// privateIP is the address of an instance's first interface, or empty. s.mu is held.
func (s *Server) privateIP(i *instance) string {
	for _, n := range s.ec2Place(i.Account, i.Region).interfacesOf(i.ID) {
		return n.privateIP.String()
	}
	return ""
}

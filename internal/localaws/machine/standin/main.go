package standin

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// commands are the stand-ins by name, with the folder that each is in.
var commands = map[string]struct {
	dir string
	run func(name string, args []string) int
}{
	"systemctl":   {"/usr/bin", systemctl},
	"service":     {"/usr/sbin", service},
	"chkconfig":   {"/usr/sbin", chkconfig},
	"journalctl":  {"/usr/bin", journalctl},
	"hostnamectl": {"/usr/bin", hostnamectl},
	"timedatectl": {"/usr/bin", timedatectl},
	"loginctl":    {"/usr/bin", missing},
	"shutdown":    {"/usr/sbin", shutdown},
	"reboot":      {"/usr/sbin", power},
	"poweroff":    {"/usr/sbin", power},
	"halt":        {"/usr/sbin", power},
	"init":        {"/usr/sbin", runlevel},
	"telinit":     {"/usr/sbin", runlevel},
	"cloud-init":  {"/usr/bin", cloudInit},
	"yum":         {"/usr/bin", yum},
	"dnf":         {"/usr/bin", yum},
	"rpm":         {"/usr/bin", rpm},

	"amazon-ssm-agent":    {"/usr/bin", ssmAgent},
	"needs-restarting":    {"/usr/bin", needsRestarting},
	"yum-config-manager":  {"/usr/bin", configManager},
	"amazon-linux-extras": {"/usr/bin", extras},
	"idle":                {"/usr/libexec/localaws", idle},
}

// Commands are the paths at which a machine has the stand-ins.
func Commands(al2 bool) []string {
	var paths []string
	for name, c := range commands {
		if !al2 && name == "amazon-linux-extras" || al2 && name == "dnf" {
			continue
		}
		paths = append(paths, c.dir+"/"+name)
	}
	slices.Sort(paths)
	return paths
}

// Main runs the command called name. It returns the exit status. A name that is not one of Commands is that of a program which a
// stand-in package has placed.
func Main(name string, args []string) int {
	c, ok := commands[name]
	if !ok {
		return placed(name, args)
	}
	if len(args) == 1 && args[0] == "--version" {
		fmt.Printf("%s: stand-in of localaws, a simulated AWS\n", name)
		return versionLine(name)
	}
	return c.run(name, args)
}

func versionLine(name string) int {
	switch name {
	case "systemctl":
		fmt.Println("systemd 219 or 252, as the release has it, is not running: process 1 starts services by itself")
	case "rpm":
		fmt.Println("RPM version 4.11.3 or 4.16.1.3, as the release has it")
	}
	return 0
}

// fail prints a message and returns status.
func fail(status int, format string, args ...any) int {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	return status
}

func missing(name string, _ []string) int {
	return fail(1, "%s: there is no systemd in this simulated machine, and localaws has no stand-in for this command", name)
}

// ssmAgent is what there is to see of the agent, whose work the simulated Systems Manager does as long as this file exists.
func ssmAgent(name string, args []string) int {
	if p := available()[name]; p != nil && len(args) == 1 && strings.TrimLeft(args[0], "-") == "version" {
		fmt.Println("SSM Agent version: " + strings.SplitN(p.version(), "-", 2)[0])
		return 0
	}
	return missing(name, args)
}

// placed is a program of a package of which only the name was installed.
func placed(name string, args []string) int {
	p := packageWithCommand(name)
	version := "of no known package"
	if p != nil {
		version = p.version()
	}
	if len(args) == 1 && slices.Contains([]string{"--version", "-v", "-V", "-version", "version"}, args[0]) {
		fmt.Printf("%s version %s (stand-in of localaws: the program itself is not installed)\n", name, strings.SplitN(version, "-", 2)[0])
		return 0
	}
	return fail(1, "%s: this is a stand-in that localaws placed for a package of which only the name is installed; it can only tell its --version", name)
}

// isAL2 tells Amazon Linux 2 from 2023.
func isAL2() bool {
	text, err := os.ReadFile("/etc/os-release")
	return err != nil || strings.Contains(string(text), `VERSION_ID="2"`)
}

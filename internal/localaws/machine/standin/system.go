package standin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine/unit"
)

func journalctl(_ string, args []string) int {
	var names []string
	for i, a := range args {
		value, ok := strings.CutPrefix(a, "--unit=")
		if (a == "-u" || a == "--unit") && i+1 < len(args) {
			value, ok = args[i+1], true
		}
		if ok {
			names = append(names, unit.FullName(value))
		}
	}
	if len(names) == 0 {
		names = []string{"*"}
	}
	for _, name := range names {
		files, err := filepath.Glob(filepath.Join(LogDir, name+".log"))
		if err != nil {
			return fail(1, "journalctl: %v", err)
		}
		for _, path := range files {
			if err := printFile(path); err != nil {
				return fail(1, "journalctl: %v", err)
			}
		}
	}
	return 0
}

func printFile(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(text)
	return err
}

func words(args []string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(a string) bool { return strings.HasPrefix(a, "-") })
}

func hostnamectl(_ string, args []string) int {
	w := words(args)
	if len(w) == 2 && (w[0] == "set-hostname" || w[0] == "hostname") {
		if s := needRoot("Could not set property"); s != 0 {
			return s
		}
		if err := os.WriteFile("/etc/hostname", []byte(w[1]+"\n"), 0o644); err != nil {
			return fail(1, "Could not set property: %v", err)
		}
		return request(Request{Op: OpHostname, Name: w[1]})
	}
	if len(w) > 0 && w[0] != "status" && w[0] != "hostname" {
		return fail(1, "Unknown operation %s. (stand-in of localaws)", w[0])
	}
	host, err := os.Hostname()
	if err != nil {
		return fail(1, "%v", err)
	}
	if len(w) == 1 && w[0] == "hostname" {
		fmt.Println(host)
		return 0
	}
	fmt.Printf("   Static hostname: %s\n         Icon name: computer-vm\n           Chassis: vm\n    Virtualization: localaws\n", host)
	return 0
}

func timedatectl(_ string, args []string) int {
	w := words(args)
	switch {
	case len(w) == 2 && w[0] == "set-timezone":
		return setTimezone(w[1])
	case len(w) == 2 && w[0] == "set-ntp":
		return needRoot("Failed to set ntp")
	case len(w) > 0 && w[0] != "status":
		return fail(1, "Unknown operation %s. (stand-in of localaws)", w[0])
	}
	fmt.Printf("      Local time: %s\n", time.Now().Format("Mon 2006-01-02 15:04:05 MST"))
	return 0
}

func setTimezone(zone string) int {
	if s := needRoot("Failed to set time zone"); s != 0 {
		return s
	}
	path := "/usr/share/zoneinfo/" + zone
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return fail(1, "Failed to set time zone: Invalid time zone '%s'", zone)
	}
	if err := os.Remove("/etc/localtime"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(1, "Failed to set time zone: %v", err)
	}
	if err := os.Symlink(".."+path, "/etc/localtime"); err != nil {
		return fail(1, "Failed to set time zone: %v", err)
	}
	return 0
}

// Where process 1, which does cloud-init's work, says that it is done.
const (
	cloudResult = "/run/cloud-init/result.json"
	cloudDir    = "/var/lib/cloud"
)

func cloudInit(_ string, args []string) int {
	w := words(args)
	if len(w) == 0 {
		return fail(2, "usage: cloud-init status [--wait] | clean [--logs] [--machine-id] | query instance_id")
	}
	switch w[0] {
	case "status":
		return cloudStatus(slices.Contains(args, "--wait") || slices.Contains(args, "-w"))
	case "clean":
		return cloudClean(args)
	case "query":
		text, err := os.ReadFile(cloudDir + "/data/instance-id")
		if err != nil {
			return fail(1, "ERROR: %v", err)
		}
		fmt.Print(string(text))
		return 0
	}
	return fail(2, "cloud-init: %s is not simulated", w[0])
}

func cloudStatus(wait bool) int {
	for {
		_, err := os.Stat(cloudResult)
		if err == nil {
			fmt.Println("status: done")
			return 0
		}
		if !wait {
			fmt.Println("status: running")
			return 0
		}
		fmt.Print(".")
		<-time.After(50 * time.Millisecond)
	}
}

// cloudClean makes the next boot a first boot, as people do before they make an image.
func cloudClean(args []string) int {
	if os.Geteuid() != 0 {
		return fail(1, "Error:\nCould not remove %s: Permission denied", cloudDir)
	}
	found, err := filepath.Glob(cloudDir + "/*")
	if err != nil {
		return fail(1, "%v", err)
	}
	if slices.Contains(args, "--logs") || slices.Contains(args, "-l") {
		found = append(found, "/var/log/cloud-init.log", "/var/log/cloud-init-output.log")
	}
	for _, path := range found {
		if filepath.Base(path) == "seed" && !slices.Contains(args, "--seed") && !slices.Contains(args, "-s") {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return fail(1, "%v", err)
		}
	}
	if slices.Contains(args, "--machine-id") {
		if err := os.WriteFile("/etc/machine-id", []byte("uninitialized\n"), 0o444); err != nil {
			return fail(1, "%v", err)
		}
	}
	if slices.Contains(args, "--reboot") || slices.Contains(args, "-r") {
		return power("reboot", nil)
	}
	return 0
}

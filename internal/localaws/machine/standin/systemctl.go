package standin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine/unit"
)

// A control is one call of systemctl.
type control struct {
	now, quiet, value, force bool
	properties               []string
	units                    []string
}

var verbs = map[string]func(*control, string) int{
	"start": (*control).job, "stop": (*control).job, "restart": (*control).job, "reload": (*control).job, "try-restart": (*control).job,
	"condrestart": (*control).job, "reload-or-restart": (*control).job, "force-reload": (*control).job, "kill": (*control).job,
	"enable": (*control).enable, "reenable": (*control).enable, "preset": (*control).enable, "disable": (*control).disable,
	"mask": (*control).mask, "unmask": (*control).unmask,
	"is-active": (*control).isActive, "is-failed": (*control).isFailed, "is-enabled": (*control).isEnabled, "status": (*control).status,
	"show": (*control).show, "cat": (*control).cat, "list-units": (*control).listUnits, "list-unit-files": (*control).listFiles,
	"daemon-reload": (*control).nothing, "daemon-reexec": (*control).nothing, "reset-failed": (*control).nothing,
	"is-system-running": (*control).running, "get-default": (*control).defaultTarget, "set-default": (*control).nothing,
	"reboot": (*control).power, "poweroff": (*control).power, "halt": (*control).power,
}

func systemctl(_ string, args []string) int {
	c, verb := parseControl(args)
	if verb == "" {
		verb = "list-units"
	}
	do := verbs[verb]
	if do == nil {
		return fail(1, "Unknown operation %s. (stand-in of localaws)", verb)
	}
	return do(c, verb)
}

func parseControl(args []string) (*control, string) {
	c, verb := &control{}, ""
	for i := 0; i < len(args); i++ {
		a := args[i]
		name, value, hasValue := strings.Cut(a, "=")
		switch {
		case a == "--now":
			c.now = true
		case a == "-q" || a == "--quiet":
			c.quiet = true
		case a == "-f" || a == "--force" || a == "-ff":
			c.force = true
		case a == "--value":
			c.value = true
		case name == "-p" || name == "--property" || strings.HasPrefix(a, "-p") && !strings.HasPrefix(a, "--"):
			if !hasValue && name == a && len(a) > 2 && a[1] == 'p' {
				value = a[2:]
			} else if !hasValue && i+1 < len(args) {
				i++
				value = args[i]
			}
			c.properties = append(c.properties, strings.Split(value, ",")...)
		case slices.Contains([]string{"-t", "-n", "-o", "-s", "--type", "--lines", "--output", "--signal", "--state"}, a):
			i++ // its value
		case strings.HasPrefix(a, "-"):
		case verb == "":
			verb = a
		case verb == "set-default" || verb == "list-units" || verb == "list-unit-files":
			c.units = append(c.units, a)
		default:
			c.units = append(c.units, unit.FullName(a))
		}
	}
	return c, verb
}

// each runs do for every unit and returns the last status that was not 0.
func (c *control) each(do func(name string) int) int {
	if len(c.units) == 0 {
		return fail(1, "Too few arguments.")
	}
	status := 0
	for _, name := range c.units {
		if s := do(name); s != 0 {
			status = s
		}
	}
	return status
}

func needRoot(format string, args ...any) int {
	if os.Geteuid() == 0 {
		return 0
	}
	return fail(1, format+": Interactive authentication required.", args...)
}

func (c *control) job(verb string) int {
	return c.each(func(name string) int {
		if s := needRoot("Failed to %s %s", verb, name); s != 0 {
			return s
		}
		return c.one(verb, name)
	})
}

func (c *control) one(verb, name string) int {
	if _, err := unit.Load("/", name); err != nil {
		if verb == "stop" || verb == "kill" {
			return fail(5, "Failed to %s %s: Unit %s not loaded.", verb, name, name)
		}
		return fail(5, "Failed to %s %s: Unit %s not found.", verb, name, name)
	}
	status, err := ask(Request{Op: OpShow, Unit: name})
	if err != nil {
		return fail(1, "%v", err)
	}
	active := status.Status.Active == "active"
	op := map[string]Op{"start": OpStart, "stop": OpStop, "kill": OpStop, "reload": OpReload}[verb]
	switch {
	case op != "":
	case !active && (verb == "try-restart" || verb == "condrestart"):
		return 0
	default:
		op = OpRestart
	}
	answer, err := ask(Request{Op: op, Unit: name})
	if err != nil {
		return fail(1, "%v", err)
	}
	if answer.Error != "" {
		return fail(1, "%s", answer.Error)
	}
	return 0
}

func (c *control) enable(string) int {
	return c.each(func(name string) int {
		if s := needRoot("Failed to enable unit"); s != 0 {
			return s
		}
		u, err := unit.Load("/", strings.TrimPrefix(name, "/etc/systemd/system/"))
		if err != nil {
			return fail(1, "Failed to enable unit: Unit file %s does not exist.", name)
		}
		if u.Masked {
			return fail(1, "Failed to enable unit: Unit file %s is masked.", filepath.Join(unit.AdminDir, name))
		}
		made, err := u.Enable("/")
		for _, link := range made {
			c.say(symlinkText(link, u.Path))
		}
		if err != nil {
			return fail(1, "Failed to enable unit: %v", err)
		}
		if c.now {
			return c.one("start", name)
		}
		return 0
	})
}

func symlinkText(link, target string) string {
	if isAL2() {
		return fmt.Sprintf("Created symlink from %s to %s.", link, target)
	}
	return fmt.Sprintf("Created symlink %s → %s.", link, target)
}

func (c *control) say(text string) {
	if !c.quiet {
		fmt.Fprintln(os.Stderr, text)
	}
}

func (c *control) sayRemoved(link string) {
	if isAL2() {
		c.say("Removed symlink " + link + ".")
		return
	}
	c.say("Removed \"" + link + "\".")
}

func (c *control) disable(string) int {
	return c.each(func(name string) int {
		if s := needRoot("Failed to disable unit"); s != 0 {
			return s
		}
		removed, err := unit.Disable("/", name)
		if err == nil && len(removed) == 0 {
			_, err = unit.Load("/", name)
		}
		if errors.Is(err, unit.ErrNotFound) {
			return fail(1, "Failed to disable unit: Unit file %s does not exist.", name)
		}
		if err != nil {
			return fail(1, "Failed to disable unit: %v", err)
		}
		for _, link := range removed {
			c.sayRemoved(link)
		}
		if c.now {
			return c.one("stop", name)
		}
		return 0
	})
}

func (c *control) mask(string) int {
	return c.each(func(name string) int {
		if s := needRoot("Failed to mask unit"); s != 0 {
			return s
		}
		if c.now {
			_ = c.one("stop", name)
		}
		if _, err := unit.Load("/", name); err != nil {
			c.say(fmt.Sprintf("Unit %s does not exist, proceeding anyway.", name))
		}
		link, err := unit.Mask("/", name)
		if err != nil {
			return fail(1, "Failed to mask unit: %v", err)
		}
		if link != "" {
			c.say(symlinkText(link, "/dev/null"))
		}
		return 0
	})
}

func (c *control) unmask(string) int {
	return c.each(func(name string) int {
		if s := needRoot("Failed to unmask unit"); s != 0 {
			return s
		}
		link, err := unit.Unmask("/", name)
		if err != nil {
			return fail(1, "Failed to unmask unit: %v", err)
		}
		if link != "" {
			c.sayRemoved(link)
		}
		return 0
	})
}

func (c *control) nothing(verb string) int { return needRoot("Failed to %s", verb) }

func (c *control) running(string) int {
	c.print("running")
	return 0
}

func (c *control) defaultTarget(string) int {
	c.print("multi-user.target")
	return 0
}

func (c *control) power(verb string) int {
	args := []string{}
	if c.force {
		args = append(args, "-f")
	}
	return power(verb, args)
}

// service is the command of the time before systemd.
func service(_ string, args []string) int {
	if len(args) < 2 {
		return fail(1, "Usage: service < option > | --status-all | [ service_name [ command | --full-restart ] ]")
	}
	fmt.Fprintf(os.Stderr, "Redirecting to /bin/systemctl %s %s\n", args[1], unit.FullName(args[0]))
	return systemctl("systemctl", []string{args[1], args[0]})
}

func chkconfig(_ string, args []string) int {
	if len(args) != 2 {
		return fail(1, "usage: chkconfig <name> on|off")
	}
	verb, ok := map[string]string{"on": "enable", "off": "disable"}[args[1]]
	if !ok {
		return fail(1, "chkconfig: only on and off are simulated")
	}
	fmt.Fprintf(os.Stderr, "Note: Forwarding request to 'systemctl %s %s'.\n", verb, unit.FullName(args[0]))
	return systemctl("systemctl", []string{verb, args[0]})
}

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
func (c *control) each(verb string, do func(name string) int) int {
	if len(c.units) == 0 {
		return fail(1, "Too few arguments.")
	}
	status := 0
	for _, name := range c.units {
		if s := do(name); s != 0 {
			status = s
		}
	}
	_ = verb
	return status
}

func needRoot(format string, args ...any) int {
	if os.Geteuid() == 0 {
		return 0
	}
	return fail(1, format+": Interactive authentication required.", args...)
}

func (c *control) job(verb string) int {
	return c.each(verb, func(name string) int {
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

func (c *control) enable(verb string) int {
	return c.each(verb, func(name string) int {
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

func (c *control) disable(verb string) int {
	return c.each(verb, func(name string) int {
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

func (c *control) mask(verb string) int {
	return c.each(verb, func(name string) int {
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

func (c *control) unmask(verb string) int {
	return c.each(verb, func(name string) int {
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

// state asks process 1 for a unit.
func state(name string) Status {
	answer, err := ask(Request{Op: OpShow, Unit: name})
	if err != nil {
		return Status{Active: "unknown", Sub: "dead"}
	}
	return answer.Status
}

func (c *control) print(text string) {
	if !c.quiet {
		fmt.Println(text)
	}
}

func (c *control) isActive(verb string) int {
	return c.each(verb, func(name string) int {
		active := state(name).Active
		if _, err := unit.Load("/", name); err != nil && isAL2() {
			active = "unknown"
		}
		c.print(active)
		if active != "active" {
			return 3
		}
		return 0
	})
}

func (c *control) isFailed(verb string) int {
	return c.each(verb, func(name string) int {
		active := state(name).Active
		c.print(active)
		if active != "failed" {
			return 1
		}
		return 0
	})
}

func (c *control) isEnabled(verb string) int {
	return c.each(verb, func(name string) int {
		u, err := unit.Load("/", name)
		if err != nil {
			return fail(1, "Failed to get unit file state for %s: No such file or directory", name)
		}
		s := u.State("/")
		c.print(s)
		if s == "disabled" || s == "masked" {
			return 1
		}
		return 0
	})
}

func (c *control) status(verb string) int {
	if len(c.units) == 0 {
		host, err := os.Hostname()
		if err != nil {
			return fail(1, "%v", err)
		}
		fmt.Printf("● %s\n    State: running\n", host)
		return 0
	}
	return c.each(verb, func(name string) int {
		u, err := unit.Load("/", name)
		if err != nil {
			return fail(4, "Unit %s could not be found.", name)
		}
		s := state(name)
		printStatus(u, s)
		switch s.Active {
		case "active", "activating":
			return 0
		}
		return 3
	})
}

func printStatus(u *unit.Unit, s Status) {
	load := fmt.Sprintf("loaded (%s; %s; vendor preset: disabled)", u.Path, u.State("/"))
	if u.Masked {
		load = "masked (/dev/null; bad)"
	}
	fmt.Printf("● %s - %s\n   Loaded: %s\n   Active: %s (%s)", u.Name, u.Description(), load, s.Active, s.Sub)
	if !s.Since.IsZero() {
		fmt.Printf(" since %s; %s ago", s.Since.UTC().Format("Mon 2006-01-02 15:04:05 MST"), time.Since(s.Since).Round(time.Second))
	}
	fmt.Println()
	if s.PID != 0 {
		fmt.Printf(" Main PID: %d\n", s.PID)
	}
	text, err := os.ReadFile(filepath.Join(LogDir, u.Name+".log"))
	if err != nil {
		return // only root may read it
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	fmt.Println("\n" + strings.Join(lines[max(0, len(lines)-10):], "\n"))
}

func (c *control) show(verb string) int {
	return c.each(verb, func(name string) int {
		s := state(name)
		load, file, path := "loaded", "", ""
		u, err := unit.Load("/", name)
		switch {
		case err != nil:
			load = "not-found"
		case u.Masked:
			load, file, path = "masked", "masked", u.Path
		default:
			file, path = u.State("/"), u.Path
		}
		for _, p := range [][2]string{
			{"Id", name}, {"LoadState", load}, {"ActiveState", s.Active}, {"SubState", s.Sub}, {"UnitFileState", file},
			{"FragmentPath", path}, {"MainPID", fmt.Sprint(s.PID)}, {"ExecMainStatus", fmt.Sprint(s.ExitCode)},
		} {
			if len(c.properties) > 0 && !slices.Contains(c.properties, p[0]) {
				continue
			}
			if c.value {
				fmt.Println(p[1])
			} else {
				fmt.Println(p[0] + "=" + p[1])
			}
		}
		return 0
	})
}

func (c *control) cat(verb string) int {
	return c.each(verb, func(name string) int {
		u, err := unit.Load("/", name)
		if err != nil {
			return fail(1, "No files found for %s.", name)
		}
		text, err := os.ReadFile(u.Path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fail(1, "%v", err)
		}
		fmt.Printf("# %s\n%s", u.Path, text)
		return 0
	})
}

func (c *control) selected(name string) bool {
	if len(c.units) == 0 {
		return true
	}
	return slices.ContainsFunc(c.units, func(pattern string) bool {
		ok, err := filepath.Match(pattern, name)
		return err == nil && ok || unit.FullName(pattern) == name
	})
}

func (c *control) listUnits(string) int {
	fmt.Printf("%-36s %-6s %-8s %-8s %s\n", "UNIT", "LOAD", "ACTIVE", "SUB", "DESCRIPTION")
	for _, name := range unit.List("/") {
		s := state(name)
		u, err := unit.Load("/", name)
		if err == nil && s.Active != "inactive" && c.selected(name) {
			fmt.Printf("%-36s %-6s %-8s %-8s %s\n", name, "loaded", s.Active, s.Sub, u.Description())
		}
	}
	return 0
}

func (c *control) listFiles(string) int {
	fmt.Printf("%-44s %s\n", "UNIT FILE", "STATE")
	for _, name := range unit.List("/") {
		if u, err := unit.Load("/", name); err == nil && c.selected(name) {
			fmt.Printf("%-44s %s\n", name, u.State("/"))
		}
	}
	return 0
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

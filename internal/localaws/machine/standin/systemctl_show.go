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

func (c *control) isActive(string) int {
	return c.each(func(name string) int {
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

func (c *control) isFailed(string) int {
	return c.each(func(name string) int {
		active := state(name).Active
		c.print(active)
		if active != "failed" {
			return 1
		}
		return 0
	})
}

func (c *control) isEnabled(string) int {
	return c.each(func(name string) int {
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

func (c *control) status(string) int {
	if len(c.units) == 0 {
		host, err := os.Hostname()
		if err != nil {
			return fail(1, "%v", err)
		}
		fmt.Printf("● %s\n    State: running\n", host)
		return 0
	}
	return c.each(func(name string) int {
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

func (c *control) show(string) int {
	return c.each(func(name string) int {
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

func (c *control) cat(string) int {
	return c.each(func(name string) int {
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

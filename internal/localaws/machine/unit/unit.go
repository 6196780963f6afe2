// Package unit reads systemd's unit files and the symbolic links that enable and mask them, as far as provisioners use them.
package unit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Dirs are where unit files are looked for, the most important first, below the root of the filesystem.
var Dirs = []string{"etc/systemd/system", "run/systemd/units", "usr/lib/systemd/system"}

// AdminDir is where enabling and masking make their links.
const AdminDir = "/etc/systemd/system"

// ErrNotFound is returned for a unit that has no file.
var ErrNotFound = errors.New("unit file does not exist")

// A Unit is a loaded unit file with its drop-ins.
type Unit struct {
	Name   string // "nginx.service"
	Path   string // of its file
	Masked bool

	sections map[string]map[string][]string
}

// FullName adds the suffix that systemctl adds.
func FullName(name string) string {
	for _, suffix := range []string{".service", ".timer", ".socket", ".target", ".path", ".mount", ".slice"} {
		if strings.HasSuffix(name, suffix) {
			return name
		}
	}
	return name + ".service"
}

// Load reads the unit called name below root ("/" in a machine).
func Load(root, name string) (*Unit, error) {
	path, err := find(root, name)
	if err != nil {
		return nil, err
	}
	u := &Unit{Name: name, Path: path, sections: map[string]map[string][]string{}}
	if target, err := os.Readlink(filepath.Join(root, path)); err == nil && target == "/dev/null" {
		u.Masked = true
		return u, nil
	}
	if err := u.read(filepath.Join(root, path)); err != nil {
		return nil, err
	}
	for _, dir := range slices.Backward(Dirs) {
		dropIns, err := filepath.Glob(filepath.Join(root, dir, name+".d", "*.conf"))
		if err != nil {
			return nil, err
		}
		for _, p := range dropIns {
			if err := u.read(p); err != nil {
				return nil, err
			}
		}
	}
	return u, nil
}

// find returns the path, from root, of the unit's file. An instance a@b.service may have only the template a@.service.
func find(root, name string) (string, error) {
	names := []string{name}
	if before, after, ok := strings.Cut(name, "@"); ok && after != filepath.Ext(after) {
		names = append(names, before+"@"+filepath.Ext(after))
	}
	for _, n := range names {
		for _, dir := range Dirs {
			path := filepath.Join("/", dir, n)
			if _, err := os.Lstat(filepath.Join(root, path)); err == nil {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("%s: %w", name, ErrNotFound)
}

func (u *Unit) read(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	section, pending := "", ""
	for line := range strings.Lines(string(text)) {
		line = pending + strings.TrimSpace(line)
		if pending == "" && (line == "" || line[0] == '#' || line[0] == ';') {
			continue
		}
		if before, continued := strings.CutSuffix(line, "\\"); continued {
			pending = before + " "
			continue
		}
		pending = ""
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			section = line[1 : len(line)-1]
			continue
		}
		u.set(section, line)
	}
	return nil
}

// set adds one assignment; an empty one clears what was there, as in systemd.
func (u *Unit) set(section, line string) {
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return
	}
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	keys := u.sections[section]
	if keys == nil {
		keys = map[string][]string{}
		u.sections[section] = keys
	}
	if value == "" {
		keys[key] = nil
		return
	}
	keys[key] = append(keys[key], value)
}

// All returns every value of a setting.
func (u *Unit) All(section, key string) []string { return u.sections[section][key] }

// Last returns the value of a setting that counts: the last.
func (u *Unit) Last(section, key string) string {
	values := u.All(section, key)
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// Description is the unit's, or its name.
func (u *Unit) Description() string {
	if d := u.Last("Unit", "Description"); d != "" {
		return d
	}
	return u.Name
}

// links are the symbolic links that enabling the unit makes.
func (u *Unit) links() []string {
	var links []string
	for key, dir := range map[string]string{"WantedBy": ".wants", "RequiredBy": ".requires"} {
		for _, value := range u.All("Install", key) {
			for _, target := range strings.Fields(value) {
				links = append(links, filepath.Join(AdminDir, target+dir, u.Name))
			}
		}
	}
	for _, value := range u.All("Install", "Alias") {
		for _, alias := range strings.Fields(value) {
			links = append(links, filepath.Join(AdminDir, alias))
		}
	}
	slices.Sort(links)
	return links
}

// State is what `systemctl is-enabled` says: enabled, disabled, static or masked.
func (u *Unit) State(root string) string {
	if u.Masked {
		return "masked"
	}
	links := u.links()
	for _, link := range links {
		if _, err := os.Lstat(filepath.Join(root, link)); err == nil {
			return "enabled"
		}
	}
	if len(links) == 0 {
		return "static"
	}
	return "disabled"
}

// Enable makes the unit's links and returns those that were not there.
func (u *Unit) Enable(root string) ([]string, error) {
	var made []string
	for _, link := range u.links() {
		path := filepath.Join(root, link)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return made, err
		}
		switch err := os.Symlink(u.Path, path); {
		case errors.Is(err, fs.ErrExist):
		case err != nil:
			return made, err
		default:
			made = append(made, link)
		}
	}
	return made, nil
}

// Disable removes every link to the unit below AdminDir and returns them.
func Disable(root, name string) ([]string, error) {
	pattern := filepath.Join(root, AdminDir, "*.*s", name) // .wants, .requires
	found, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	for i, path := range found {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
		found[i] = strings.TrimPrefix(path, strings.TrimSuffix(root, "/"))
	}
	return found, nil
}

// Mask makes the unit unstartable. It returns the link made, or "" if there was one.
func Mask(root, name string) (string, error) {
	link := filepath.Join(AdminDir, name)
	path := filepath.Join(root, link)
	if target, err := os.Readlink(path); err == nil && target == "/dev/null" {
		return "", nil
	}
	if _, err := os.Lstat(path); err == nil {
		return "", fmt.Errorf("file %s already exists", link)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	return link, os.Symlink("/dev/null", path)
}

// Unmask removes what Mask made. It returns the link removed, or "".
func Unmask(root, name string) (string, error) {
	link := filepath.Join(AdminDir, name)
	if target, err := os.Readlink(filepath.Join(root, link)); err != nil || target != "/dev/null" {
		return "", nil
	}
	return link, os.Remove(filepath.Join(root, link))
}

// WantedBy lists the units that are enabled for target, sorted.
func WantedBy(root, target string) []string {
	var names []string
	for _, dir := range []string{AdminDir, "/usr/lib/systemd/system"} {
		for _, kind := range []string{".wants", ".requires"} {
			entries, err := os.ReadDir(filepath.Join(root, dir, target+kind))
			if err != nil {
				continue
			}
			for _, e := range entries {
				names = append(names, e.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// List returns the names of all unit files.
func List(root string) []string {
	var names []string
	for _, dir := range Dirs {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			continue
		}
		for _, e := range entries {
			if !e.IsDir() && FullName(e.Name()) == e.Name() {
				names = append(names, e.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

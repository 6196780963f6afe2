package standin

import (
	"bufio"
	_ "embed" // for the catalogue
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// catalogue has the packages that yum finds; its first lines say in what form.
//
//go:embed catalogue.txt
var catalogue string

// database is where a machine keeps the packages that it has; until the first change, it has those of its release's image.
const database = "/var/lib/rpm/packages.json"

// A pkg is a package of the catalogue, as the machine's release has it.
type pkg struct {
	name                                        string
	evr                                         string // epoch:version-release
	preinstalled                                bool
	topic                                       string // of amazon-linux-extras
	commands, units, dirs, users, groups, needs []string
}

// An installed is an entry of the database.
type installed struct {
	Name, EVR, Arch, Repo string
	Time                  time.Time
	Files                 []string `json:",omitempty"` // that were made for it
}

// version is version-release, without the epoch.
func (p *pkg) version() string { return withoutEpoch(p.evr) }

func withoutEpoch(evr string) string {
	if _, rest, ok := strings.Cut(evr, ":"); ok {
		return rest
	}
	return evr
}

func (i installed) nvra() string { return i.Name + "-" + withoutEpoch(i.EVR) + "." + i.Arch }

// arch is the machine's architecture, as its release says.
func arch() string {
	text, err := os.ReadFile("/etc/rpm/platform")
	if err != nil {
		return "x86_64"
	}
	name, _, _ := strings.Cut(string(text), "-")
	return strings.TrimSpace(name)
}

// available are the packages of the release, by name.
func available() map[string]*pkg { return parseCatalogue(catalogue, isAL2()) }

func parseCatalogue(text string, al2 bool) map[string]*pkg {
	all := map[string]*pkg{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 3 || f[0] == "#" {
			continue
		}
		p := &pkg{name: f[0], evr: f[2]}
		if al2 {
			p.evr = f[1]
		}
		if p.evr == "-" {
			continue
		}
		for _, token := range f[3:] {
			p.add(token, al2)
		}
		all[p.name] = p
	}
	return all
}

func (p *pkg) add(token string, al2 bool) {
	kind, value, _ := strings.Cut(token, "=")
	lists := map[string]*[]string{"c": &p.commands, "u": &p.units, "d": &p.dirs, "s": &p.users, "g": &p.groups, "r": &p.needs}
	switch {
	case kind == "i2" && al2 || kind == "i23" && !al2:
		p.preinstalled = true
	case kind == "x2" && al2:
		p.topic = value
	case lists[kind] != nil:
		*lists[kind] = append(*lists[kind], value)
	}
}

func packageWithCommand(name string) *pkg {
	for _, p := range available() {
		for _, c := range p.commands {
			if filepath.Base(c) == name {
				return p
			}
		}
	}
	return nil
}

// A db is the set of installed packages.
type db struct {
	known map[string]*pkg
	have  map[string]installed
}

func openDB() (*db, error) {
	d := &db{known: available(), have: map[string]installed{}}
	text, err := os.ReadFile(database)
	if errors.Is(err, fs.ErrNotExist) {
		for name, p := range d.known {
			if p.preinstalled {
				d.have[name] = installed{Name: name, EVR: p.evr, Arch: arch(), Repo: "installed"}
			}
		}
		d.dropAgent()
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	var list []installed
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", database, err)
	}
	for _, i := range list {
		d.have[i.Name] = i
	}
	d.dropAgent()
	return d, nil
}

// dropAgent goes by the agent's program: an image that comes without the agent is the same but for this file.
func (d *db) dropAgent() {
	if _, err := os.Lstat(AgentPath); err != nil {
		delete(d.have, "amazon-ssm-agent")
	}
}

func (d *db) save() error {
	text, err := json.MarshalIndent(d.sorted(), "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(database), 0o755); err != nil {
		return err
	}
	next := database + ".new"
	if err := os.WriteFile(next, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(next, database)
}

func (d *db) sorted() []installed {
	var list []installed
	for _, i := range d.have {
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b installed) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// find is the package of the catalogue that a word of a command line means: its name, a command, or name-version.
func (d *db) find(word string) *pkg {
	word = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(word, ".noarch"), ".x86_64"), ".aarch64")
	if alias, ok := aliases[word]; ok && d.known[alias] != nil {
		word = alias
	}
	if p := d.known[word]; p != nil {
		return p
	}
	for _, p := range d.known {
		if strings.HasPrefix(word, p.name+"-") && strings.HasPrefix(p.version()+"-", word[len(p.name)+1:]+"-") || slices.Contains(p.commands, word) {
			return p
		}
	}
	return nil
}

// aliases are names that packages provide besides their own.
var aliases = map[string]string{
	"vim": "vim-enhanced", "python": "python3", "pip": "python3-pip", "netcat": "nmap-ncat", "nc": "nmap-ncat", "awscli": "awscli-2", "gnupg2": "gnupg2-minimal",
	"curl": "curl-minimal", "mysql": "mariadb105", "node": "nodejs", "npm": "nodejs-npm", "php": "php8.2", "ansible": "ansible-core", "iptables": "iptables-nft",
	"crontabs": "cronie", "ncat": "nmap-ncat", "apache": "httpd", "dnf-command(config-manager)": "dnf-plugins-core",
}

// closure is the packages named with those that they need, without what is installed.
func (d *db) closure(packages []*pkg) (asked, needed []*pkg) {
	seen := map[string]bool{}
	var visit func(p *pkg, list *[]*pkg)
	visit = func(p *pkg, list *[]*pkg) {
		if _, have := d.have[p.name]; have || seen[p.name] {
			return
		}
		seen[p.name] = true
		*list = append(*list, p)
		for _, n := range p.needs {
			if q := d.known[n]; q != nil {
				visit(q, &needed)
			}
		}
	}
	for _, p := range packages {
		visit(p, &asked)
	}
	return asked, needed
}

// install makes what the package has and the machine has not, and notes it.
func (d *db) install(p *pkg, repo string) error {
	i := installed{Name: p.name, EVR: p.evr, Arch: arch(), Repo: repo, Time: time.Now().UTC().Truncate(time.Second)}
	for _, dir := range p.dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, group := range p.groups {
		run("groupadd", "--system", "--force", group)
	}
	for _, user := range p.users {
		run("useradd", "--system", "--no-create-home", "--shell", "/sbin/nologin", user)
	}
	for _, path := range p.commands {
		made, err := place(path)
		if err != nil {
			return err
		}
		if made {
			i.Files = append(i.Files, path)
		}
	}
	for _, u := range p.units {
		path, err := placeUnit(u, p)
		if err != nil {
			return err
		}
		if path != "" {
			i.Files = append(i.Files, path)
		}
	}
	d.have[p.name] = i
	return nil
}

// run runs a program of the machine; a user or group that exists already is all right.
func run(name string, args ...string) { _ = exec.Command(name, args...).Run() } //nolint:noctx // a command of a command, killed with it

// place makes a stand-in for a program, unless the machine has the program.
func place(path string) (bool, error) {
	if _, err := exec.LookPath(filepath.Base(path)); err == nil {
		return false, nil
	}
	if _, err := os.Lstat(path); err == nil {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, err
	}
	return true, os.Symlink(Path, path)
}

// placeUnit writes a unit that runs the stand-in for services.
func placeUnit(name string, p *pkg) (string, error) {
	full := name
	if filepath.Ext(name) != ".socket" && filepath.Ext(name) != ".timer" {
		full += ".service"
	}
	path := "/usr/lib/systemd/system/" + full
	if _, err := os.Lstat(path); err == nil {
		return "", nil
	}
	text := fmt.Sprintf("[Unit]\nDescription=%s (stand-in of localaws)\nAfter=network.target\n\n[Service]\nExecStart=/usr/libexec/localaws/idle %s\n"+
		"ExecReload=/bin/kill -HUP $MAINPID\n\n[Install]\nWantedBy=multi-user.target\n", p.name, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// remove takes back what install made.
func (d *db) remove(name string) error {
	files := d.have[name].Files
	if p := d.known[name]; p != nil { // what the image came with is noted nowhere
		files = append(slices.Clone(files), slices.DeleteFunc(slices.Clone(p.commands), func(path string) bool {
			target, err := os.Readlink(path)
			return err != nil || target != Path
		})...)
	}
	for _, path := range files {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	delete(d.have, name)
	return nil
}

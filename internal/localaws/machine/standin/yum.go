package standin

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A yumCall is one call of yum (Amazon Linux 2) or dnf.
type yumCall struct {
	al2, yes, quiet bool
	verb            string
	args            []string
	db              *db
}

var yumVerbs = map[string]func(*yumCall) int{
	"install": (*yumCall).install, "localinstall": (*yumCall).install, "reinstall": (*yumCall).reinstall,
	"remove": (*yumCall).remove, "erase": (*yumCall).remove, "autoremove": (*yumCall).remove,
	"update": (*yumCall).update, "upgrade": (*yumCall).update, "update-minimal": (*yumCall).update, "upgrade-minimal": (*yumCall).update, "distro-sync": (*yumCall).update,
	"check-update": (*yumCall).nothing, "check-upgrade": (*yumCall).nothing, "list": (*yumCall).list, "info": (*yumCall).info, "search": (*yumCall).search,
	"provides": (*yumCall).provides, "whatprovides": (*yumCall).provides, "repolist": (*yumCall).repolist, "clean": (*yumCall).clean,
	"makecache": (*yumCall).makecache, "groupinstall": (*yumCall).groupInstall, "group": (*yumCall).group, "groups": (*yumCall).group,
	"history": (*yumCall).nothing, "versionlock": (*yumCall).nothing, "check-release-update": (*yumCall).nothing, "config-manager": (*yumCall).configure,
	"updateinfo": (*yumCall).nothing,
}

// needsRoot are the verbs for which yum wants to be root.
var needsRoot = []string{"install", "localinstall", "reinstall", "remove", "erase", "autoremove", "update", "upgrade", "groupinstall", "group", "groups", "clean", "versionlock", "update-minimal", "upgrade-minimal", "distro-sync"}

func yum(_ string, args []string) int {
	y := &yumCall{al2: isAL2()}
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "-y" || a == "--assumeyes":
			y.yes = true
		case a == "-q" || a == "--quiet":
			y.quiet = true
		case slices.Contains([]string{"-c", "-d", "-e", "-x", "-R", "--enablerepo", "--disablerepo", "--releasever", "--installroot", "--setopt"}, a):
			i++ // its value
		case strings.HasPrefix(a, "-"):
			y.yes = y.yes || !strings.HasPrefix(a, "--") && strings.Contains(a, "y")
			y.quiet = y.quiet || !strings.HasPrefix(a, "--") && strings.Contains(a, "q")
		case y.verb == "":
			y.verb = a
		default:
			y.args = append(y.args, a)
		}
	}
	return y.run()
}

func (y *yumCall) run() int {
	do := yumVerbs[y.verb]
	switch {
	case y.verb == "" && y.al2:
		return fail(1, "You need to give some command")
	case y.verb == "":
		return fail(1, "No command specified")
	case do == nil && y.al2:
		return fail(1, "No such command: %s. Please use /usr/bin/yum --help", y.verb)
	case do == nil:
		return fail(1, "No such command: %s. Please use /usr/bin/dnf --help", y.verb)
	case os.Geteuid() != 0 && slices.Contains(needsRoot, y.verb):
		if y.al2 {
			return fail(1, "You need to be root to perform this command.")
		}
		return fail(1, "Error: This command has to be run with superuser privileges (under the root user on most systems).")
	}
	d, err := openDB()
	if err != nil {
		return fail(1, "%v", err)
	}
	y.db = d
	if y.al2 {
		y.say("Loaded plugins: extras_suggestions, langpacks, priorities, update-motd")
	} else if slices.Contains(needsRoot, y.verb) && y.verb != "clean" {
		y.say("Last metadata expiration check: 0:00:01 ago.")
	}
	return do(y)
}

func (y *yumCall) say(format string, args ...any) {
	if !y.quiet {
		fmt.Printf(format+"\n", args...)
	}
}

func (y *yumCall) nothing() int { return 0 }

func (y *yumCall) install() int {
	if len(y.args) == 0 {
		return fail(1, "Error: Need to pass a list of pkgs to install")
	}
	var found []*pkg
	missing := 0
	for _, word := range y.args {
		if strings.HasPrefix(word, "@") {
			continue // a group is a name only
		}
		p, ok := y.lookup(word)
		if !ok {
			missing++
			continue
		}
		found = append(found, p)
	}
	switch {
	case missing > 0 && !y.al2:
		return fail(1, "Error: Unable to find a match: %s", strings.Join(y.unknown(), " "))
	case missing > 0 && len(found) == 0:
		return fail(1, "Error: Nothing to do")
	}
	return y.transact(found)
}

// lookup finds what a word asks for; it says so if there is nothing.
func (y *yumCall) lookup(word string) (*pkg, bool) {
	if strings.Contains(word, "://") {
		if strings.Contains(word, "epel-release") && y.db.known["epel-release"] != nil {
			return y.db.known["epel-release"], true
		}
		if y.al2 {
			fmt.Fprintf(os.Stderr, "Cannot open: %s. Skipping.\n", word)
		} else {
			fmt.Fprintf(os.Stderr, "[MIRROR] %s: Curl error (6): Couldn't resolve host name for %s [Could not resolve host: %s]\n", filepath.Base(word), word, hostOf(word))
		}
		return nil, false
	}
	if strings.HasSuffix(word, ".rpm") {
		fmt.Fprintf(os.Stderr, "Cannot open: %s. Skipping. (this stand-in of localaws installs nothing from files)\n", word)
		return nil, false
	}
	p := y.db.find(word)
	if p == nil || !enabledTopic(p.topic, y.db) {
		if y.al2 {
			fmt.Fprintf(os.Stderr, "No package %s available.\n", word)
		} else {
			fmt.Fprintf(os.Stderr, "No match for argument: %s\n", word)
		}
		return nil, false
	}
	return p, true
}

func hostOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

func (y *yumCall) unknown() []string {
	return slices.DeleteFunc(slices.Clone(y.args), func(word string) bool { return strings.HasPrefix(word, "@") || y.db.find(word) != nil })
}

// transact installs packages, after the question unless it was answered in advance.
func (y *yumCall) transact(packages []*pkg) int {
	for _, p := range packages {
		if i, ok := y.db.have[p.name]; ok {
			y.say("Package %s is already installed%s.", i.nvra(), map[bool]string{true: " and latest version"}[y.al2])
		}
	}
	asked, needed := y.db.closure(packages)
	if len(asked) == 0 {
		y.say("%s", map[bool]string{true: "Nothing to do", false: "Dependencies resolved.\nNothing to do.\nComplete!"}[y.al2])
		return 0
	}
	y.plan("Installing", asked, needed)
	if !y.confirm() {
		return fail(1, "%s", map[bool]string{true: "Exiting on user command", false: "Operation aborted."}[y.al2])
	}
	y.say("Running transaction check\nRunning transaction test\nTransaction test succeeded\nRunning transaction")
	all := append(slices.Clone(needed), asked...)
	for i, p := range all {
		if err := y.db.install(p, y.repo(p)); err != nil {
			return fail(1, "Error: %s: %v", p.name, err)
		}
		y.say("  Installing : %-50s %d/%d", p.name+"-"+p.evr+"."+arch(), i+1, len(all))
	}
	for i, p := range all {
		y.say("  Verifying  : %-50s %d/%d", p.name+"-"+p.evr+"."+arch(), i+1, len(all))
	}
	if err := y.db.save(); err != nil {
		return fail(1, "Error: %v", err)
	}
	y.done("Installed", all)
	return 0
}

func (y *yumCall) repo(p *pkg) string {
	switch {
	case y.al2 && p.topic != "":
		return "amzn2extra-" + p.topic
	case y.al2:
		return "amzn2-core"
	}
	return "amazonlinux"
}

func (y *yumCall) plan(what string, asked, needed []*pkg) {
	line := strings.Repeat("=", 80)
	y.say("%s\n\n%s\n %-28s %-10s %-26s %s\n%s\n%s:", map[bool]string{true: "Resolving Dependencies\n--> Finished Dependency Resolution\n\nDependencies Resolved", false: "Dependencies resolved."}[y.al2],
		line, "Package", "Arch", "Version", "Repository", line, what)
	for _, p := range asked {
		y.say(" %-28s %-10s %-26s %s", p.name, arch(), p.evr, y.repo(p))
	}
	if len(needed) > 0 {
		y.say("%s for dependencies:", what)
		for _, p := range needed {
			y.say(" %-28s %-10s %-26s %s", p.name, arch(), p.evr, y.repo(p))
		}
	}
	n := len(asked) + len(needed)
	y.say("\nTransaction Summary\n%s\n%s  %d Package%s\n\n(stand-in of localaws: the packages are recorded, their files are not there)", line,
		map[bool]string{true: "Install", false: "Remove"}[what == "Installing"], n, map[bool]string{true: "s"}[n > 1])
}

func (y *yumCall) done(what string, packages []*pkg) {
	y.say("\n%s:", what)
	for _, p := range packages {
		y.say("  %s.%s %s", p.name, arch(), p.evr)
	}
	y.say("\nComplete!")
}

// confirm asks; the end of the input is a no.
func (y *yumCall) confirm() bool {
	if y.yes {
		return true
	}
	fmt.Print(map[bool]string{true: "Is this ok [y/d/N]: ", false: "Is this ok [y/N]: "}[y.al2])
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil && err != io.EOF {
		return false
	}
	fmt.Println()
	return strings.EqualFold(strings.TrimSpace(line), "y") || strings.EqualFold(strings.TrimSpace(line), "yes")
}

func (y *yumCall) reinstall() int {
	for _, word := range y.args {
		if p := y.db.find(word); p == nil || y.db.have[p.name].Name == "" {
			return fail(1, "Error: Nothing to do")
		}
	}
	y.say("Complete!")
	return 0
}

func (y *yumCall) remove() int {
	var packages []*pkg
	for _, word := range y.args {
		p := y.db.find(word)
		if p == nil || y.db.have[p.name].Name == "" {
			if y.al2 {
				y.say("No Match for argument: %s", word)
			} else {
				y.say("No match for argument: %s", word)
			}
			continue
		}
		packages = append(packages, p)
	}
	if len(packages) == 0 {
		y.say("%s", map[bool]string{true: "No Packages marked for removal", false: "No packages marked for removal.\nDependencies resolved.\nNothing to do.\nComplete!"}[y.al2])
		return 0
	}
	y.plan("Removing", packages, nil)
	if !y.confirm() {
		return fail(1, "%s", map[bool]string{true: "Exiting on user command", false: "Operation aborted."}[y.al2])
	}
	for _, p := range packages {
		if err := y.db.remove(p.name); err != nil {
			return fail(1, "Error: %s: %v", p.name, err)
		}
	}
	if err := y.db.save(); err != nil {
		return fail(1, "Error: %v", err)
	}
	y.done("Removed", packages)
	return 0
}

// update finds nothing newer: the catalogue has one version of each package.
func (y *yumCall) update() int {
	for _, word := range y.args {
		if p := y.db.find(word); p == nil || y.db.have[p.name].Name == "" {
			if y.al2 {
				y.say("No Match for argument: %s", word)
				y.say("No package %s available.", word)
				continue
			}
			y.say("No match for argument: %s", word)
			return fail(1, "Error: No packages marked for upgrade.")
		}
	}
	y.say("%s", map[bool]string{true: "No packages marked for update", false: "Dependencies resolved.\nNothing to do.\nComplete!"}[y.al2])
	return 0
}

func (y *yumCall) clean() int {
	y.say("%s", map[bool]string{true: "Cleaning repos: amzn2-core amzn2extra-docker", false: "0 files removed"}[y.al2])
	return 0
}

func (y *yumCall) makecache() int {
	y.say("Metadata Cache Created")
	return 0
}

func (y *yumCall) group() int {
	if len(y.args) > 1 && y.args[0] == "install" {
		y.args = y.args[1:]
		return y.groupInstall()
	}
	return fail(1, "%s %s is not simulated", y.verb, strings.Join(y.args, " "))
}

// groups are the package groups that people install.
var groups = map[string][]string{
	"development tools": {"autoconf", "automake", "bison", "flex", "gcc", "gcc-c++", "gdb", "git", "libtool", "make", "patch", "rpm-build", "strace", "subversion"},
}

func (y *yumCall) groupInstall() int {
	var packages []*pkg
	for _, name := range y.args {
		members := groups[strings.ToLower(strings.TrimPrefix(name, "@"))]
		if members == nil {
			return fail(1, "Error: No packages in any requested group available to install or update")
		}
		for _, m := range members {
			if p := y.db.known[m]; p != nil {
				packages = append(packages, p)
			}
		}
	}
	return y.transact(packages)
}

func (y *yumCall) configure() int {
	return configManager("yum-config-manager", append(y.args, os.Args[1:]...))
}

package standin

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// matching are the words, of all or of those that match one of the patterns.
func matching(names []string, patterns []string) []string {
	if len(patterns) == 0 {
		return names
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return !slices.ContainsFunc(patterns, func(p string) bool {
			ok, err := filepath.Match(p, name)
			return err == nil && ok || p == name+"."+arch()
		})
	})
}

func (y *yumCall) list() int {
	what, patterns := "all", y.args
	if len(patterns) > 0 && slices.Contains([]string{"installed", "available", "all", "updates", "extras"}, patterns[0]) {
		what, patterns = patterns[0], patterns[1:]
	}
	shown := 0
	row := func(name, evr, repo string) { fmt.Printf("%-40s %-32s %s\n", name+"."+arch(), evr, repo); shown++ }
	if what == "installed" || what == "all" {
		names := matching(slices.Sorted(maps.Keys(y.db.have)), patterns)
		if len(names) > 0 {
			y.say("Installed Packages")
		}
		for _, n := range names {
			row(n, y.db.have[n].EVR, "@"+y.db.have[n].Repo)
		}
	}
	if what == "available" || what == "all" {
		names := slices.DeleteFunc(matching(slices.Sorted(maps.Keys(y.db.known)), patterns), func(n string) bool { return y.db.have[n].Name != "" || !enabledTopic(y.db.known[n].topic, y.db) })
		if len(names) > 0 {
			y.say("Available Packages")
		}
		for _, n := range names {
			row(n, y.db.known[n].evr, y.repo(y.db.known[n]))
		}
	}
	if shown == 0 && len(patterns) > 0 {
		return fail(1, "Error: No matching Packages to list")
	}
	return 0
}

func (y *yumCall) info() int {
	found := false
	for _, n := range matching(slices.Sorted(maps.Keys(y.db.known)), y.args) {
		found = true
		version, release, _ := strings.Cut(y.db.known[n].version(), "-")
		repo := y.repo(y.db.known[n])
		if y.db.have[n].Name != "" {
			repo = "installed"
		}
		fmt.Printf("Name        : %s\nArch        : %s\nVersion     : %s\nRelease     : %s\nRepo        : %s\n\n", n, arch(), version, release, repo)
	}
	if !found {
		return fail(1, "Error: No matching Packages to list")
	}
	return 0
}

func (y *yumCall) search() int {
	for _, n := range slices.Sorted(maps.Keys(y.db.known)) {
		if slices.ContainsFunc(y.args, func(w string) bool { return strings.Contains(n, w) }) {
			fmt.Printf("%s.%s : %[1]s\n", n, arch())
		}
	}
	return 0
}

func (y *yumCall) provides() int {
	status := 1
	for _, n := range slices.Sorted(maps.Keys(y.db.known)) {
		for _, c := range y.db.known[n].commands {
			if slices.ContainsFunc(y.args, func(w string) bool { return w == c || strings.HasSuffix(w, "/"+filepath.Base(c)) || w == n }) {
				fmt.Printf("%s-%s.%s : %s\nRepo        : %s\n\n", n, y.db.known[n].evr, arch(), n, y.repo(y.db.known[n]))
				status = 0
			}
		}
	}
	if status != 0 {
		return fail(map[bool]int{true: 0, false: 1}[y.al2], "%s", map[bool]string{true: "No matches found", false: "Error: No matches found."}[y.al2])
	}
	return 0
}

func (y *yumCall) repolist() int {
	if y.al2 {
		fmt.Printf("repo id                             repo name                            status\namzn2-core/2/%s                 Amazon Linux 2 core repository       %d\nrepolist: %[2]d\n", arch(), len(y.db.known))
		return 0
	}
	fmt.Println("repo id                    repo name\namazonlinux                Amazon Linux 2023 repository")
	return 0
}

// rpm queries the database. It installs nothing: there are no files to install.
func rpm(_ string, args []string) int {
	r := rpmCall{}
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case (a == "-E" || a == "--eval") && i+1 < len(args):
			i++
			fmt.Println(evalMacros(args[i]))
			return 0
		case (a == "--qf" || a == "--queryformat") && i+1 < len(args):
			i++
			r.format = args[i]
		case strings.HasPrefix(a, "--qf=") || strings.HasPrefix(a, "--queryformat="):
			_, r.format, _ = strings.Cut(a, "=")
		case strings.HasPrefix(a, "--"):
			r.long = append(r.long, a)
		case strings.HasPrefix(a, "-"):
			r.flags += a[1:]
		default:
			r.words = append(r.words, a)
		}
	}
	d, err := openDB()
	if err != nil {
		return fail(1, "error: %v", err)
	}
	r.db = d
	return r.run()
}

// A rpmCall is one call of rpm.
type rpmCall struct {
	flags, format string
	long, words   []string
	db            *db
}

func (r *rpmCall) run() int {
	has := func(long string) bool { return slices.Contains(r.long, long) }
	switch {
	case strings.HasPrefix(r.flags, "q") || has("--query"):
		return r.query()
	case strings.HasPrefix(r.flags, "V") || has("--verify"):
		return r.each(func(installed) {})
	case strings.HasPrefix(r.flags, "e") || has("--erase"):
		return r.erase()
	case has("--import") || has("--initdb") || has("--rebuilddb"):
		return r.importKeys()
	case strings.ContainsAny(r.flags, "iUF") || has("--install") || has("--upgrade"):
		return r.installFiles()
	}
	return fail(1, "rpm: no arguments given for query")
}

func (r *rpmCall) query() int {
	switch {
	case strings.Contains(r.flags, "a") || slices.Contains(r.long, "--all"):
		for _, i := range r.db.sorted() {
			if len(matching([]string{i.Name}, r.words)) > 0 || len(matching([]string{i.nvra()}, r.words)) > 0 {
				r.print(i)
			}
		}
		return 0
	case strings.Contains(r.flags, "f"):
		return r.owners()
	case len(r.words) == 0:
		return fail(1, "rpm: no arguments given for query")
	}
	return r.each(r.print)
}

// each does something for each package named, and returns how many were not installed.
func (r *rpmCall) each(do func(installed)) int {
	missing := 0
	for _, word := range r.words {
		i, ok := r.db.have[word]
		if !ok {
			if p := r.db.find(word); p != nil && aliases[word] == "" {
				i, ok = r.db.have[p.name]
			}
		}
		if !ok {
			fmt.Printf("package %s is not installed\n", word)
			missing++
			continue
		}
		do(i)
	}
	return missing
}

func (r *rpmCall) print(i installed) {
	version, release, _ := strings.Cut(withoutEpoch(i.EVR), "-")
	epoch, _, hasEpoch := strings.Cut(i.EVR, ":")
	if !hasEpoch {
		epoch = "(none)"
	}
	switch {
	case r.format != "":
		values := strings.NewReplacer("%{NAME}", i.Name, "%{name}", i.Name, "%{VERSION}", version, "%{version}", version, "%{RELEASE}", release, "%{release}", release,
			"%{ARCH}", i.Arch, "%{arch}", i.Arch, "%{EPOCH}", epoch, "%{epoch}", epoch, `\n`, "\n", `\t`, "\t")
		fmt.Print(values.Replace(r.format))
	case strings.Contains(r.flags, "i"):
		fmt.Printf("Name        : %s\nVersion     : %s\nRelease     : %s\nArchitecture: %s\nInstall Date: %s\n", i.Name, version, release, i.Arch, i.Time.Format("Mon 02 Jan 2006 03:04:05 PM MST"))
	case strings.Contains(r.flags, "l"):
		if len(i.Files) == 0 {
			fmt.Println("(contains no files)")
		}
		for _, f := range i.Files {
			fmt.Println(f)
		}
	default:
		fmt.Println(i.nvra())
	}
}

func (r *rpmCall) owners() int {
	missing := 0
	for _, path := range r.words {
		owner := ""
		for _, i := range r.db.sorted() {
			p := r.db.known[i.Name]
			if slices.Contains(i.Files, path) || p != nil && slices.Contains(p.commands, path) {
				owner = i.nvra()
			}
		}
		if owner == "" {
			fmt.Printf("file %s is not owned by any package\n", path)
			missing++
			continue
		}
		fmt.Println(owner)
	}
	return missing
}

func (r *rpmCall) erase() int {
	if s := needRootFor("error: can't create transaction lock on /var/lib/rpm/.rpm.lock (Permission denied)"); s != 0 {
		return s
	}
	for _, word := range r.words {
		if _, ok := r.db.have[word]; !ok {
			return fail(1, "error: package %s is not installed", word)
		}
		if err := r.db.remove(word); err != nil {
			return fail(1, "error: %v", err)
		}
	}
	if err := r.db.save(); err != nil {
		return fail(1, "error: %v", err)
	}
	return 0
}

func (r *rpmCall) importKeys() int {
	for _, word := range r.words {
		if strings.Contains(word, "://") {
			return fail(1, "curl: (6) Could not resolve host: %s\nerror: %s: import read failed(2).", hostOf(word), word)
		}
	}
	return 0
}

func (r *rpmCall) installFiles() int {
	for _, word := range r.words {
		if strings.Contains(word, "://") {
			fail(1, "curl: (6) Could not resolve host: %s\nerror: skipping %s - transfer failed", hostOf(word), word)
			continue
		}
		fail(1, "error: %s: this stand-in of localaws installs nothing from files", word)
	}
	return 1
}

// evalMacros expands the macros that scripts ask rpm for.
func evalMacros(s string) string {
	values := []string{"%{_arch}", arch(), "%_arch", arch(), "%{?rhel}", "", "%{?fedora}", ""}
	if isAL2() {
		values = append(values, "%{?amzn}", "2", "%{amzn}", "2", "%amzn", "2", "%{?dist}", ".amzn2", "%{dist}", ".amzn2", "%dist", ".amzn2")
	} else {
		values = append(values, "%{?amzn}", "2023", "%{amzn}", "2023", "%amzn", "2023", "%{?dist}", ".amzn2023", "%{dist}", ".amzn2023", "%dist", ".amzn2023")
	}
	return strings.NewReplacer(values...).Replace(s)
}

package standin

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// topicsFile has the enabled topics of amazon-linux-extras, one a line.
const topicsFile = "/var/lib/yum/extras-topics"

// alwaysEnabled are the topics that an image of Amazon Linux 2 has enabled.
var alwaysEnabled = []string{"", "docker"}

// enabledTopic tells whether yum sees the packages of a topic.
func enabledTopic(topic string, d *db) bool {
	if slices.Contains(alwaysEnabled, topic) || topic == "epel" && d.have["epel-release"].Name != "" {
		return true
	}
	return slices.Contains(enabledTopics(), topic)
}

func enabledTopics() []string {
	text, err := os.ReadFile(topicsFile)
	if err != nil {
		return nil // there is none until one is enabled
	}
	return strings.Fields(string(text))
}

// bare are topics whose packages yum also has without them, by the packages that the topic installs.
var bare = map[string][]string{
	"nginx1": {"nginx"}, "docker": {"docker"}, "php8.2": {"php-fpm", "php-mysqlnd", "php-cli"}, "postgresql14": {"postgresql"}, "kernel-5.10": {"kernel"}, "kernel-5.15": {"kernel"},
	"tomcat9": {"tomcat"}, "vim": {"vim-enhanced"}, "lamp-mariadb10.2-php7.2": {"mariadb", "php"}, "nginx1.12": {"nginx"},
}

func topics(d *db) map[string][]string {
	all := maps.Clone(bare)
	for _, p := range d.known {
		if p.topic != "" && bare[p.topic] == nil {
			all[p.topic] = append(all[p.topic], p.name)
		}
	}
	all["epel"] = []string{"epel-release"}
	return all
}

// extras is amazon-linux-extras.
func extras(_ string, args []string) int {
	d, err := openDB()
	if err != nil {
		return fail(1, "%v", err)
	}
	w := words(args)
	all := topics(d)
	if len(w) == 0 || w[0] == "list" {
		for i, t := range slices.Sorted(maps.Keys(all)) {
			fmt.Printf("%3d  %-24s %s\n", i, t, map[bool]string{true: "available    [ =stable ]", false: "enabled      [ =stable ]"}[!enabledTopic(t, d)])
		}
		return 0
	}
	if !slices.Contains([]string{"install", "enable", "disable", "info"}, w[0]) || len(w) < 2 {
		return fail(2, "usage: amazon-linux-extras [list | install | enable | disable | info] TOPIC ...")
	}
	if os.Geteuid() != 0 {
		return fail(1, "Must be root.")
	}
	return changeTopics(w[0], w[1:], all, slices.Contains(args, "-y"))
}

func changeTopics(verb string, names []string, all map[string][]string, yes bool) int {
	enabled := enabledTopics()
	var packages []string
	for _, name := range names {
		name, _, _ = strings.Cut(name, "=")
		if all[name] == nil {
			return fail(1, "Topic %s is not found.", name)
		}
		enabled = slices.DeleteFunc(enabled, func(t string) bool { return t == name })
		if verb != "disable" {
			enabled = append(enabled, name)
		}
		packages = append(packages, all[name]...)
	}
	if verb == "info" {
		fmt.Println(strings.Join(packages, "\n"))
		return 0
	}
	if err := os.MkdirAll(filepath.Dir(topicsFile), 0o755); err != nil {
		return fail(1, "%v", err)
	}
	if err := os.WriteFile(topicsFile, []byte(strings.Join(enabled, "\n")+"\n"), 0o644); err != nil {
		return fail(1, "%v", err)
	}
	if verb != "install" {
		return 0
	}
	fmt.Printf("Installing %s\n", strings.Join(packages, ", "))
	call := append([]string{"install"}, packages...)
	if yes {
		call = append(call, "-y")
	}
	return yum("yum", call)
}

func needRootFor(message string) int {
	if os.Geteuid() == 0 {
		return 0
	}
	return fail(1, "%s", message)
}

// needsRestarting always finds that nothing was replaced.
func needsRestarting(_ string, args []string) int {
	if slices.Contains(args, "-r") || slices.Contains(args, "--reboothint") {
		fmt.Println("No core libraries or services have been updated.\nReboot is probably not necessary.")
	}
	return 0
}

// configManager adds repositories as the files that name them; nothing can be fetched from any.
func configManager(_ string, args []string) int {
	if s := needRootFor("You must be root to change the yum configuration."); s != 0 {
		return s
	}
	for i, a := range args {
		url, ok := strings.CutPrefix(a, "--add-repo=")
		if (a == "--add-repo" || a == "addrepo") && i+1 < len(args) {
			url, ok = args[i+1], true
		}
		if ok {
			return addRepo(url)
		}
	}
	return 0 // enabling and disabling what can't be reached makes no difference
}

func addRepo(url string) int {
	name := strings.TrimSuffix(filepath.Base(url), ".repo")
	path := filepath.Join("/etc/yum.repos.d", name+".repo")
	text := fmt.Sprintf("[%s]\nname=%s (unreachable: localaws has no network)\nbaseurl=%s\nenabled=1\n", name, name, url)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil && !errors.Is(err, fs.ErrExist) {
		return fail(1, "%v", err)
	}
	fmt.Println("adding repo from: " + url)
	return 0
}

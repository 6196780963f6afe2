//go:build linux

package machine

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine/standin"
)

// baseFiles are the files of Amazon Linux that are not the host's, below all, al2 and al2023. {{ARCH}} in them is the architecture.
//
//go:embed all:base
var baseFiles embed.FS

// A baseRequest is for the base layer of one release.
type baseRequest struct {
	Path    string // of the layer to be made
	Release Release
	Minimal bool // without the SSM agent
	Arch    string
}

// A directory is a folder of the base layer with an owner or mode that is not root's or 0755.
type directory struct {
	path string
	mode uint32
	uid  int
	gid  int
}

// baseDirs are the folders that the embedded files alone would not make.
var baseDirs = []directory{
	{path: "/home", mode: 0o755}, {path: "/home/ec2-user", mode: 0o700, uid: 1000, gid: 1000},
	{path: "/home/ec2-user/.ssh", mode: 0o700, uid: 1000, gid: 1000},
	{path: "/root", mode: 0o550}, {path: "/root/.ssh", mode: 0o700},
	{path: "/tmp", mode: 0o1777}, {path: "/var/tmp", mode: 0o1777},
	{path: "/boot", mode: 0o555}, {path: "/media", mode: 0o755}, {path: "/mnt", mode: 0o755}, {path: "/opt", mode: 0o755},
	{path: "/opt/aws", mode: 0o755}, {path: "/srv", mode: 0o755}, {path: "/dev", mode: 0o755}, {path: "/proc", mode: 0o555},
	{path: "/sys", mode: 0o555}, {path: "/run", mode: 0o755}, {path: "/usr", mode: 0o755},
	{path: "/var/cache", mode: 0o755}, {path: "/var/cache/yum", mode: 0o755}, {path: "/var/cache/dnf", mode: 0o755},
	{path: "/var/crash", mode: 0o755}, {path: "/var/db", mode: 0o755}, {path: "/var/empty", mode: 0o755},
	{path: "/var/empty/sshd", mode: 0o711}, {path: "/var/lib", mode: 0o755}, {path: "/var/lib/rpm", mode: 0o755},
	{path: "/var/lib/yum", mode: 0o755}, {path: "/var/lib/dnf", mode: 0o755}, {path: "/var/lib/cloud", mode: 0o755},
	{path: "/var/lib/cloud/data", mode: 0o755}, {path: "/var/lib/cloud/instances", mode: 0o755},
	{path: "/var/lib/cloud/scripts/per-boot", mode: 0o755}, {path: "/var/lib/cloud/scripts/per-instance", mode: 0o755},
	{path: "/var/lib/cloud/scripts/per-once", mode: 0o755}, {path: "/var/lib/amazon/ssm", mode: 0o700},
	{path: "/var/lib/misc", mode: 0o755}, {path: "/var/lib/systemd", mode: 0o755}, {path: "/var/local", mode: 0o755},
	{path: "/var/log", mode: 0o755}, {path: "/var/log/amazon/ssm", mode: 0o700}, {path: "/var/log/journal", mode: 0o755},
	{path: "/var/mail", mode: 0o755}, {path: "/var/opt", mode: 0o755}, {path: "/var/spool", mode: 0o755},
	{path: "/var/spool/cron", mode: 0o700}, {path: "/var/spool/mail", mode: 0o775},
	{path: "/etc/amazon/ssm", mode: 0o755}, {path: "/etc/sudoers.d", mode: 0o750}, {path: "/etc/profile.d", mode: 0o755},
	{path: "/etc/ssh", mode: 0o755}, {path: "/etc/ssh/sshd_config.d", mode: 0o700}, {path: "/etc/cron.d", mode: 0o755},
	{path: "/etc/cron.daily", mode: 0o755}, {path: "/etc/cron.hourly", mode: 0o755}, {path: "/etc/cron.weekly", mode: 0o755},
	{path: "/etc/cron.monthly", mode: 0o755}, {path: "/etc/sysconfig", mode: 0o755}, {path: "/etc/sysctl.d", mode: 0o755},
	{path: "/etc/modprobe.d", mode: 0o755}, {path: "/etc/modules-load.d", mode: 0o755}, {path: "/etc/logrotate.d", mode: 0o755},
	{path: "/etc/skel", mode: 0o755}, {path: "/etc/yum.repos.d", mode: 0o755}, {path: "/etc/systemd/system/multi-user.target.wants", mode: 0o755},
	{path: "/etc/security/limits.d", mode: 0o755}, {path: "/etc/tmpfiles.d", mode: 0o755}, {path: "/etc/rsyslog.d", mode: 0o755},
	{path: "/etc/opt", mode: 0o755}, {path: "/etc/pki/rpm-gpg", mode: 0o755}, {path: "/etc/pki/tls/certs", mode: 0o755},
	{path: "/etc/chrony.d", mode: 0o755}, {path: "/etc/cloud/cloud.cfg.d", mode: 0o755}, {path: "/etc/dracut.conf.d", mode: 0o755},
	{path: "/etc/audit/rules.d", mode: 0o750}, {path: "/etc/selinux", mode: 0o755}, {path: "/etc/default", mode: 0o755},
}

// baseModes are the modes of files that are not 0644.
var baseModes = map[string]uint32{
	"/etc/shadow": 0, "/etc/gshadow": 0, "/etc/sudoers": 0o440, "/etc/sudoers.d/90-cloud-init-users": 0o440, "/etc/ssh/sshd_config": 0o600,
	"/etc/rc.d/rc.local": 0o755,
}

// hostFiles are what the programs in /usr need of the host's /etc: links and data, nothing about the host itself.
var hostFiles = []string{
	"ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "ssl", "ca-certificates", "ca-certificates.conf", "pki/ca-trust", "pki/tls",
	"crypto-policies", "mime.types", "services", "protocols", "rpc", "ethertypes", "terminfo", "inputrc", "magic", "magic.mime", "python3",
	"python3.9", "python3.10", "python3.11", "python3.12", "python3.13", "python3.14", "perl", "gai.conf", "localtime", "bash_completion.d", "vim", "nanorc", "wgetrc",
}

// hiddenPrograms are other distributions' package tools, by which scripts would take the machine for one of these, and tools that need a
// real system below them.
var hiddenPrograms = []string{
	"apt", "apt-cache", "apt-config", "apt-get", "apt-key", "apt-mark", "aptitude", "dpkg", "dpkg-deb", "dpkg-query", "dpkg-reconfigure", "snap",
	"zypper", "pacman", "apk", "emerge", "rpm-ostree", "microdnf", "dnf5", "add-apt-repository", "debconf-show", "update-initramfs", "update-grub",
	"lsb_release", "systemd-run", "machinectl", "busctl", "yum-config-manager", "dnf-3",
}

// emptyFolders are the folders of /usr in which a machine sees nothing of the host's: what is the administrator's, what is about the host's
// services, and documentation, which is large, not Amazon's, and the first that people delete from an image.
var emptyFolders = []string{
	"/usr/local", "/usr/src", "/usr/lib/systemd/system", "/usr/lib/systemd/user", "/usr/lib/debug", "/usr/share/doc", "/usr/share/man", "/usr/share/info",
	"/usr/share/locale", "/usr/share/gtk-doc", "/usr/share/help", "/usr/share/bug", "/usr/share/lintian", "/usr/share/doc-base",
}

func (r *baseRequest) build() error {
	for _, dir := range []string{r.Path, r.root(), r.usr()} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	for _, step := range []func() error{r.makeDirs, r.copyHostFiles, r.writeFiles, r.link, r.giveHome, r.own, r.hidePrograms, r.placeStandins} {
		if err := step(); err != nil {
			return fmt.Errorf("base layer: %w", err)
		}
	}
	return nil
}

func (r *baseRequest) root() string { return filepath.Join(r.Path, "root") }
func (r *baseRequest) usr() string  { return filepath.Join(r.Path, "usr") }

// at is where a path of the machine is in the layer.
func (r *baseRequest) at(path string) string {
	if rest, ok := strings.CutPrefix(path, "/usr/"); ok {
		return filepath.Join(r.usr(), rest)
	}
	return filepath.Join(r.root(), path)
}

func (r *baseRequest) makeDirs() error {
	for _, d := range baseDirs {
		path := r.at(d.path)
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		if err := errors.Join(os.Chown(path, d.uid, d.gid), unix.Chmod(path, d.mode)); err != nil {
			return err
		}
	}
	return nil
}

// writeFiles writes the embedded files, those of the release over those of all.
func (r *baseRequest) writeFiles() error {
	for _, set := range []string{"all", string(r.Release)} {
		top := "base/" + set
		err := fs.WalkDir(baseFiles, top, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Base(path) == ".keep" {
				return err
			}
			text, err := baseFiles.ReadFile(path)
			if err != nil {
				return err
			}
			return r.write(strings.TrimPrefix(path, top), strings.ReplaceAll(string(text), "{{ARCH}}", r.Arch))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *baseRequest) write(path, text string) error {
	target := r.at(path)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(target); err != nil { // the host's, perhaps a link
		return err
	}
	if err := os.WriteFile(target, []byte(text), 0o644); err != nil {
		return err
	}
	if mode, ok := baseModes[path]; ok {
		return unix.Chmod(target, mode)
	}
	return nil
}

// link makes the links of a merged /usr, and those of the release.
func (r *baseRequest) link() error {
	for _, name := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		if _, err := os.Stat("/usr/" + name); err == nil {
			if err := os.Symlink("usr/"+name, r.at("/"+name)); err != nil {
				return err
			}
		}
	}
	for path, target := range map[string]string{
		"/var/run": "../run", "/var/lock": "../run/lock", "/etc/mtab": "../proc/self/mounts", "/etc/rc.local": "rc.d/rc.local",
		"/etc/redhat-release": "system-release", "/etc/systemd/system/multi-user.target.wants/sshd.service": "/usr/lib/systemd/system/sshd.service",
		"/etc/systemd/system/multi-user.target.wants/amazon-ssm-agent.service": "/usr/lib/systemd/system/amazon-ssm-agent.service",
		"/etc/systemd/system/multi-user.target.wants/crond.service":            "/usr/lib/systemd/system/crond.service",
		"/etc/systemd/system/multi-user.target.wants/chronyd.service":          "/usr/lib/systemd/system/chronyd.service",
		"/etc/systemd/system/multi-user.target.wants/rsyslog.service":          "/usr/lib/systemd/system/rsyslog.service",
	} {
		unit := strings.TrimSuffix(filepath.Base(path), ".service")
		if r.Release == AL2023 && (unit == "rsyslog" || unit == "crond") || r.Minimal && unit == "amazon-ssm-agent" {
			continue // not installed there
		}
		if err := os.Symlink(target, r.at(path)); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(r.at("/etc/localtime")); errors.Is(err, fs.ErrNotExist) {
		return os.Symlink("../usr/share/zoneinfo/UTC", r.at("/etc/localtime"))
	}
	return nil
}

// giveHome copies the skeleton of home folders to those that there are.
func (r *baseRequest) giveHome() error {
	for _, home := range []struct {
		path string
		id   int
	}{{"/home/ec2-user", 1000}, {"/root", 0}} {
		entries, err := os.ReadDir(r.at("/etc/skel"))
		if err != nil {
			return err
		}
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(r.at("/etc/skel"), e.Name()))
			if err != nil {
				return err
			}
			to := filepath.Join(r.at(home.path), e.Name())
			if err := errors.Join(os.WriteFile(to, text, 0o644), os.Chown(to, home.id, home.id)); err != nil {
				return err
			}
		}
	}
	return nil
}

// own corrects owners that only the release's own ids say.
func (r *baseRequest) own() error {
	mail := r.at("/var/spool/mail")
	return errors.Join(os.Chown(mail, 0, 12), unix.Chmod(mail, 0o775))
}

func (r *baseRequest) copyHostFiles() error {
	for _, name := range hostFiles {
		from := filepath.Join("/etc", name)
		info, err := os.Lstat(from)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := copyReadable(from, r.at(from), info); err != nil {
			return err
		}
	}
	return nil
}

// notAmazons are the hundreds of links to single certificates and manual pages that Debian has.
var notAmazons = regexp.MustCompile(`/[0-9a-f]{8}\.[0-9]$|^/usr/share/ca-certificates/|\.gz$`)

// copyReadable copies a file, link or folder of the host as far as everybody may read it there, as root's.
func copyReadable(from, to string, info fs.FileInfo) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	switch {
	case info.Mode().Type() == fs.ModeSymlink:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		if notAmazons.MatchString(to) || notAmazons.MatchString(target) {
			return nil
		}
		return os.Symlink(target, to)
	case info.Mode().IsRegular() && info.Mode()&0o004 != 0:
		if err := copyFile(from, to, info.Size()); err != nil {
			return err
		}
		return os.Chmod(to, info.Mode().Perm())
	case info.IsDir() && info.Mode()&0o005 == 0o005:
		return copyFolder(from, to)
	}
	return nil
}

func copyFolder(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		if err := copyReadable(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()), info); err != nil {
			return err
		}
	}
	return nil
}

// hidePrograms deletes programs of the host, as overlayfs notes it, and empties what is not the machine's.
func (r *baseRequest) hidePrograms() error {
	for _, dir := range []string{"bin", "sbin"} {
		if err := os.MkdirAll(filepath.Join(r.usr(), dir), 0o755); err != nil {
			return err
		}
		for _, name := range hiddenPrograms {
			if _, err := os.Lstat(filepath.Join("/usr", dir, name)); err != nil {
				continue
			}
			if err := whiteOut(filepath.Join(r.usr(), dir, name)); err != nil {
				return err
			}
		}
	}
	for _, dir := range []string{"bin", "etc", "games", "include", "lib", "lib64", "libexec", "sbin", "share", "src"} {
		if err := os.MkdirAll(r.at("/usr/local/"+dir), 0o755); err != nil {
			return err
		}
	}
	for _, dir := range emptyFolders {
		if err := os.MkdirAll(r.at(dir), 0o755); err != nil {
			return err
		}
		if err := unix.Lsetxattr(r.at(dir), opaqueXattr, []byte("y"), 0); err != nil {
			return fmt.Errorf("xattr on %s: %w", dir, err)
		}
	}
	return nil
}

func whiteOut(path string) error { return unix.Mknod(path, unix.S_IFCHR, 0) }

// placeStandins puts this program into the layer, and links to it under the names of the commands that it stands in for.
func (r *baseRequest) placeStandins() error {
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer closeAll(exe)
	info, err := exe.Stat()
	if err != nil {
		return err
	}
	target := r.at(standin.Path)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if err := copyFile("/proc/self/exe", target, info.Size()); err != nil {
		return err
	}
	if err := os.Chmod(target, 0o755); err != nil {
		return err
	}
	for _, path := range standin.Commands(r.Release == AL2) {
		if r.Minimal && path == standin.AgentPath {
			continue
		}
		at := r.at(path)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if slices.Contains(hiddenPrograms, filepath.Base(path)) {
			_ = os.Remove(at) // it is there if the host has the program
		}
		if err := os.Symlink(standin.Path, at); err != nil {
			return err
		}
	}
	return nil
}

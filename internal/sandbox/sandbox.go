// Package sandbox runs real Packer with the plugin of this repository in a home of its own, so that nothing of the
// user's is read or changed: no configuration, no installed plugin, no cache.
package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Source is the plugin's address in a template's required_plugins.
const Source = "github.com/taccoform/ssm"

// patience is how long an interrupted Packer may take to remove what it made, before it is killed.
const patience = 2 * time.Minute

// Packer is a Packer with the plugin installed.
type Packer struct {
	binary  string
	environ []string
}

// New makes a home below dir for the Packer core at packer, and installs the plugin binary at plugin there. Commands
// see environ on top of the home's own variables and nothing else of this process's environment but PATH and the
// terminal's.
func New(ctx context.Context, dir, packer, plugin string, environ ...string) (*Packer, error) {
	p := &Packer{binary: packer, environ: append(home(dir), environ...)}
	for _, name := range []string{"config", "plugins", "cache", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return nil, err
		}
	}
	return p, p.Install(ctx, plugin, Source)
}

// Install installs one more plugin: its binary, and its address in a template's required_plugins.
func (p *Packer) Install(ctx context.Context, plugin, source string) error {
	out, err := p.Command(ctx, filepath.Dir(plugin), "plugins", "install", "--path", plugin, source).CombinedOutput()
	if err != nil {
		return fmt.Errorf("packer plugins install %s: %w: %s", source, err, bytes.TrimSpace(out))
	}
	return nil
}

// With is the same Packer with more variables in its environment; later ones win.
func (p *Packer) With(environ ...string) *Packer {
	return &Packer{binary: p.binary, environ: append(append([]string(nil), p.environ...), environ...)}
}

// Command is packer with args, to be run in dir. When ctx ends it is interrupted as by Ctrl-C, so that it cleans up,
// and killed only when that takes too long.
func (p *Packer) Command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, p.binary, args...)
	command.Dir = dir
	command.Env = p.environ
	command.WaitDelay = patience
	ownGroup(command)
	command.Cancel = func() error { return interrupt(command) }
	return command
}

// home is the environment of a user who has never run Packer.
func home(dir string) []string {
	environ := []string{
		"HOME=" + dir,
		"PACKER_CONFIG_DIR=" + filepath.Join(dir, "config"),
		"PACKER_PLUGIN_PATH=" + filepath.Join(dir, "plugins"),
		"PACKER_CACHE_DIR=" + filepath.Join(dir, "cache"),
		"XDG_CACHE_HOME=" + filepath.Join(dir, "cache"),
		"TMPDIR=" + filepath.Join(dir, "tmp"),
		"CHECKPOINT_DISABLE=1",
	}
	for _, name := range []string{"PATH", "TERM", "LANG"} {
		if value, set := os.LookupEnv(name); set {
			environ = append(environ, name+"="+value)
		}
	}
	return environ
}

// Root is the folder of the repository that the working directory is in.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the working directory; run this from the repository")
		}
	}
}

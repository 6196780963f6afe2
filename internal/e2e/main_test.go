//go:build linux

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
	"github.com/taccoform/packer-plugin-ssm/internal/sandbox"
)

// What all tests share: the binaries, and a Packer that has the plugin installed, and the one that its users come from.
var (
	root   string
	plugin string
	packer *sandbox.Packer
)

func TestMain(m *testing.M) {
	machine.Main() // an instance's first process is this program started again; it never returns from here
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := prepare(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return m.Run()
}

// prepare builds what the tests run, which costs nothing when it is up to date, so that a plain `go test` is as good as
// `make test`.
func prepare(ctx context.Context, dir string) (err error) {
	if root, err = sandbox.Root(); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "make", "--no-print-directory", "tools", "build")
	build.Dir = root
	build.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("make tools build: %w: %s", err, bytes.TrimSpace(out))
	}
	plugin = filepath.Join(root, "dist", "packer-plugin-ssm")
	tools := filepath.Join(root, ".cache", "bin")
	if packer, err = sandbox.New(ctx, dir, filepath.Join(tools, "packer"), plugin); err != nil {
		return err
	}
	return packer.Install(ctx, filepath.Join(tools, "packer-plugin-amazon"), peersSource)
}

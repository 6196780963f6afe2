package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// TestTree holds the source tree to what it stands for: the same in every run, the size asked for, compressible as source is.
func TestTree(t *testing.T) {
	t.Parallel()
	first, err := makeTree(t.TempDir(), "a source tree", 2*mib)
	if err != nil {
		t.Fatal(err)
	}
	second, err := makeTree(t.TempDir(), "a source tree", 2*mib)
	if err != nil {
		t.Fatal(err)
	}
	if first.sum != second.sum || first.files != second.files || first.files < 10 {
		t.Errorf("trees differ: %+v, %+v", first, second)
	}
	var packed bytes.Buffer
	packer := gzip.NewWriter(&packed)
	_, _ = packer.Write(prose(rand.New(rand.NewPCG(1, 1)), mib))
	_ = packer.Close()
	if share := float64(packed.Len()) / mib; share < 0.2 || share > 0.3 {
		t.Errorf("text compresses to %.2f of its size", share)
	}
}

func TestFileIsIncompressible(t *testing.T) {
	t.Parallel()
	f, err := makeFile(t.TempDir(), "a file", mib)
	if err != nil {
		t.Fatal(err)
	}
	packed := exec.CommandContext(t.Context(), "gzip", "-c", f.path)
	out, err := packed.Output()
	if err != nil || len(out) < mib {
		t.Errorf("gzip makes %d bytes of it: %v", len(out), err)
	}
}

// TestSums compares the checksum of this side with the script's of the other: they are of the same things.
func TestSums(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the script is for the instance, which has GNU tools")
	}
	tree, err := makeTree(t.TempDir(), "tree", mib)
	if err != nil {
		t.Fatal(err)
	}
	file, err := makeFile(t.TempDir(), "file", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []fixture{tree, file} {
		shell := exec.CommandContext(t.Context(), "sh")
		shell.Stdin = strings.NewReader(sumScript(f.path))
		out, err := shell.Output()
		if got := strings.TrimSpace(string(out)); err != nil || got != f.sum {
			t.Errorf("%s: the script says %s, not %s (%v)", f.name, got, f.sum, err)
		}
	}
}

// TestPiped is tar through ssh: either end's failure is told, and neither waits for the other for ever.
func TestPiped(t *testing.T) {
	t.Parallel()
	command := func(script string) *exec.Cmd { return exec.CommandContext(t.Context(), "sh", "-c", script) }
	var out bytes.Buffer
	to := command("cat")
	to.Stdout = io.Writer(&out)
	if err := piped(command("echo data"), to); err != nil || out.String() != "data\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	if err := piped(command("cat /dev/zero"), command("exit 3")); err == nil {
		t.Error("no error of the reader")
	}
	if err := piped(command("exit 3"), command("cat >/dev/null")); err == nil {
		t.Error("no error of the writer")
	}
}

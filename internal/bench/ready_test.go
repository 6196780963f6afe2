package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestResultsThatCannotBeWritten is told before anything is measured, in words that say what to do.
func TestResultsThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "bench") // as go build leaves a program of that name
	if err := os.WriteFile(file, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, out := range map[string]string{
		"a file in the place of the folder": filepath.Join(file, "results.json"),
		"a folder in the place of the file": filepath.Join(dir, "folder"),
	} {
		err := bench(t.Context(), []string{"-out", out, "-run", "^nothing is called this$"})
		if err == nil || !strings.Contains(err.Error(), "can't be written") || !strings.Contains(err.Error(), "-out") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestResultsStayUntilThereAreNewOnes: looking whether they can be written changes nothing.
func TestResultsStayUntilThereAreNewOnes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old, fresh := filepath.Join(dir, "old.json"), filepath.Join(dir, "bench", "fresh.json")
	if err := os.WriteFile(old, []byte("of before"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{old, fresh} {
		if err := writable(path); err != nil {
			t.Error(err)
		}
	}
	if text, err := os.ReadFile(old); err != nil || string(text) != "of before" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := os.Stat(fresh); !os.IsNotExist(err) {
		t.Errorf("an empty file is left: %v", err)
	}
}

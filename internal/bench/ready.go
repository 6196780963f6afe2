package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// programs are what the peer's rows start, beside AWS's client.
var programs = []string{"ssh", "scp", "tar"}

// ready finds out before anything is measured what would fail a run at its end: whether the results can be written, and whether
// all programs are there.
func ready(o options) error {
	if o.out != "" {
		if err := writable(o.out); err != nil {
			return fmt.Errorf("the results can't be written: %w; move away what is in the way, or give -out another file", err)
		}
	}
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("the peer needs %s: %w", name, err)
		}
	}
	return nil
}

// writable makes the folder of a file that is to be written, and opens the file for that. What the file holds stays; one that
// is not there is not left.
func writable(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	_, err := os.Stat(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	err = f.Close()
	if fresh {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

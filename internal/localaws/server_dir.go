package localaws

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// machinesDir is the user's own folder for machines. It is the same in every
// run, so that the next one finds and removes what a killed one left.
func machinesDir() (string, error) {
	dir := filepath.Join(os.TempDir(), "localaws-"+strconv.Itoa(os.Getuid()))
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() || !isOwn(info) {
		return "", fmt.Errorf("%s belongs to another user; remove it or give another folder", dir)
	}
	return dir, nil
}

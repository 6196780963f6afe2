//go:build linux

package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// usrSkeleton is the folder, in the host's folder, with what a machine needs of /usr as its own; see skeleton.
const usrSkeleton = "skeleton"

// A workRequest is work on files that belong to users of machines. It is done by a helper: this program, executed again as root of
// a user namespace with the machines' ids. Paths are relative to the host's folder. What is set is done, in this order.
type workRequest struct {
	Remove   []string     `json:",omitempty"`
	Mkdir    []string     `json:",omitempty"`
	Disk     string       `json:",omitempty"` // makes an empty disk
	Skeleton string       `json:",omitempty"`
	Base     *baseRequest `json:",omitempty"`
	Copy     *copyRequest `json:",omitempty"`
	Try      *rootConfig  `json:",omitempty"` // tries the mounts of a machine
}

func work(ctx context.Context, ids idMap, folder *os.File, r workRequest) error {
	c, err := reexec(ctx, ids, stageWork, 0, folder, os.Stderr)
	if err != nil {
		return err
	}
	return c.do(r)
}

// do sends the request to the helper, and waits for its end.
func (c *child) do(r workRequest, files ...*os.File) error {
	err := c.talk.send(r, files...)
	var answer reply
	if err == nil {
		_, err = c.talk.receive(&answer)
	}
	if err == nil {
		err = answer.err()
	} else {
		err = fmt.Errorf("helper process: %w", err)
	}
	c.kill() // it has answered, or never will
	return err
}

// workMain is the helper.
func workMain() int {
	unix.Umask(0)
	talk, err := newChannel(os.NewFile(controlFD, "control"))
	if err != nil {
		return complain(err)
	}
	var r workRequest
	files, err := talk.receive(&r)
	if err != nil {
		return complain(err)
	}
	go func() { // ends the process when the parent is gone
		_, _ = talk.conn.Read(make([]byte, 1))
		syscall.Exit(1)
	}()
	answer := reply{}
	if err := r.perform(files); err != nil {
		answer = failed(0, err)
	}
	if err := talk.send(answer); err != nil {
		return complain(err)
	}
	return 0
}

func (r workRequest) perform(files []*os.File) error {
	if r.Try != nil {
		return r.Try.try(files)
	}
	if err := unix.Fchdir(stateFD); err != nil {
		return fmt.Errorf("folder of the host: %w", err)
	}
	for _, path := range r.Remove {
		if err := removeTree(path); err != nil {
			return err
		}
	}
	dirs := r.Mkdir
	if r.Disk != "" {
		for _, sub := range []string{"", "upper", "work", "upper/root", "upper/usr", "work/root", "work/usr"} {
			dirs = append(dirs, filepath.Join(r.Disk, sub))
		}
	}
	for _, dir := range dirs {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if r.Skeleton != "" {
		return skeleton("/usr", r.Skeleton)
	}
	if r.Base != nil {
		return r.Base.build()
	}
	if r.Copy != nil {
		return r.Copy.run()
	}
	return nil
}

// removeTree is os.RemoveAll for trees in which folders may forbid even their owner to look: overlayfs makes such ones.
func removeTree(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	walkErr := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && errors.Is(err, fs.ErrPermission) {
			return os.Chmod(p, 0o700)
		}
		return nil
	})
	return errors.Join(walkErr, os.RemoveAll(path))
}

// try mounts what a machine has and checks that files and folders of lower layers can be deleted and come again.
func (c rootConfig) try(files []*os.File) error {
	var state, usr *os.File
	if len(files) > 0 {
		state = files[0]
	}
	if len(files) > 1 {
		usr = files[1]
	}
	if err := enterRoot(c, state, usr); err != nil {
		return err
	}
	if err := os.RemoveAll("/probe"); err != nil {
		return fmt.Errorf("delete in an overlay: %w", err)
	}
	if err := os.Mkdir("/probe", 0o755); err != nil {
		return fmt.Errorf("make a folder again in an overlay: %w", err)
	}
	if entries, err := os.ReadDir("/probe"); err != nil || len(entries) > 0 {
		return fmt.Errorf("overlay shows deleted files: %w", errors.Join(err, fs.ErrExist))
	}
	if _, err := os.Stat("/usr/bin/bash"); err != nil {
		return err
	}
	return configureNetwork(metadataAddress)
}

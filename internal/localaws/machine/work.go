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
// a user namespace with the machines' ids. A helper works until the channel to it is closed, one request after the other. Paths are
// relative to the host's folder. What is set is done, in this order.
type workRequest struct {
	Remove   []string     `json:",omitempty"`
	Mkdir    []string     `json:",omitempty"`
	Disk     string       `json:",omitempty"` // makes an empty disk
	Skeleton string       `json:",omitempty"`
	Base     *baseRequest `json:",omitempty"`
	Copy     *copyRequest `json:",omitempty"`
	Try      *rootConfig  `json:",omitempty"` // tries the mounts of a machine
}

// work has a helper of its own do r.
func work(ctx context.Context, ids idMap, folder *os.File, r workRequest) error {
	c, err := reexec(ctx, ids, stageWork, 0, folder, os.Stderr)
	if err != nil {
		return err
	}
	defer c.kill()
	return c.do(r)
}

// work has a helper do r: one that waits for work, or else a new one, which then waits for more. To start one is the most of what
// little work costs: a process with a new user namespace can't share its parent's memory until its exec, and a large
// parent's is copied.
func (h *Host) work(ctx context.Context, r workRequest) error {
	c, err := h.helper(ctx)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.cmd.Process.Kill() }) // it may have ended
	err = c.do(r)
	if cancelled := !stop(); cancelled || errors.Is(err, errHelper) {
		c.kill()
		if err != nil {
			err = errors.Join(err, context.Cause(ctx))
		}
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dismissed {
		c.kill()
		return err
	}
	h.helpers = append(h.helpers, c)
	return err
}

func (h *Host) helper(ctx context.Context) (*child, error) {
	h.mu.Lock()
	if last := len(h.helpers) - 1; last >= 0 {
		defer h.mu.Unlock()
		c := h.helpers[last]
		h.helpers = h.helpers[:last]
		return c, nil
	}
	h.mu.Unlock()
	return reexec(context.WithoutCancel(ctx), h.ids, stageWork, 0, h.folder, os.Stderr)
}

// dismiss ends the helpers that wait for work, and lets none wait again.
func (h *Host) dismiss() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dismissed = true
	for _, c := range h.helpers {
		c.kill()
	}
	h.helpers = nil
}

var errHelper = errors.New("helper process")

// do sends the request to the helper, and waits for its answer. The error is an errHelper if there will be no more answers.
func (c *child) do(r workRequest, files ...*os.File) error {
	if err := c.talk.send(r, files...); err != nil {
		return fmt.Errorf("%w: %w", errHelper, err)
	}
	var answer reply
	if _, err := c.talk.receive(&answer); err != nil {
		return fmt.Errorf("%w: %w", errHelper, err)
	}
	return answer.err()
}

// workMain is the helper.
func workMain() int {
	unix.Umask(0)
	talk, err := newChannel(os.NewFile(controlFD, "control"))
	if err != nil {
		return complain(err)
	}
	if err := unix.Fchdir(stateFD); err != nil {
		return complain(fmt.Errorf("folder of the host: %w", err))
	}
	tasks := make(chan task)
	go func() {
		for {
			var t task
			if t.files, err = talk.receive(&t.workRequest); err != nil {
				syscall.Exit(0) // the parent is gone, or needs no more; what is being done need not be finished
			}
			tasks <- t
		}
	}()
	for t := range tasks {
		answer := reply{}
		if err := t.perform(t.files); err != nil {
			answer = failed(0, err)
		}
		closeAll(t.files...)
		if err := talk.send(answer); err != nil {
			return complain(err)
		}
	}
	return 0
}

// A task is a request as it came, with open files.
type task struct {
	workRequest
	files []*os.File
}

func (r workRequest) perform(files []*os.File) error {
	if r.Try != nil {
		return r.Try.try(files)
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

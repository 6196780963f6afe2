package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const remoteDir = "/var/tmp/soak"

// Most files are small, so that there are many; one in ten is large enough to go over several sessions.
const (
	smallFile = 256 << 10
	largeFile = 12 << 20
)

func fileSize(r *rand.Rand) int {
	if r.IntN(10) == 0 {
		return r.IntN(largeFile)
	}
	return r.IntN(smallFile)
}

// file uploads a file, compares it on the instance by Run Command, downloads it and compares it again.
func (w *world) file(r *rand.Rand) error {
	data := randomBytes(r, fileSize(r))
	if r.IntN(2) == 0 {
		data = bytes.Repeat([]byte("text, which compresses\n"), len(data)/23)
	}
	remote := fmt.Sprintf("%s/file%d", remoteDir, r.Uint64())
	uploaded := false
	err := w.try("upload", func() error {
		if err := w.comm.Upload(remote, struct{ io.Reader }{bytes.NewReader(data)}, nil); err != nil {
			return err
		}
		uploaded = true
		return nil
	})
	if err != nil || !uploaded {
		return err
	}
	if err := w.sameRemotely(remote, "sha256sum <"+remote, fmt.Sprintf("%x  -", sha256.Sum256(data))); err != nil {
		return err
	}
	err = w.try("download", func() error { return w.downloaded(remote, data) })
	return errors.Join(err, w.remove(remote))
}

func (w *world) downloaded(remote string, data []byte) error {
	var got bytes.Buffer
	if err := w.comm.Download(remote, struct{ io.Writer }{&got}); err != nil {
		return err
	}
	if !bytes.Equal(got.Bytes(), data) {
		return fmt.Errorf("arrived changed: %s", difference(got.String(), string(data)))
	}
	return nil
}

// folder is the same for a tree of small files.
func (w *world) folder(r *rand.Rand) error {
	local, err := os.MkdirTemp(w.dir, "tree")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(local) }()
	from := filepath.Join(local, "from")
	if err := makeTree(r, from); err != nil {
		return err
	}
	want, err := manifest(from)
	if err != nil {
		return err
	}
	remote := fmt.Sprintf("%s/tree%d", remoteDir, r.Uint64())
	uploaded := false
	err = w.try("upload of a directory", func() error {
		err := w.comm.UploadDir(remote, from+"/", nil)
		uploaded = err == nil
		return err
	})
	if err != nil || !uploaded {
		return err
	}
	script := "cd " + remote + " && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum"
	if err := w.sameRemotely(remote, script, want); err != nil {
		return err
	}
	err = w.try("download of a directory", func() error { return w.downloadedTree(remote, filepath.Join(local, "to"), want) })
	return errors.Join(err, w.remove(remote))
}

func (w *world) downloadedTree(remote, local, want string) error {
	if err := os.Mkdir(local, 0o755); err != nil {
		return err
	}
	if err := w.comm.DownloadDir(remote, local, nil); err != nil {
		return err
	}
	got, err := manifest(filepath.Join(local, filepath.Base(remote)))
	if err == nil && got != want {
		err = fmt.Errorf("arrived changed: %s", difference(got, want))
	}
	return err
}

func makeTree(r *rand.Rand, root string) error {
	for i := range 5 + r.IntN(30) {
		dir := filepath.Join(root, fmt.Sprintf("d%d", r.IntN(5)))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%02d", i)), randomBytes(r, r.IntN(20<<10)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// manifest is what sha256sum prints of the files of a tree.
func manifest(root string) (string, error) {
	var lines []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		lines = append(lines, fmt.Sprintf("%x  ./%s", sha256.Sum256(data), filepath.ToSlash(rel)))
		return err
	})
	return strings.Join(lines, "\n"), err // WalkDir goes in the order of names
}

// sameRemotely compares what a script prints on the instance, by Run Command, which the client has no part in.
func (w *world) sameRemotely(what, script, want string) error {
	out, err := w.root(context.Background(), script)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if got := strings.TrimSpace(out); got != want {
		return fmt.Errorf("%s arrived changed: %s", what, difference(got, want))
	}
	return nil
}

func (w *world) remove(path string) error {
	_, err := w.root(context.Background(), "rm -rf "+path)
	return err
}

const (
	rootLimit = 2 * time.Minute  // of a script by Run Command, reboots included
	onceLimit = 15 * time.Second // of one try
)

// root runs a script that can be repeated, by Run Command, through throttling and reboots, and also when ctx has ended.
func (w *world) root(ctx context.Context, script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rootLimit)
	defer cancel()
	for {
		out, err := w.runOnce(ctx, script)
		if err == nil || sleep(ctx, lookAgain) != nil {
			return out, err
		}
	}
}

func (w *world) runOnce(ctx context.Context, script string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, onceLimit)
	defer cancel()
	return w.cloud.Run(ctx, script)
}

// processes are the names of all that run on the instance, sorted.
func (w *world) processes(ctx context.Context) (string, error) {
	if _, err := w.root(ctx, "install -d -o ec2-user "+remoteDir); err != nil {
		return "", err
	}
	return w.root(ctx, "ps -eo user=,comm= | grep -vwE 'ps|sort|grep|sh|bash|ssm-.*' | sort")
}

// sameProcesses fails if the communicator has left something running on the instance.
func (w *world) sameProcesses(ctx context.Context, before string) error {
	var after string
	for deadline := time.Now().Add(settling); time.Now().Before(deadline); {
		var err error
		if after, err = w.processes(ctx); err != nil || after == before {
			return err
		}
		if err := sleep(ctx, lookAgain); err != nil {
			return err
		}
	}
	return fmt.Errorf("processes of the instance: %s", difference(after, before))
}

// noSessions fails if a session outlives the communicator.
func (w *world) noSessions() error {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for deadline := time.Now().Add(settling); time.Now().Before(deadline); <-tick.C {
		if len(w.cloud.Server.Channels().Live()) == 0 {
			return nil
		}
	}
	var ids []string
	for _, s := range w.cloud.Server.Channels().Live() {
		ids = append(ids, s.ID())
	}
	return fmt.Errorf("sessions left: %q", ids)
}

package communicator

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// packing is the tar stream of entries. It can be begun again.
type packing struct {
	entries []entry
	end     *io.PipeReader
	running sync.WaitGroup
}

func (p *packing) open() io.Reader {
	from, to := io.Pipe()
	p.end = from
	p.running.Go(func() { _ = to.CloseWithError(pack(to, p.entries)) })
	return from
}

func (p *packing) again() (io.Reader, error) {
	p.close()
	return p.open(), nil
}

func (p *packing) close() {
	_ = p.end.Close()
	p.running.Wait()
}

func pack(to io.Writer, entries []entry) error {
	w := tar.NewWriter(to)
	for _, e := range entries {
		if err := packOne(w, e); err != nil {
			return err
		}
	}
	return w.Close()
}

func packOne(w *tar.Writer, e entry) error {
	// Of GNU's format, for names of any length and in any bytes.
	head := &tar.Header{Format: tar.FormatGNU, Name: e.to, Mode: int64(e.info.Mode().Perm())}
	if e.info.IsDir() {
		head.Typeflag, head.Name = tar.TypeDir, e.to+"/"
		return w.WriteHeader(head)
	}
	f, err := os.Open(e.from)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head.Typeflag, head.Size = tar.TypeReg, info.Size()
	if err := w.WriteHeader(head); err != nil {
		return fmt.Errorf("%s: %w", e.from, err)
	}
	n, err := io.Copy(w, io.LimitReader(f, head.Size))
	if err == nil && n < head.Size {
		err = errors.New("it became shorter while it was read")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", e.from, err)
	}
	return nil
}

// packedSize is how long the stream will be, about.
func packedSize(entries []entry) int64 {
	const block = 512
	size := int64(2 * block)
	for _, e := range entries {
		size += block
		if len(e.to) > 99 {
			size += 2*block + int64(len(e.to))/block*block
		}
		if !e.info.IsDir() {
			size += (e.info.Size() + block - 1) / block * block
		}
	}
	return size
}

// unpacking writes a tar stream of one directory of the instance to this
// machine.
type unpacking struct {
	*io.PipeWriter
	base    string // what all names begin with, "." for nothing
	to      string // where the directory goes
	exclude exclusion
	modes   []func() error
	done    chan error
}

func newUnpacking(from, dst string, exclude exclusion) *unpacking {
	base := path.Base(from)
	if !filepath.IsLocal(base) {
		base = "." // of "/": what is in it
	}
	reader, writer := io.Pipe()
	u := &unpacking{PipeWriter: writer, base: base, to: filepath.Join(dst, base), exclude: exclude, done: make(chan error, 1)}
	go func() {
		err := u.unpack(reader)
		_ = reader.CloseWithError(err)
		u.done <- err
	}()
	return u
}

// close ends the stream and waits for what is unpacked. err is that of the
// download, nil if all has come.
func (u *unpacking) close(err error) error {
	_ = u.CloseWithError(err)
	unpackErr := <-u.done
	if err != nil {
		return err
	}
	if unpackErr != nil {
		return unpackErr
	}
	for _, set := range slices.Backward(u.modes) {
		if err := set(); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacking) unpack(from io.Reader) error {
	r := tar.NewReader(from)
	for {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, from) // padding
			return err
		}
		if err != nil {
			return err
		}
		if err := u.one(head, r); err != nil {
			return fmt.Errorf("%s: %w", head.Name, err)
		}
	}
}

func (u *unpacking) one(head *tar.Header, content io.Reader) error {
	rel, err := u.rel(head.Name)
	if err != nil || u.excluded(rel) {
		return err
	}
	to := filepath.Join(u.to, filepath.FromSlash(rel))
	mode := fs.FileMode(head.Mode).Perm()
	switch head.Typeflag {
	case tar.TypeDir:
		u.modes = append(u.modes, func() error { return os.Chmod(to, mode) })
		return os.MkdirAll(to, mode|0o700)
	case tar.TypeReg:
		return writeFile(to, mode, func(f *os.File) error {
			_, err := io.Copy(f, content)
			return err
		})
	}
	return fmt.Errorf("a tar entry of type %q", head.Typeflag)
}

// rel is an entry's path below the directory. The instance is not to choose
// where on this machine it writes.
func (u *unpacking) rel(name string) (string, error) {
	clean := path.Clean(name)
	switch {
	case u.base != "." && clean == u.base:
		clean = "."
	case u.base != ".":
		below, ok := strings.CutPrefix(clean, u.base+"/")
		if !ok {
			return "", errors.New("the name can't be used here")
		}
		clean = below
	}
	if !filepath.IsLocal(filepath.FromSlash(clean)) || filepath.Separator != '/' && strings.ContainsRune(clean, filepath.Separator) {
		return "", errors.New("the name can't be used here")
	}
	return clean, nil
}

// excluded tells whether an entry, or a directory that it is in, stays out.
func (u *unpacking) excluded(rel string) bool {
	for ; rel != "."; rel = path.Dir(rel) {
		if u.exclude.has(rel) {
			return true
		}
	}
	return false
}

// writeFile makes a file of this machine with what fill gives it.
func writeFile(to string, mode fs.FileMode, fill func(*os.File) error) error {
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode|0o200)
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil {
		err = f.Chmod(mode)
	}
	return errors.Join(err, f.Close())
}

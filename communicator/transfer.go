package communicator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/pkg/sftp"
)

// How files go over the line. OpenSSH takes packets of 32 KiB; with 64 of them
// under way, 2 MiB, the SSH window is full and round trips don't count.
const (
	packetSize  = 32 << 10
	packetsSent = 64
)

// Upload writes input to a file on the instance. A path that begins with "~/"
// or with no slash is below the user's home. The file gets the mode of fi,
// where that is given. A connection that is found lost before any input was
// read is made again; one that is lost later is an error, because the input
// can't be read twice.
func (c *Communicator) Upload(to string, input io.Reader, fi *os.FileInfo) error {
	counted := &countingReader{from: input}
	err := c.withFiles(func(files *sftp.Client) error {
		return send(files, remotePath(to), counted, fi)
	}, func() bool { return counted.n == 0 })
	if err != nil {
		return fmt.Errorf("upload to %s: %w", to, err)
	}
	return nil
}

// Download writes a file of the instance to output; paths are as for Upload.
func (c *Communicator) Download(from string, output io.Writer) error {
	counted := &countingWriter{to: output}
	err := c.withFiles(func(files *sftp.Client) error {
		return fetch(files, remotePath(from), counted)
	}, func() bool { return counted.n == 0 })
	if err != nil {
		return fmt.Errorf("download of %s: %w", from, err)
	}
	return nil
}

// withFiles runs a transfer on the living line, and once more on a new one
// when the line turns out to be lost and the transfer can still begin again.
func (c *Communicator) withFiles(transfer func(*sftp.Client) error, again func() bool) error {
	ctx, done := c.untilClosed(context.Background())
	defer done()
	for try := 0; ; try++ {
		on, err := c.answering(ctx)
		if err != nil {
			return err
		}
		err = on.files(transfer)
		if err == nil || !lost(ctx, on, err) {
			return err
		}
		if try > 0 || !again() {
			return fmt.Errorf("connection lost: %w", err)
		}
	}
}

// lost tells whether it was the line that failed a transfer. The server's own
// refusals come over a good line; after anything else the line is asked.
func lost(ctx context.Context, on *line, err error) bool {
	var refusal *sftp.StatusError
	if !on.alive() || errors.Is(err, sftp.ErrSSHFxConnectionLost) {
		return true
	}
	return !errors.As(err, &refusal) && !on.replies(ctx)
}

// files gives a transfer an SFTP client of its own.
func (l *line) files(transfer func(*sftp.Client) error) error {
	files, err := sftp.NewClient(l.client,
		sftp.MaxPacketChecked(packetSize),
		sftp.MaxConcurrentRequestsPerFile(packetsSent),
		sftp.UseConcurrentWrites(true), sftp.UseConcurrentReads(true))
	if err != nil {
		return fmt.Errorf("sftp: %w", err)
	}
	err = transfer(files)
	if closeErr := files.Close(); err == nil && closeErr != nil && !errors.Is(closeErr, io.EOF) {
		err = closeErr
	}
	return err
}

// send writes one file. Writes overlap, so what is left by one that failed may
// have holes: it is cut to nothing.
func send(files *sftp.Client, to string, input io.Reader, fi *os.FileInfo) error {
	f, err := files.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return explainOpen(files, to, err)
	}
	if _, err := f.ReadFromWithConcurrency(input, packetsSent); err != nil {
		_ = f.Truncate(0)
		_ = f.Close()
		return err
	}
	if fi != nil && (*fi).Mode().IsRegular() {
		if err := setMode(f, (*fi).Mode().Perm()); err != nil {
			_ = f.Close()
			return err
		}
	}
	return f.Close()
}

// setMode gives a file its mode. The user may write to a file of somebody else
// without being allowed that; such a file keeps its mode.
func setMode(f *sftp.File, mode fs.FileMode) error {
	err := f.Chmod(mode)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

// explainOpen says why a file can't be written, where the server only says
// "failure".
func explainOpen(files *sftp.Client, to string, err error) error {
	if info, statErr := files.Stat(to); statErr == nil && info.IsDir() {
		return fmt.Errorf("it is a directory; to put a file into it, end the destination with a slash")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; does the directory %s exist?", err, path.Dir(to))
	}
	return err
}

// fetch reads one file, in order and with reads under way ahead.
func fetch(files *sftp.Client, from string, output io.Writer) error {
	f, err := files.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("it is a directory; to download a directory, end the source with a slash")
	}
	_, err = f.WriteTo(output)
	return err
}

// remotePath is a path as the SFTP server takes it: from the user's home where
// it is relative, without the shell's sign for that.
func remotePath(p string) string {
	if p == "~" {
		return "."
	}
	if rest, ok := strings.CutPrefix(p, "~/"); ok {
		rest = strings.TrimLeft(rest, "/")
		if rest == "" {
			return "."
		}
		return rest
	}
	return p
}

type countingReader struct {
	from io.Reader
	n    int64
}

func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	r.n += int64(n)
	return n, err
}

type countingWriter struct {
	to io.Writer
	n  int64
}

func (w *countingWriter) Write(b []byte) (int, error) {
	n, err := w.to.Write(b)
	w.n += int64(n)
	return n, err
}

package communicator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

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
// where that is given; otherwise one that exists keeps its own. A file is
// replaced once all is there and its SHA-256 is right; what is a link, or is
// not the user's own, is written over then. Devices and the like are written
// as the data comes. What the file already has is not sent again.
//
// A connection that is lost on the way is made again, and the upload goes on
// where it was. After a reboot it begins again; that needs an input that can
// be read twice (an io.Seeker), unless the folder survives reboots.
func (c *Communicator) Upload(to string, input io.Reader, fi *os.FileInfo) error {
	if err := c.upload(remotePath(to), input, fi); err != nil {
		return fmt.Errorf("upload to %s: %w", to, err)
	}
	return nil
}

func (c *Communicator) upload(to string, input io.Reader, fi *os.FileInfo) error {
	src, err := readAhead(input, fi)
	if err != nil {
		return err
	}
	ctx, done := c.untilClosed(context.Background())
	defer done()
	if src.size < 0 || src.size >= stripeFrom {
		c.warm(c.lanesFor(src.size))
		c.foresee(src.size)
		if err := c.sendStriped(ctx, src, "file", to, fi); !errors.Is(err, errNotHere) {
			return err
		}
	}
	return c.sendPlain(to, src, fi)
}

// readAhead reads the beginning, by which it is known what is small. The size
// that fi gives is a hint: the input's end decides.
func readAhead(input io.Reader, fi *os.FileInfo) (source, error) {
	head := make([]byte, lanesFrom)
	n, ended, err := fill(input, head)
	switch {
	case err != nil:
		return source{}, err
	case ended:
		head = slices.Clip(head[:n])
		again := func() (io.Reader, error) { return bytes.NewReader(head), nil }
		return source{from: bytes.NewReader(head), again: again, size: int64(n)}, nil
	}
	src := source{from: io.MultiReader(bytes.NewReader(head), input), size: -1}
	if fi != nil && (*fi).Mode().IsRegular() && (*fi).Size() >= int64(n) {
		src.size = (*fi).Size()
	}
	if seeker, ok := input.(io.Seeker); ok {
		if at, err := seeker.Seek(0, io.SeekCurrent); err == nil && at >= int64(n) {
			src.again = func() (io.Reader, error) {
				_, err := seeker.Seek(at-int64(n), io.SeekStart)
				return input, err
			}
			if end, err := seeker.Seek(0, io.SeekEnd); err == nil {
				src.size = end - at + int64(n)
			}
			if _, err := seeker.Seek(at, io.SeekStart); err != nil {
				return source{}, err
			}
		}
	}
	return src, nil
}

// fill is io.ReadFull for an input whose own failure may be an unexpected end,
// which must not pass for the end.
func fill(input io.Reader, b []byte) (n int, ended bool, err error) {
	for n < len(b) {
		k, err := input.Read(b[n:])
		n += k
		if err == io.EOF { // a wrapped one is a failure
			return n, true, nil
		}
		if err != nil {
			return n, false, err
		}
	}
	return n, false, nil
}

// sendPlain writes a file in its place, over the line.
func (c *Communicator) sendPlain(to string, src source, fi *os.FileInfo) error {
	counted := &countingReader{from: src.from}
	return c.withFiles(func(files *sftp.Client) error {
		if counted.n > 0 {
			from, err := src.again()
			if err != nil {
				return err
			}
			counted = &countingReader{from: from}
		}
		return send(files, to, counted, fi)
	}, func() bool { return counted.n == 0 || src.again != nil })
}

// Download writes a file of the instance to output; paths are as for Upload. A
// connection that is lost on the way is made again. A file that changes
// meanwhile is an error, if it is not so small that it is read at once.
func (c *Communicator) Download(from string, output io.Writer) error {
	if err := c.download(remotePath(from), output); err != nil {
		return fmt.Errorf("download of %s: %w", from, err)
	}
	return nil
}

func (c *Communicator) download(from string, output io.Writer) error {
	counted := &countingWriter{to: output}
	begin := func() bool { return counted.n == 0 }
	large := int64(0)
	err := c.withFiles(func(files *sftp.Client) error {
		return fetch(files, from, counted, func(f *sftp.File, info fs.FileInfo) (elsewhere bool) {
			large = 0
			if c.pieceworthy(f, info) {
				large = info.Size()
				c.warm(c.lanesFor(large))
			}
			return large > 0
		})
	}, begin)
	if err != nil || large == 0 {
		return err
	}
	ctx, done := c.untilClosed(context.Background())
	defer done()
	if err := c.fetchStriped(ctx, "file", from, output); !errors.Is(err, errNotHere) {
		return err
	}
	return c.withFiles(func(files *sftp.Client) error { return fetch(files, from, counted, nil) }, begin)
}

// pieceworthy tells whether a file is better downloaded in pieces. One that is
// too small to open sessions for is, where they are open or its beginning can
// be compressed.
func (c *Communicator) pieceworthy(f *sftp.File, info fs.FileInfo) bool {
	if !info.Mode().IsRegular() || info.Size() < stripeFrom {
		return false
	}
	if info.Size() >= lanesFrom || c.lanesOpen() > 1 {
		return true
	}
	c.foresee(info.Size())
	sample := make([]byte, sampleSize)
	n, err := f.ReadAt(sample, info.Size()/2)
	return err == nil && pays(new(packer).squeeze(sample[:n]), n)
}

// fileTries is how often a transfer on the line begins again.
const fileTries = 10

// withFiles runs a transfer on the living line, and again on a new one when the
// line turns out to be lost and the transfer can still begin again.
func (c *Communicator) withFiles(transfer func(*sftp.Client) error, again func() bool) error {
	ctx, done := c.untilClosed(context.Background())
	defer done()
	for try := 0; ; try++ {
		on, err := c.answering(ctx)
		if err != nil {
			return err
		}
		release, err := on.bind() // it may be past its beginning
		if err == nil {
			err = c.files(on, transfer)
			release()
		}
		if err == nil || !lost(ctx, on, err) {
			return err
		}
		if try == fileTries || !again() {
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

// sftpClient is kept from one transfer to the next, which saves three round
// trips. Any number may use it at the same time.
type sftpClient struct {
	mu     sync.Mutex
	on     *line
	client *sftp.Client
}

// get is the client on a line.
func (s *sftpClient) get(on *line) (*sftp.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on == on && s.client != nil {
		return s.client, nil
	}
	client, err := sftp.NewClient(on.client,
		sftp.MaxPacketChecked(packetSize),
		sftp.MaxConcurrentRequestsPerFile(packetsSent),
		sftp.UseConcurrentWrites(true), sftp.UseConcurrentReads(true))
	if err != nil {
		return nil, fmt.Errorf("sftp: %w", err)
	}
	s.on, s.client = on, client
	return client, nil
}

// drop forgets a client that is broken, and ends it.
func (s *sftpClient) drop(client *sftp.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == client {
		s.on, s.client = nil, nil
	}
	_ = client.Close()
}

// files gives a transfer an SFTP client.
func (c *Communicator) files(on *line, transfer func(*sftp.Client) error) error {
	client, err := c.sftp.get(on)
	if err != nil {
		return err
	}
	err = transfer(client)
	if errors.Is(err, sftp.ErrSSHFxConnectionLost) {
		c.sftp.drop(client)
	}
	return err
}

// send writes one file. Writes overlap, so what is left by one that failed may
// have holes: a new file is removed then, one that was there is cut to nothing.
func send(files *sftp.Client, to string, input io.Reader, fi *os.FileInfo) error {
	fresh := true
	f, err := files.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		fresh = false
		f, err = files.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	}
	if err != nil {
		return explainOpen(files, to, err)
	}
	if _, err := f.ReadFromWithConcurrency(input, packetsSent); err != nil {
		err = explainWrite(files, to, err)
		_ = f.Truncate(0)
		_ = f.Close()
		if fresh {
			_ = files.Remove(to)
		}
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

// explainWrite says so when it is for want of space, where the server only says
// "failure".
func explainWrite(files *sftp.Client, to string, err error) error {
	var status *sftp.StatusError
	if !errors.As(err, &status) {
		return err
	}
	if disk, statErr := files.StatVFS(path.Dir(to)); statErr == nil && disk.Bavail*disk.Frsize < packetSize {
		return fmt.Errorf("%w: %w in %s", err, errNoSpace, path.Dir(to))
	}
	return err
}

var errNoSpace = errors.New("no space left on the instance")

// fetch reads one file, in order and with reads under way ahead, unless
// elsewhere says that it is not to be read like this.
func fetch(files *sftp.Client, from string, output io.Writer, elsewhere func(*sftp.File, fs.FileInfo) bool) error {
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
	if elsewhere != nil && elsewhere(f, info) {
		return nil
	}
	if size := info.Size(); info.Mode().IsRegular() && size > 0 && size <= packetSize*packetsSent {
		return fetchAtOnce(f, int(size), output)
	}
	_, err = f.WriteTo(output)
	return err
}

// fetchAtOnce asks for all of a file in one go, which WriteTo begins by asking
// for the size once more.
func fetchAtOnce(f *sftp.File, size int, output io.Writer) error {
	content := make([]byte, size)
	n, err := f.ReadAt(content, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err = output.Write(content[:n])
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

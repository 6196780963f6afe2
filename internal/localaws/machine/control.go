//go:build linux

package machine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// The host talks to a machine's process 1 over one stream socket. A message is its length in four bytes and JSON; open
// files travel with the first byte. Requests have an ID, to which answers refer; one request can have several answers.

// maxMessage bounds a message: an argument list is at most 2 MiB on Linux.
const maxMessage = 8 << 20

type operation string

const (
	opBoot   operation = "boot"   // bootConfig in, then ok when the system is up
	opExec   operation = "exec"   // 3 files in; answered twice: started, exited
	opKill   operation = "kill"   // kills the process group of exec Target
	opResize operation = "resize" // sets the terminal size of exec Target
	opDial   operation = "dial"   // answered with a connected socket
	opHalt   operation = "halt"   // process 1 ends; graceful or not
)

// A request goes from the host to process 1.
type request struct {
	ID       uint64
	Op       operation
	Boot     *bootConfig  `json:",omitempty"`
	Exec     *execRequest `json:",omitempty"`
	Target   uint64       `json:",omitempty"`
	Rows     uint16       `json:",omitempty"`
	Cols     uint16       `json:",omitempty"`
	Port     int          `json:",omitempty"`
	Graceful bool         `json:",omitempty"`
}

type execRequest struct {
	Path      string
	Args, Env []string
	Dir, User string
	Terminal  bool
	Rows      uint16 `json:",omitempty"` // of the terminal, at the start
	Cols      uint16 `json:",omitempty"`
}

// A reply goes from process 1 to the host.
type reply struct {
	ID      uint64
	Started bool          `json:",omitempty"`
	Exited  bool          `json:",omitempty"`
	Status  int           `json:",omitempty"` // exit status, or 128 + signal
	Error   string        `json:",omitempty"`
	Errno   syscall.Errno `json:",omitempty"`
}

func (r reply) err() error {
	switch {
	case r.Error == "":
		return nil
	case r.Errno != 0:
		return fmt.Errorf("%s: %w", r.Error, r.Errno)
	}
	return errors.New(r.Error)
}

// failed is a reply that carries err, with its errno if it has one.
func failed(id uint64, err error) reply {
	r := reply{ID: id, Error: err.Error()}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		r.Errno = errno
		if text, cut := cutSuffix(r.Error, ": "+errno.Error()); cut {
			r.Error = text
		}
	}
	return r
}

func cutSuffix(s, suffix string) (string, bool) {
	if len(s) > len(suffix) && s[len(s)-len(suffix):] == suffix {
		return s[:len(s)-len(suffix)], true
	}
	return s, false
}

// A channel is one end of the socket.
type channel struct {
	conn *net.UnixConn
	mu   sync.Mutex // held while a message is written
}

// newChannel takes file over.
func newChannel(file *os.File) (*channel, error) {
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.New("control file is not a unix socket")
	}
	return &channel{conn: unixConn}, nil
}

// channelPair returns our end and the file to hand to process 1.
func channelPair() (*channel, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "control")
	ours, err := newChannel(os.NewFile(uintptr(fds[0]), "control"))
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return ours, theirs, nil
}

func (c *channel) close() error { return c.conn.Close() }

// send writes one message, with files if there are any.
func (c *channel) send(message any, files ...*os.File) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n, _, err := c.conn.WriteMsgUnix(frame, rights, nil)
	if err == nil && n < len(frame) {
		_, err = c.conn.Write(frame[n:])
	}
	return err
}

// receive reads one message into message. The caller owns the files.
func (c *channel) receive(message any) ([]*os.File, error) {
	head := make([]byte, 4)
	oob := make([]byte, unix.CmsgSpace(8*4))
	n, oobn, _, _, err := c.conn.ReadMsgUnix(head, oob)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, io.EOF
	}
	files, err := rightsOf(oob[:oobn])
	if err != nil {
		return nil, err
	}
	if err := c.receiveBody(head, n, message); err != nil {
		closeAll(files...)
		return nil, err
	}
	return files, nil
}

func (c *channel) receiveBody(head []byte, n int, message any) error {
	if _, err := io.ReadFull(c.conn, head[n:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head)
	if size > maxMessage {
		return fmt.Errorf("control message of %d bytes", size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c.conn, body); err != nil {
		return err
	}
	return json.Unmarshal(body, message)
}

func rightsOf(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue // not rights: nothing that needs closing
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	return files, nil
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		_ = f.Close() // nothing was written through it that a failed close could lose
	}
}

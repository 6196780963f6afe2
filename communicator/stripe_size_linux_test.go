package communicator_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/taccoform/packer-plugin-ssm/communicator"
)

func TestFilesOfAllSizes(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	c := g.connect(t, communicator.Config{})
	text := []byte(strings.Repeat("line after line\n", 1<<18))
	for name, content := range map[string][]byte{
		"empty": nil, "byte": {0}, "newline": []byte("\n"), "limit": random(256 << 10), "over": random(256<<10 + 1),
		"5 MiB": random(5 << 20), "text": text, "64 MiB": random(64 << 20), "holes": append(make([]byte, 3<<20), random(3<<20+5)...),
	} {
		to, sum := "/tmp/it's "+name, hexSum(content)
		if err := c.Upload(to, onlyReader{bytes.NewReader(content)}, nil); err != nil {
			t.Fatal(err)
		}
		if got := g.must(t, `sha256sum <"`+to+`"; stat -c '%a %U' "`+to+`"`); got != sum+"  -\n644 ec2-user" {
			t.Errorf("%s: on the instance %q", name, got)
		}
		back := &counted{sum: sha256.New()}
		if err := c.Download(to, back); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(back.sum.Sum(nil)); back.n != len(content) || got != sum {
			t.Errorf("%s: %d bytes came back, want %d equal ones", name, back.n, len(content))
		}
	}
	if blocks, err := strconv.Atoi(g.must(t, `stat -c %b "/tmp/it's holes"`)); err != nil || blocks > 7000 { // of 512 bytes; 6144 hold what is in it
		t.Errorf("a file with a hole takes %d blocks, %v", blocks, err)
	}
	g.clean(t)
}

func TestLargeUploadsHoldLittleMemory(t *testing.T) {
	g := newGuest(t)
	c := g.connect(t, communicator.Config{})
	const size = 256 << 20
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	peak := &peak{}
	in := io.TeeReader(io.LimitReader(&endless{block: random(1 << 20)}, size), peak)
	if err := c.Upload("/tmp/big", onlyReader{in}, nil); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MiB more in use at most", (int64(peak.inUse)-int64(before.HeapInuse))>>20)
	if extra := int64(peak.inUse) - int64(before.HeapInuse); extra > 64<<20 {
		t.Errorf("upload: %d MiB more in use", extra>>20)
	}
	peak.inUse = 0
	if err := c.Download("/tmp/big", peak); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MiB more in use at most", (int64(peak.inUse)-int64(before.HeapInuse))>>20)
	if extra := int64(peak.inUse) - int64(before.HeapInuse); extra > 64<<20 {
		t.Errorf("download: %d MiB more in use", extra>>20)
	}
}

type endless struct {
	block []byte
	at    int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.block[e.at:])
	e.at = (e.at + n) % len(e.block)
	return n, nil
}

type peak struct {
	n     int
	inUse uint64
}

func (p *peak) Write(b []byte) (int, error) {
	if p.n += len(b); p.n > 4<<20 {
		p.n = 0
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		p.inUse = max(p.inUse, now.HeapInuse)
	}
	return len(b), nil
}

// counted takes what comes back.
type counted struct {
	n   int
	sum hash.Hash
}

func (c *counted) Write(b []byte) (int, error) {
	c.n += len(b)
	return c.sum.Write(b)
}

// hollow is a file of so many bytes that has nothing in it but its end.
type hollow struct{ size int64 }

func (h hollow) ReadAt(b []byte, off int64) (int, error) {
	clear(b)
	for i, c := range []byte("end") {
		if at := h.size - 3 + int64(i) - off; at >= 0 && at < int64(len(b)) {
			b[at] = c
		}
	}
	return len(b), nil
}

func TestSparseFile(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	c := g.connect(t, communicator.Config{})
	const size = 1 << 30 // make bench has one of 4 GiB
	before := g.sent.Load()
	if err := c.Upload("/tmp/sparse", io.NewSectionReader(hollow{size}, 0, size), nil); err != nil {
		t.Fatal(err)
	}
	if sent := g.sent.Load() - before; sent > 1<<20 {
		t.Errorf("%d bytes went", sent)
	}
	if got := g.must(t, "stat -c %s /tmp/sparse; tail -c 4 /tmp/sparse | od -An -c | tr -d ' '; du -k /tmp/sparse | cut -f1"); !strings.HasPrefix(got, fmt.Sprint(size, "\n\\0end\n")) || len(got) > 21 {
		t.Errorf("on the instance %q", got)
	}
	g.clean(t)
}

package communicator

import (
	"bytes"
	"compress/gzip"
)

// packer compresses pieces where that pays.
type packer struct {
	off bool
	buf bytes.Buffer
	gz  *gzip.Writer
}

const sampleSize = 16 << 10

// pays tells whether so much for so much is worth it.
func pays(packed, raw int) bool { return packed < raw-raw/16 }

// pack gives the piece as it is to be sent. The result is good until the next
// call.
func (k *packer) pack(raw []byte) (how string, data []byte) {
	if k.off || !pays(k.squeeze(raw[:min(len(raw), sampleSize)]), min(len(raw), sampleSize)) {
		return "plain", raw
	}
	if len(raw) > sampleSize && !pays(k.squeeze(raw), len(raw)) {
		return "plain", raw
	}
	return "gzip", k.buf.Bytes()
}

func (k *packer) squeeze(raw []byte) int {
	k.buf.Reset()
	if k.gz == nil {
		k.gz = gzip.NewWriter(&k.buf)
	} else {
		k.gz.Reset(&k.buf)
	}
	_, _ = k.gz.Write(raw) // a buffer takes all
	_ = k.gz.Close()
	return k.buf.Len()
}

var zeros [4 << 10]byte

func zero(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), len(zeros))
		if !bytes.Equal(b[:n], zeros[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}

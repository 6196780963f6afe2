package agentmsg

import (
	"encoding/hex"
	"errors"
)

// ErrUUID says that a text is not a hyphenated UUID.
var ErrUUID = errors.New("not a UUID")

// UUID is a message id in its logical byte order.
type UUID [16]byte

// String gives the canonical hyphenated form.
func (u UUID) String() string {
	b := make([]byte, 0, 36)
	for i, part := range [][]byte{u[0:4], u[4:6], u[6:8], u[8:10], u[10:16]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, part)
	}
	return string(b)
}

// ParseUUID reads the canonical hyphenated form.
func ParseUUID(s string) (UUID, error) {
	var u UUID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return u, ErrUUID
	}
	digits := s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36]
	if _, err := hex.Decode(u[:], []byte(digits)); err != nil {
		return UUID{}, ErrUUID
	}
	return u, nil
}

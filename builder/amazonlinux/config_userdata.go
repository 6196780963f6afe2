package amazonlinux

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"regexp"
)

// agentPackage is the package that user data has to install on an image without the SSM agent.
const agentPackage = "amazon-ssm-agent"

// Bounds of the look into user data, which may be packed in layers.
const (
	userDataLayers = 5
	unpackedLimit  = 4 << 20
)

// mentionsAgent tells whether user data speaks of the SSM agent's package: as text
// of any kind (a script, cloud-config, a boothook), or packed as cloud-init
// takes it: gzip, base64, MIME, and the packed contents of a cloud-config's files.
func mentionsAgent(data []byte) bool { return mentions(data, userDataLayers) }

func mentions(data []byte, layers int) bool {
	if bytes.Contains(data, []byte(agentPackage)) {
		return true
	}
	if layers == 0 || len(data) == 0 {
		return false
	}
	if inside, ok := unzipped(data); ok {
		return mentions(inside, layers-1)
	}
	for _, part := range mimeParts(data) {
		if mentions(part, layers-1) {
			return true
		}
	}
	for _, inside := range base64Runs(data) {
		if mentions(inside, layers-1) {
			return true
		}
	}
	return false
}

func unzipped(data []byte) ([]byte, bool) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, false
	}
	r.Multistream(false) // what follows may be no gzip
	inside, err := io.ReadAll(io.LimitReader(r, unpackedLimit))
	return inside, err == nil
}

// mimeParts are the decoded parts of a MIME message, if that is what data is.
// A part that is cut short counts as far as it goes.
func mimeParts(data []byte) [][]byte {
	message, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	kind, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return nil
	}
	if params["boundary"] == "" || len(kind) < len("multipart/") || kind[:len("multipart/")] != "multipart/" {
		return [][]byte{decoded(message.Body, message.Header.Get("Content-Transfer-Encoding"))}
	}
	var parts [][]byte
	for r := multipart.NewReader(message.Body, params["boundary"]); ; {
		part, err := r.NextRawPart()
		if err != nil {
			return parts
		}
		parts = append(parts, decoded(part, part.Header.Get("Content-Transfer-Encoding")))
	}
}

func decoded(body io.Reader, encoding string) []byte {
	switch encoding {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	data, _ := io.ReadAll(io.LimitReader(body, unpackedLimit))
	return data
}

// base64Run is long enough to hold the package's name, and may go over lines with blanks before them.
var base64Run = regexp.MustCompile(`[A-Za-z0-9+/]{16,}(\r?\n[ \t]*[A-Za-z0-9+/]+)*={0,2}`)

// base64Runs are the decoded stretches of a text that are base64.
func base64Runs(data []byte) [][]byte {
	var all [][]byte
	for _, run := range base64Run.FindAll(data, -1) {
		run = blanks.ReplaceAll(run, nil)
		run = run[:len(run)/4*4]
		if inside, err := base64.StdEncoding.DecodeString(string(run)); err == nil {
			all = append(all, inside)
		}
	}
	return all
}

var blanks = regexp.MustCompile(`\s`)

// userDataSays is what an image without agent is told of the user data.
func (c *Config) userDataSays() string {
	if c.userData == "" {
		return ""
	}
	return ", and the user data does not speak of " + agentPackage
}

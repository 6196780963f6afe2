//go:build linux

package machine

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const maxUserData = 16 << 20 // when uncompressed

// finishBoot does what cloud-init does last: it runs the user data, on the first boot only, and says that it is done.
func (g *guest) finishBoot(first bool) {
	go func() { // ends with the user data, or the machine
		if first {
			if err := g.runUserData(); err != nil {
				logLine(cloudLog, "user data: %v", err)
			}
		}
		now := time.Now().UTC()
		text := fmt.Sprintf("%s - localaws stand-in for cloud-init finished\n", now.Format(time.RFC1123Z))
		if err := os.WriteFile(finishedFile, []byte(text), 0o644); err != nil {
			complain(err)
		}
		if err := os.WriteFile("/run/cloud-init/result.json", []byte(`{"v1": {"datasource": "DataSourceEc2Local", "errors": []}}`+"\n"), 0o644); err != nil {
			complain(err)
		}
	}()
}

func logLine(path, format string, args ...any) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		complain(err)
		return
	}
	defer closeAll(file)
	if _, err := fmt.Fprintf(file, time.Now().UTC().Format("2006-01-02 15:04:05,000")+" - "+format+"\n", args...); err != nil {
		complain(err)
	}
}

// A part is one piece of user data with its content type.
type part struct {
	kind string
	body []byte
}

func (g *guest) runUserData() error {
	parts, err := partsOf(g.config.UserData)
	if err != nil {
		return err
	}
	var all []error
	for i, p := range parts {
		switch p.kind {
		case "text/x-shellscript":
			all = append(all, g.runScript(fmt.Sprintf("part-%03d", i+1), p.body))
		case "text/cloud-config":
			all = append(all, fmt.Errorf("part %d: cloud-config is not simulated and was ignored", i+1))
		default:
			all = append(all, fmt.Errorf("part %d: content type %s is not simulated and was ignored", i+1, p.kind))
		}
	}
	return errors.Join(all...)
}

// partsOf takes user data apart: gzip, MIME multipart, or one document whose first line says what it is.
func partsOf(data []byte) ([]part, error) {
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		if data, err = io.ReadAll(io.LimitReader(unzipped, maxUserData)); err != nil {
			return nil, err
		}
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	if message, err := mail.ReadMessage(bytes.NewReader(data)); err == nil {
		kind, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
		if err == nil && strings.HasPrefix(kind, "multipart/") {
			return multiparts(message.Body, params["boundary"])
		}
	}
	return []part{{kind: sniff(data, "text/plain"), body: data}}, nil
}

func multiparts(body io.Reader, boundary string) ([]part, error) {
	var parts []part
	for reader := multipart.NewReader(body, boundary); ; {
		p, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return parts, nil
		}
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(decoded(p))
		if err != nil {
			return nil, err
		}
		kind, _, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if err != nil {
			kind = "text/plain"
		}
		parts = append(parts, part{kind: sniff(data, kind), body: data})
	}
}

func decoded(p *multipart.Part) io.Reader {
	if strings.EqualFold(p.Header.Get("Content-Transfer-Encoding"), "base64") {
		return base64.NewDecoder(base64.StdEncoding, p)
	}
	return p
}

// sniff is the content type that the data's first line says, or otherwise.
func sniff(data []byte, otherwise string) string {
	if otherwise != "text/plain" {
		return otherwise
	}
	switch {
	case bytes.HasPrefix(data, []byte("#!")):
		return "text/x-shellscript"
	case bytes.HasPrefix(data, []byte("#cloud-config")):
		return "text/cloud-config"
	}
	return otherwise
}

// runScript runs one script as root; what it prints goes to cloud-init's output log.
func (g *guest) runScript(name string, body []byte) error {
	dir := filepath.Join(instanceLink, "scripts")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, body, 0o700); err != nil {
		return err
	}
	return g.runLogged(path)
}

// runLogged runs argv as root with its output in cloud-init's output log.
func (g *guest) runLogged(argv ...string) error {
	log, err := os.OpenFile(outputLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	defer closeAll(log)
	null, err := os.Open("/dev/null")
	if err != nil {
		return err
	}
	defer closeAll(null)
	root, err := lookupAccount("root")
	if err != nil {
		return err
	}
	path, err := lookPath(argv[0], root.environment())
	if err != nil {
		return err
	}
	p, err := g.reaper.start(path, argv, &syscall.ProcAttr{
		Dir: "/", Env: root.environment(), Files: []uintptr{null.Fd(), log.Fd(), log.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	<-p.done
	if p.status != 0 {
		return fmt.Errorf("%s: exit status %d", filepath.Base(argv[0]), p.status)
	}
	return nil
}

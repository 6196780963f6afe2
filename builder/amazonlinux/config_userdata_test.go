package amazonlinux

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

func zipped(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// folded is base64 in lines of 40, each with blanks before it.
func folded(text, indent string) string {
	encoded := base64.StdEncoding.EncodeToString([]byte(text))
	var out strings.Builder
	for len(encoded) > 40 {
		out.WriteString(indent + encoded[:40] + "\n")
		encoded = encoded[40:]
	}
	return out.String() + indent + encoded + "\n"
}

// user data that installs the agent, and some that does not, in each form that cloud-init takes.
const (
	installs  = "#!/bin/sh\nset -e\ndnf install -y amazon-ssm-agent\nsystemctl enable --now amazon-ssm-agent\n"
	needsMore = "#!/bin/sh\nset -e\ndnf install -y nginx\nsystemctl enable --now nginx\n"
)

func inMIME(encoding, body string) string {
	const form = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"//\"\n\n--//\n" +
		"Content-Type: text/cloud-config\n\n#cloud-config\nfqdn: web\n\n--//\nContent-Type: text/x-shellscript; charset=\"us-ascii\"\n" +
		"Content-Transfer-Encoding: %s\n\n%s\n--//--\n"
	return fmt.Sprintf(form, encoding, body)
}

func TestMentionsAgent(t *testing.T) {
	for name, form := range map[string]func(script string) string{
		"script":               func(s string) string { return s },
		"gzip":                 func(s string) string { return zipped(t, s) },
		"base64":               func(s string) string { return folded(s, "") },
		"base64 of gzip":       func(s string) string { return folded(zipped(t, s), "") },
		"MIME":                 func(s string) string { return inMIME("7bit", s) },
		"MIME, base64":         func(s string) string { return inMIME("base64", folded(s, "")) },
		"MIME, base64 of gzip": func(s string) string { return inMIME("base64", folded(zipped(t, s), "")) },
		"MIME, quoted":         func(s string) string { return inMIME("quoted-printable", strings.ReplaceAll(s, "-ssm-", "-s=\nsm-")) },
		"gzip of MIME":         func(s string) string { return zipped(t, inMIME("base64", folded(s, ""))) },
		"cloud-config, b64": func(s string) string {
			return "#cloud-config\nwrite_files:\n- path: /run/x\n  encoding: b64\n  content: " + strings.TrimSpace(folded(s, "    ")) + "\n  permissions: '0755'\n"
		},
		"cloud-config, gz+b64": func(s string) string {
			return "#cloud-config\nwrite_files:\n- encoding: gz+b64\n  content: |\n" + folded(zipped(t, s), "    ") + "  owner: root:root\n"
		},
		"cloud-config, packages": func(s string) string { return "#cloud-config\npackages:\n- " + strings.Fields(s)[6] + "\n" },
		"a single part": func(s string) string {
			return "Content-Type: text/x-shellscript\nContent-Transfer-Encoding: base64\nMIME-Version: 1.0\n\n" + folded(s, "")
		},
	} {
		if !mentionsAgent([]byte(form(installs))) {
			t.Errorf("%s: the agent is not seen in\n%s", name, form(installs))
		}
		if mentionsAgent([]byte(form(needsMore))) {
			t.Errorf("%s: an agent is seen in\n%s", name, form(needsMore))
		}
	}
	for _, broken := range []string{"", "\x1f\x8b", "\x1f\x8b\x08garbage", "MIME-Version: 1.0\nContent-Type: multipart/mixed\n\n", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n"} {
		if mentionsAgent([]byte(broken)) {
			t.Errorf("an agent is seen in %q", broken)
		}
	}
}

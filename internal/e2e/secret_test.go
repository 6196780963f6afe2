//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// TestSecretsStaySecret builds with every log on and looks for what must never be in one.
func TestSecretsStaySecret(t *testing.T) {
	w := newWorld(t, localaws.Options{})
	tap := &tokenTap{}
	front := tap.inFrontOf(t, w.aws.URL())
	w.packer = w.packer.With("AWS_ENDPOINT_URL="+front, "PACKER_LOG=1")
	o := w.must(w.template(source(`user_data = "#!/bin/sh\n: canary-in-user-data\n"`, `
  provisioner "shell" {
    inline = ["echo the build has run"]
  }`)), "build", "-color=false", ".")
	w.says(o, "the build has run")

	secrets := map[string]string{"the user data": "canary-in-user-data", "a private key": "PRIVATE KEY-----"}
	for _, entry := range w.aws.Environ() {
		if key, is := strings.CutPrefix(entry, "AWS_SECRET_ACCESS_KEY="); is {
			secrets["the secret access key"] = key
		}
	}
	tokens := tap.seen()
	if len(tokens) == 0 {
		t.Error("no token passed by; the test looks in the wrong place")
	}
	for _, token := range tokens {
		secrets["the token of a session"] = token
	}
	for name, secret := range secrets {
		if at := strings.Index(o.output, secret); at >= 0 {
			t.Errorf("%s is in the log: %s", name, o.output[max(0, at-80):at])
		}
	}
}

// A tokenTap reads the tokens of sessions on their way to the client.
type tokenTap struct {
	mu     sync.Mutex
	tokens []string
}

func (tap *tokenTap) inFrontOf(t *testing.T, endpoint string) string {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		// The host stays the client's: its signature covers it.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		ModifyResponse: tap.read,
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server.URL
}

func (tap *tokenTap) read(r *http.Response) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var answer struct{ TokenValue string }
	if json.Unmarshal(body, &answer) == nil && answer.TokenValue != "" {
		tap.mu.Lock()
		defer tap.mu.Unlock()
		tap.tokens = append(tap.tokens, answer.TokenValue)
	}
	return nil
}

func (tap *tokenTap) seen() []string {
	tap.mu.Lock()
	defer tap.mu.Unlock()
	return tap.tokens
}

package awsclient_test

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

// TestWebsocketClientTrustsTheBundle has a server whose certificate only AWS_CA_BUNDLE vouches for, and which speaks
// HTTP/2 with whoever can.
func TestWebsocketClientTrustsTheBundle(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(bundle, text, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	cfg, err := awsclient.Load(t.Context(), awsclient.Options{Region: "us-east-1", AccessKey: "AKIAIOSFODNN7EXAMPLE", SecretKey: "secret", SkipProof: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := answer(t, cfg.HTTPClient, server.URL); got != "HTTP/2.0" {
		t.Errorf("a call to the API is made in %q", got)
	}
	if got := answer(t, awsclient.WebsocketClient(cfg), server.URL); got != "HTTP/1.1" {
		t.Errorf("a websocket is opened in %q", got)
	}
}

func answer(t *testing.T, client aws.HTTPClient, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestWebsocketClientOfAnother(t *testing.T) {
	if got := awsclient.WebsocketClient(aws.Config{HTTPClient: http.DefaultClient}); got != nil {
		t.Errorf("got %v", got)
	}
}

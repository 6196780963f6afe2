//go:build linux

package communicator_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/communicator"
	"github.com/taccoform/packer-plugin-ssm/session"
)

// A process looks at HTTPS_PROXY and NO_PROXY once, so these are tried in a
// process of their own.
const (
	streamVariable   = "COMMUNICATOR_TEST_STREAM"   // where the service's websockets are to be found
	instanceVariable = "COMMUNICATOR_TEST_INSTANCE" // and the instance
	refusedVariable  = "COMMUNICATOR_TEST_REFUSED"  // set where there is no way there: no more than a session is tried

	streamHost = "stream.example.com" // a name of httptest's certificate
)

// behindProxy is that process: it uploads what it is given, and runs a command.
func behindProxy() int {
	if err := throughProxy(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func throughProxy() error {
	conf := aws.Config{
		Region: os.Getenv("AWS_REGION"), BaseEndpoint: aws.String(os.Getenv("AWS_ENDPOINT_URL")),
		Credentials: credentials.NewStaticCredentialsProvider(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), ""),
	}
	c := &cloud{ssm: ssm.NewFromConfig(conf), instance: os.Getenv(instanceVariable)}
	opts := session.Options{}
	open := func(ctx context.Context, number int) (*session.Port, error) {
		return session.OpenPort(ctx, c.service(number, func(to string) string {
			u, err := url.Parse(to)
			if err != nil {
				return to
			}
			u.Scheme, u.Host = "wss", os.Getenv(streamVariable)
			return u.String()
		}), opts)
	}
	if os.Getenv(refusedVariable) != "" {
		opts.HandshakeTimeout = 3 * time.Second
		p, err := open(context.Background(), 22)
		if err != nil {
			return err
		}
		return p.Close()
	}
	comm, err := communicator.Connect(context.Background(), communicator.Link{OpenPort: open, Run: c.run, Online: c.online},
		communicator.Config{Sessions: 1})
	if err != nil {
		return err
	}
	err = comm.Upload("/tmp/proxied", os.Stdin, nil)
	cmd := &packersdk.RemoteCmd{Command: "exit 29"}
	if err == nil {
		err = comm.Start(context.Background(), cmd)
	}
	if err == nil && cmd.Wait() != 29 {
		err = fmt.Errorf("exit status %d", cmd.ExitStatus())
	}
	return errors.Join(err, comm.Close())
}

// proxiedByEnvironment has the service be where only the proxy gets, which
// drops its tunnels in mid-transfer.
func proxiedByEnvironment(t *testing.T, shared *cloud) {
	origin, err := url.Parse(shared.server.URL())
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(origin)
		r.Out.URL.RawQuery = r.In.URL.RawQuery
	}})
	defer front.Close()
	defer front.CloseClientConnections()
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := newProxy(t, streamHost+":443", front.Listener.Addr().String())
	unused := newProxy(t, streamHost+":443", front.Listener.Addr().String())
	content := random(1 << 20)
	run := func(proxy *connectProxy, past, refused string) (child *exec.Cmd, stderr *bytes.Buffer) {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		child, stderr = exec.CommandContext(t.Context(), self), &bytes.Buffer{}
		child.Env = append(os.Environ(), shared.server.Environ()...)
		child.Env = append(child.Env, streamVariable+"="+streamHost, instanceVariable+"="+shared.instance,
			"HTTPS_PROXY="+proxy.server.URL, "SSL_CERT_FILE="+roots, "NO_PROXY="+past, refusedVariable+"="+refused)
		child.Stdin, child.Stderr = bytes.NewReader(content), stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		return child, stderr
	}
	past, complaint := run(unused, "elsewhere.test,.example.com", "yes")
	through, said := run(proxy, "elsewhere.example.com", "")
	x := &trial{cloud: shared, t: t}
	x.until("the upload is under way", func() bool { return proxy.carried.Load() > 300<<10 })
	proxy.cut()
	if err := through.Wait(); err != nil {
		t.Errorf("through the proxy: %v: %s", err, said)
	}
	if out, err := shared.run(t.Context(), "sha256sum </tmp/proxied"); err != nil || out != hexSum(content)+"  -\n" {
		t.Errorf("wrong content: %v", err)
	}
	if n := proxy.tunnels.Load(); n < 2 {
		t.Errorf("%d tunnels", n)
	}
	if err := past.Wait(); err == nil || !strings.Contains(complaint.String(), streamHost) {
		t.Errorf("past the proxy: %v: %s", err, complaint)
	}
	if n := unused.tunnels.Load(); n != 0 {
		t.Errorf("%d tunnels for what NO_PROXY has", n)
	}
}

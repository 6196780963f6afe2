//go:build linux

package communicator_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxied has the service behind TLS, and a proxy as the only one that knows
// where it is.
func proxied(t *testing.T, shared *cloud) {
	origin, err := url.Parse(shared.server.URL())
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(origin)
		r.Out.URL.RawQuery = r.In.URL.RawQuery
	}})
	proxy := newProxy(t, "stream.test:443", front.Listener.Addr().String())
	roots := front.Client().Transport.(*http.Transport).TLSClientConfig.Clone() //nolint:forcetypeassert // httptest's own
	roots.ServerName = "example.com"                                            // of httptest's certificate
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: roots, MaxIdleConnsPerHost: -1,
		Proxy: func(*http.Request) (*url.URL, error) { return url.Parse(proxy.server.URL) },
	}}
	x := shared.through(t, client, func(to string) string {
		return strings.Replace(to, "ws://"+origin.Host, "wss://stream.test", 1)
	}, 1)
	x.survive(func(x *trial) {
		x.wire().Bye()
		x.pause(500 * time.Millisecond)
		proxy.cut()
	})
	if proxy.tunnels.Load() < 3 {
		t.Errorf("%d tunnels through the proxy", proxy.tunnels.Load())
	}
	front.CloseClientConnections()
	front.Close()
}

// connectProxy is an HTTP proxy that makes tunnels to one place.
type connectProxy struct {
	server  *httptest.Server
	tunnels atomic.Int32
	carried atomic.Int64 // bytes
	carry   sync.WaitGroup
	mu      sync.Mutex
	conns   []net.Conn
}

func newProxy(t *testing.T, name, address string) *connectProxy {
	p := &connectProxy{}
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != name {
			http.Error(w, r.Method+" "+r.Host, http.StatusForbidden)
			return
		}
		far, err := new(net.Dialer).DialContext(r.Context(), "tcp", address)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		near, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			_ = far.Close()
			return
		}
		p.tunnels.Add(1)
		_, _ = io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n")
		p.join(near, far)
	}))
	t.Cleanup(func() {
		p.cut()
		p.server.Close()
		p.carry.Wait()
	})
	return p
}

func (p *connectProxy) join(near, far net.Conn) {
	p.mu.Lock()
	p.conns = append(p.conns, near, far)
	p.mu.Unlock()
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		p.carry.Go(func() {
			_, _ = io.Copy(way[0], io.TeeReader(way[1], &counter{&p.carried}))
			_ = way[0].Close()
			_ = way[1].Close()
		})
	}
}

type counter struct{ n *atomic.Int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

// cut breaks all tunnels.
func (p *connectProxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.conns = nil
}

package datachannel

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A peer is a running session-manager-plugin.
type peer struct {
	cmd    *exec.Cmd
	input  io.WriteCloser
	output io.Reader
	port   string
}

// startPeer runs AWS's client on a session, as the AWS CLI does.
func startPeer(t *testing.T, s *Session, base string) *peer {
	t.Helper()
	plugin := sessionManagerPlugin(t)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answerPeer(t, s, base, w, r)
	}))
	t.Cleanup(api.Close)
	response := string(jsonOf(map[string]string{
		"SessionId": s.ID(), "StreamUrl": s.StreamURL(base), "TokenValue": s.Token(),
	}))
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, plugin, response, "us-east-1", "StartSession", "", `{"Target":"i-0123456789abcdef0"}`, api.URL)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=us-east-1",
		"AWS_EC2_METADATA_DISABLED=true", "SSM_PLUGIN_SKIP_CLIENT_CONFIGURE=true", "HOME="+t.TempDir(), "TMPDIR="+peerTemp(t))
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, into := io.Pipe()
	cmd.Stdout, cmd.Stderr = into, into
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = output.Close()
		_ = cmd.Wait()
	})
	return &peer{cmd: cmd, input: input, output: output}
}

// peerTemp is where AWS's client puts a socket, which it leaves when it is killed. The path of a socket must be short.
func peerTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// answerPeer is as much of the API as AWS's client needs in a session.
func answerPeer(t *testing.T, s *Session, base string, w http.ResponseWriter, r *http.Request) {
	var in struct {
		SessionID string `json:"SessionId"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		t.Error(err)
	}
	switch action := r.Header.Get("X-Amz-Target"); action {
	case "AmazonSSM.ResumeSession":
		_, _ = w.Write(jsonOf(map[string]string{"SessionId": s.ID(), "StreamUrl": s.StreamURL(base), "TokenValue": s.Token()}))
	case "AmazonSSM.TerminateSession":
		s.Terminate()
		_, _ = w.Write(jsonOf(map[string]string{"SessionId": s.ID()}))
	default:
		t.Errorf("AWS's client called %s", action)
	}
}

var openedPort = regexp.MustCompile(`Port (\d+) opened for sessionId`)

// waitPort waits until AWS's client listens.
func (p *peer) waitPort(t *testing.T) {
	t.Helper()
	lines := bufio.NewScanner(p.output)
	for lines.Scan() {
		t.Log("plugin: " + lines.Text())
		if found := openedPort.FindStringSubmatch(lines.Text()); found != nil {
			p.port = found[1]
		}
		if strings.Contains(lines.Text(), "Waiting for connections") && p.port != "" {
			go func() { _, _ = io.Copy(io.Discard, p.output) }()
			return
		}
	}
	t.Fatal("AWS's client ended before it listened")
}

func (p *peer) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: time.Minute}).DialContext(t.Context(), "tcp", "localhost:"+p.port)
	if err != nil {
		t.Fatal(err)
	}
	tcp, _ := conn.(*net.TCPConn)
	return tcp
}

// TestPeerForwardsPort is AWS's client in both directions at once, 64 MiB each way, over several connections.
func TestPeerForwardsPort(t *testing.T) {
	t.Parallel()
	size := 64 << 20
	if testing.Short() {
		size = 2 << 20
	}
	data := make([]byte, size)
	_, _ = rand.Read(data)
	want := sha256.Sum256(data)
	received := make(chan [32]byte, 1)
	port := listen(t, func(c net.Conn) {
		if first := make([]byte, 1); readByte(c, first) && first[0] == 'd' {
			_, _ = c.Write(data)
			return
		}
		sum := sha256.New()
		_, _ = io.CopyN(sum, c, int64(size))
		received <- [32]byte(sum.Sum(nil))
	})
	service, base := serve(t, Model{})
	session, ends := open(t, service, Port, map[string]any{
		"portNumber": port, "localPortNumber": "0", "type": "LocalPortForwarding",
	})
	client := startPeer(t, session, base)
	client.waitPort(t)

	up, down := client.dial(t), client.dial(t)
	defer up.Close()
	defer down.Close()
	go func() { _, _ = up.Write(append([]byte{'u'}, data...)) }()
	if _, err := down.Write([]byte{'d'}); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(down)
	if err != nil || sha256.Sum256(got) != want {
		t.Errorf("download: %d bytes, same %t, %v", len(got), bytes.Equal(got, data), err)
	}
	if sum := <-received; sum != want {
		t.Error("upload arrived changed")
	}
	session.Terminate()
	if e := waitEnd(t, ends); e.Reason != Terminated {
		t.Errorf("session ended with %+v", e)
	}
	if stats := session.Stats(); stats.WrongDigest != 0 {
		t.Errorf("wrong digests: %+v", stats)
	}
}

// TestPeerUnderModel is AWS's client with the limits, delays and habits of AWS, and 40 ms of round trip.
func TestPeerUnderModel(t *testing.T) {
	t.Parallel()
	data := make([]byte, 512<<10)
	_, _ = rand.Read(data)
	port := listen(t, echo)
	model := Realistic()
	model.WorkerStart = 300 * time.Millisecond
	service, base := serve(t, model)
	service.Faults().ImpairBoth(Impairment{Delay: 20 * time.Millisecond})
	session, _ := open(t, service, Port, portProperties(port))
	client := startPeer(t, session, base)
	client.waitPort(t)
	conn := client.dial(t)
	defer conn.Close()
	go func() { _, _ = conn.Write(data) }()
	got := make([]byte, len(data))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, data) {
		t.Errorf("echo is the same %t, %v", bytes.Equal(got, data), err)
	}
	if stats := session.Stats(); stats.Paused != 0 || stats.Opened != 1 {
		t.Errorf("%+v", stats)
	}
}

func readByte(r io.Reader, b []byte) bool {
	_, err := io.ReadFull(r, b)
	return err == nil
}

// TestPeerSSH is AWS's client as an SSH ProxyCommand: its standard streams are the connection.
func TestPeerSSH(t *testing.T) {
	t.Parallel()
	port := listen(t, func(c net.Conn) {
		text := bufio.NewReader(c)
		for {
			line, err := text.ReadString('\n')
			if err != nil || line == "bye now\n" {
				return // the machine's end of the connection ends the session
			}
			_, _ = c.Write([]byte("heard " + line))
		}
	})
	service, base := serve(t, Model{})
	session, ends := open(t, service, Port, map[string]any{"portNumber": port})
	client := startPeer(t, session, base)
	output := bufio.NewReader(client.output)
	_, _ = client.input.Write([]byte("SSH-2.0-test\n"))
	for {
		line, err := output.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		t.Log("plugin: " + strings.TrimSpace(line))
		if line == "heard SSH-2.0-test\n" {
			break
		}
	}
	_, _ = client.input.Write([]byte("bye now\n"))
	go func() { _, _ = io.Copy(io.Discard, output) }()
	if e := waitEnd(t, ends); e != (End{Reason: Completed}) {
		t.Errorf("session ended with %+v", e)
	}
}

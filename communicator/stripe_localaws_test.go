//go:build linux

package communicator_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taccoform/packer-plugin-ssm/communicator"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws/datachannel"
)

// there is the hash of a file, as the instance sees it.
func there(t *testing.T, c *communicator.Communicator, file string) string {
	t.Helper()
	_, out, _ := execute(t, c, "sha256sum <"+file, nil)
	return out
}

func TestTransfersThroughSessionManager(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.server.SetChannelModel(datachannel.Model{MessagesPerSecond: 1000, Pump: true, ReadyDelay: 20 * time.Millisecond})
	comm := c.connect(t, communicator.Config{Say: func(s string) { t.Log(s) }})
	content := random(4 << 20)
	for name, fault := range map[string]localaws.Fault{
		"throttled": {Service: "ssm", Action: "StartSession", Times: 5, Code: "ThrottlingException"},
		"all":       {Service: "none"},
	} {
		remove := c.server.Inject(fault)
		if err := comm.Upload("/tmp/"+name, bytes.NewReader(content), nil); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if there(t, comm, "/tmp/"+name) != hexSum(content)+"  -\n" {
			t.Errorf("%s: wrong content", name)
		}
		var back bytes.Buffer
		if err := comm.Download("/tmp/"+name, &back); err != nil || !bytes.Equal(back.Bytes(), content) {
			t.Errorf("%s: %d bytes came back, %v", name, back.Len(), err)
		}
		remove()
	}
	if n := len(c.server.Channels().Live()); n < 5 {
		t.Errorf("%d sessions are open, want some to be kept for the next transfer", n)
	}
	if err := comm.Close(); err != nil {
		t.Error(err)
	}
	c.left(t)
}

func TestTransferThroughFaults(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.server.SetChannelModel(datachannel.Model{MessagesPerSecond: 1000, AgentReconnect: 200 * time.Millisecond})
	c.server.Channels().Faults().ImpairBoth(datachannel.Impairment{Delay: 5 * time.Millisecond, LoseData: 0.01, Repeat: 0.01})
	content := random(5 << 20)
	for name, strike := range map[string]func(i int, s *datachannel.Session) (undo func()){
		"further ones terminated": func(i int, s *datachannel.Session) func() {
			if i > 0 { // the first one's end would be the build's
				s.Terminate()
			}
			return nil
		},
		"workers lost":  func(_ int, s *datachannel.Session) func() { s.WorkerLost(); return nil },
		"client is cut": func(_ int, s *datachannel.Session) func() { s.CutClient(); return nil },
		"hourly close":  func(_ int, s *datachannel.Session) func() { s.Bye(); return nil },
		"some freeze": func(i int, s *datachannel.Session) func() { // the others take over
			if i%3 == 2 {
				return s.Freeze()
			}
			return nil
		},
		"StartSession denied from then on": func(i int, s *datachannel.Session) func() {
			switch {
			case i == 0:
				return c.server.Inject(localaws.Fault{Service: "ssm", Action: "StartSession", Times: -1, Deny: true})
			case i > 2:
				s.WorkerLost()
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.HasPrefix(name, "StartSession") { // that is refused to all
				t.Parallel()
			}
			x := c.through(t, nil, asItIs, 0)
			var uploading sync.WaitGroup
			uploading.Go(func() {
				if err := x.comm.Upload("/tmp/"+x.comm.Name(), onlyReader{bytes.NewReader(content)}, nil); err != nil {
					t.Error(err)
				}
			})
			x.until("the upload is under way", func() bool {
				sent := 0
				for _, s := range x.live() {
					sent += s.Stats().FromClient
				}
				return sent > 2000 // of 5120
			})
			for i, s := range x.live() {
				if undo := strike(i, s); undo != nil {
					t.Cleanup(undo)
				}
			}
			uploading.Wait()
			if there(t, x.comm, "/tmp/"+x.comm.Name()) != hexSum(content)+"  -\n" {
				t.Error("wrong content")
			}
			if err := x.comm.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What agents send while they have no connection is lost, and repeated at ten
// messages a second: minutes for what a session carries in one. Other sessions
// take over.
func TestAgentsWithoutConnection(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	x := c.through(t, nil, asItIs, 4)
	content := random(4 << 20)
	if err := x.comm.Upload("/tmp/f", bytes.NewReader(content), nil); err != nil {
		t.Fatal(err)
	}
	cut := func(sent, lost int) (opened int) {
		for _, s := range x.live() {
			s.CutAgentWhileSending(sent, lost, 3*time.Second)
		}
		return x.opened()
	}
	before := cut(200, 400)
	status, out, _ := execute(t, x.comm, "seq 1 400000; exit 6", nil)
	if status != 6 {
		t.Errorf("exit status %d\n%s", status, x.told())
	}
	same(t, "stdout", out, numbers(400_000))
	if said := x.told(); x.opened() == before || !strings.Contains(said, "ten messages a second") {
		t.Errorf("%d sessions, %d before; the user was told\n%s", x.opened(), before, said)
	}
	before = cut(50, 150)
	var back bytes.Buffer
	if err := x.comm.Download("/tmp/f", &back); err != nil || !bytes.Equal(back.Bytes(), content) {
		t.Errorf("%d bytes came back, %v", back.Len(), err)
	}
	if x.opened() == before {
		t.Errorf("the download went on in its %d sessions", before)
	}
	if err := x.comm.Close(); err != nil {
		t.Error(err)
	}
}

// What a command has to say does not wait for an upload beside it.
func TestCommandsBesideAnUpload(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.server.SetChannelModel(datachannel.Model{MessagesPerSecond: 1000, Pump: true})
	comm := c.connect(t, communicator.Config{})
	began := time.Now()
	execute(t, comm, "true", nil)
	t.Logf("a command by itself: %s", time.Since(began).Round(time.Millisecond))
	started := make(chan struct{})
	var uploading sync.WaitGroup
	uploading.Go(func() {
		in := &hookReader{bytes.NewReader(random(14 << 20)), 13 << 20, func() { close(started) }}
		if err := comm.Upload("/tmp/f", in, nil); err != nil {
			t.Error(err)
		}
	})
	<-started
	slowest := time.Duration(0)
	for range 10 {
		began = time.Now()
		if status, _, _ := execute(t, comm, "true", nil); status != 0 {
			t.Errorf("exit status %d", status)
		}
		slowest = max(slowest, time.Since(began))
	}
	t.Logf("slowest command beside an upload: %s", slowest.Round(time.Millisecond))
	uploading.Wait()
}

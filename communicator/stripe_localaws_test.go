//go:build linux

package communicator_test

import (
	"bytes"
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
	c := newCloud(t)
	c.server.SetChannelModel(datachannel.Model{MessagesPerSecond: 1000, Pump: true, ReadyDelay: 20 * time.Millisecond})
	comm := c.connect(t, communicator.Config{Say: func(s string) { t.Log(s) }})
	content := random(12 << 20)
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
	c := newCloud(t)
	c.server.SetChannelModel(datachannel.Model{MessagesPerSecond: 1000, AgentReconnect: 200 * time.Millisecond})
	c.server.Channels().Faults().ImpairBoth(datachannel.Impairment{Delay: 5 * time.Millisecond, LoseData: 0.01, Repeat: 0.01})
	comm := c.connect(t, communicator.Config{Say: func(s string) { t.Log(s) }})
	content := random(24 << 20)
	first := c.server.Channels().Live()[0].ID()
	for _, fault := range []struct {
		name   string
		strike func(i int, s *datachannel.Session)
	}{
		{"further ones terminated", func(_ int, s *datachannel.Session) { // before the first is replaced by another
			if s.ID() != first { // that would end the build
				s.Terminate()
			}
		}},
		{"workers lost", func(_ int, s *datachannel.Session) { s.WorkerLost() }},
		{"some freeze", func(i int, s *datachannel.Session) { thawLater(t, i, s) }},
		{"client is cut", func(_ int, s *datachannel.Session) { s.CutClient() }},
		{"hourly close", func(_ int, s *datachannel.Session) { s.Bye() }},
	} {
		t.Run(fault.name, func(t *testing.T) {
			in := &hookReader{bytes.NewReader(content), 14 << 20, func() {
				for i, s := range c.server.Channels().Live() {
					fault.strike(i, s)
				}
			}}
			if err := comm.Upload("/tmp/f", onlyReader{in}, nil); err != nil {
				t.Fatal(err)
			}
			if there(t, comm, "/tmp/f") != hexSum(content)+"  -\n" {
				t.Error("wrong content")
			}
		})
	}
	if err := comm.Close(); err != nil {
		t.Error(err)
	}
	c.left(t)
}

// thawLater freezes every third session until the test is over: the others
// take over.
func thawLater(t *testing.T, i int, s *datachannel.Session) {
	t.Helper()
	if i%3 == 2 {
		t.Cleanup(s.Freeze())
	}
}

// What a command has to say does not wait for an upload beside it.
func TestCommandsBesideAnUpload(t *testing.T) {
	c := newCloud(t)
	c.server.SetChannelModel(datachannel.Model{MessagesPerSecond: 1000, Pump: true})
	comm := c.connect(t, communicator.Config{})
	began := time.Now()
	execute(t, comm, "true", nil)
	t.Logf("a command by itself: %s", time.Since(began).Round(time.Millisecond))
	started := make(chan struct{})
	var uploading sync.WaitGroup
	uploading.Go(func() {
		in := &hookReader{bytes.NewReader(random(32 << 20)), 16 << 20, func() { close(started) }}
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

//go:build linux

package communicator_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/communicator"
)

func TestBuildThroughSessionManager(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	start := time.Now()
	comm := c.connect(t, communicator.Config{TTL: time.Hour})
	status, _, _ := execute(t, comm, "exit 42", nil)
	t.Logf("from agent online to the end of the first command: %s", time.Since(start).Round(time.Millisecond))
	if status != 42 {
		t.Errorf("exit status %d", status)
	}
	for _, status := range []int{0, 1, 255} {
		if got, _, _ := execute(t, comm, fmt.Sprint("exit ", status), nil); got != status {
			t.Errorf("exit %d: got %d", status, got)
		}
	}
	var running sync.WaitGroup
	for _, word := range []string{"one", "two"} {
		running.Go(func() {
			if _, out, errs := execute(t, comm, "cat; echo "+word+" >&2", strings.NewReader(word+"\n")); out != word+"\n" || errs != word+"\n" {
				t.Errorf("%s: stdout %q, stderr %q", word, out, errs)
			}
		})
	}
	running.Wait()
	for size, content := range map[string][]byte{"empty": nil, "newline": []byte("\n"), "large": random(3 << 20)} {
		began := time.Now()
		if err := comm.Upload("/tmp/"+size, io.MultiReader(bytes.NewReader(content)), nil); err != nil {
			t.Fatal(err)
		}
		up := time.Since(began)
		var back bytes.Buffer
		if err := comm.Download("/tmp/"+size, &back); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: up %s, down %s", size, up.Round(time.Millisecond), (time.Since(began) - up).Round(time.Millisecond))
		if sha256.Sum256(back.Bytes()) != sha256.Sum256(content) {
			t.Errorf("%s: %d bytes came back, want %d equal ones", size, back.Len(), len(content))
		}
	}
	if err := comm.Close(); err != nil {
		t.Error(err)
	}
	c.left(t)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{3}).Read(b)
	return b
}

func TestRebootThroughSessionManager(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	comm := c.connect(t, communicator.Config{Say: func(s string) { t.Log(s) }})
	start := time.Now()
	if status, _, _ := execute(t, comm, "sudo reboot; sleep 600", nil); status != packersdk.CmdDisconnect {
		t.Errorf("exit status %d, want the one of a lost connection", status)
	}
	t.Logf("noticed after %s", time.Since(start).Round(time.Millisecond))
	if err := comm.Upload("/tmp/after", strings.NewReader("text"), nil); err != nil {
		t.Fatal(err)
	}
	if status, out, _ := execute(t, comm, "cat /tmp/after", nil); status != 0 || out != "text" {
		t.Errorf("status %d, stdout %q", status, out)
	}
	if err := comm.Close(); err != nil {
		t.Error(err)
	}
	c.left(t)
}

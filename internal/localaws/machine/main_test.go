//go:build linux

package machine_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

// ownerDir is in the environment of the process that TestKilledOwner kills.
const ownerDir = "MACHINE_TEST_OWNER_DIR"

func TestMain(m *testing.M) {
	machine.Main()
	if dir := os.Getenv(ownerDir); dir != "" {
		fmt.Println(own(dir))
		return
	}
	status := m.Run()
	if h, err := sharedHost(); err == nil {
		if err := errors.Join(h.Close(), os.Remove(sharedDir)); err != nil {
			fmt.Println(err)
			status = 1
		}
	}
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Println(err)
		status = 1
	}
	os.Exit(status)
}

// own runs a machine until it is killed. It prints the id of a process in the machine, as the host sees it.
func own(dir string) error {
	ctx := context.Background()
	h, err := machine.NewHost(ctx, dir)
	if err != nil {
		return err
	}
	base, err := h.Base(ctx, machine.AL2, "x86_64")
	if err != nil {
		return err
	}
	m, err := h.Create(ctx, machine.Spec{ID: "i-1", Layers: []machine.LayerID{base}})
	if err != nil {
		return err
	}
	if err := m.Boot(ctx); err != nil {
		return err
	}
	_, err = m.Exec(ctx, machine.Command{Path: "sh", Args: []string{"-c", "setsid sleep 54321 & su ec2-user -c 'touch ~/mine'; echo up; sleep 54321"}, Stdout: os.Stdout})
	return err
}

// descendants are the processes below pid, with pid.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	all := []int{pid}
	children, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range children {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // ended
		}
		for _, f := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, descendants(t, child)...)
		}
	}
	return all
}

func TestKilledOwner(t *testing.T) {
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	owner := exec.CommandContext(t.Context(), exe)
	owner.Env = append(os.Environ(), ownerDir+"="+dir)
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
		t.Fatalf("owner says %q, %v", line, err)
	}
	pids := descendants(t, owner.Process.Pid)
	if len(pids) < 4 { // owner, process 1, sshd, shell
		t.Fatalf("processes are %v", pids)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // killed
	within(t, "every process of the killed owner has ended", func() bool {
		for _, pid := range pids {
			if state(pid) != "" {
				return false
			}
		}
		return true
	})
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("mounts are left: %v\n%s", err, mounts)
	}
	h, err := machine.NewHost(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("the next host did not clean up: %v, %v", left, err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("close left %v, %v", left, err)
	}
}

// state is the state of a process; "" if it has ended, also if nobody has waited for it.
func state(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	if threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)); err == nil && len(threads) > 1 {
		return "with threads" // which hold its files, whatever the state of the first is
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	return strings.Trim(fields[0], "ZX")
}

func TestTwoHostsShareAFolder(t *testing.T) {
	dir := t.TempDir()
	first, err := machine.NewHost(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := machine.NewHost(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if _, err := first.Base(t.Context(), machine.AL2, "arm64"); err != nil {
		t.Errorf("the other host's end took this one along: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if _, err := first.Create(t.Context(), machine.Spec{ID: "i-1", Layers: []machine.LayerID{"x"}}); err == nil {
		t.Error("a closed host makes machines")
	}
}

func TestHostsAtTheSameTime(t *testing.T) {
	dir := t.TempDir()
	var wait sync.WaitGroup
	for range 6 {
		wait.Go(func() {
			h, err := machine.NewHost(t.Context(), dir)
			if err != nil {
				t.Error(err)
				return
			}
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestCancelledWorkHarmsNoOther(t *testing.T) {
	h := newHost(t)
	layers := []machine.LayerID{baseOf(t, h, machine.AL2)}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for n := range 10 {
		_, err := h.Create(cancelled, machine.Spec{ID: fmt.Sprint("i-cancelled-", n), Layers: layers})
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		m, err := h.Create(t.Context(), machine.Spec{ID: fmt.Sprint("i-", n), Layers: layers})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

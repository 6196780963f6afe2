//go:build linux

package e2e

import (
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// sleeps is a template whose provisioner says that it runs and then sleeps.
func sleeps(lines string) string {
	return source(lines, `
  provisioner "shell" {
    inline = ["echo the command runs", "exec sleep 600"]
  }`)
}

// TestKilled kills Packer and its plugins as the kernel does when memory runs out. Nobody cleans up then; but the instance
// terminates once it powers off, which the timer inside sees to, and what else is left carries the build's id and expiry.
func TestKilled(t *testing.T) {
	w := newWorld(t, localaws.Options{})
	dir := w.template(sleeps(`instance_ttl = "15m"`))
	w.started(dir, func(group int) { w.signal(group, syscall.SIGKILL) })
	w.endsByItself()
	for _, line := range w.aws.Leftovers() {
		if !strings.HasPrefix(line, "ec2 ") && !strings.Contains(line, "packer-") && !strings.HasPrefix(line, "ssm ") {
			t.Errorf("left without a name that tells whose it is: %s", line)
		}
	}
}

// endsByItself fails unless the only instance is tagged with its build and expiry and terminates when it powers off.
func (w *world) endsByItself() {
	w.Helper()
	api := ec2.NewFromConfig(w.config)
	found, err := api.DescribeInstances(w.Context(), &ec2.DescribeInstancesInput{})
	if err != nil || len(found.Reservations) != 1 {
		w.Fatalf("%d launches: %v", len(found.Reservations), err)
	}
	instance := found.Reservations[0].Instances[0]
	tags := map[string]string{}
	for _, t := range instance.Tags {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	if expires, err := time.Parse(time.RFC3339, tags["packer-plugin-ssm:expires"]); err != nil || time.Until(expires) > time.Hour || tags["packer-plugin-ssm:build"] == "" {
		w.Errorf("tags %v", tags)
	}
	seen, err := api.DescribeInstanceAttribute(w.Context(), &ec2.DescribeInstanceAttributeInput{
		InstanceId: instance.InstanceId, Attribute: types.InstanceAttributeNameInstanceInitiatedShutdownBehavior,
	})
	if err != nil || aws.ToString(seen.InstanceInitiatedShutdownBehavior.Value) != "terminate" {
		w.Errorf("shutdown behavior %+v, %v", seen, err)
	}
}

// started builds a template until its provisioner runs, then does what is given to Packer's process group, and waits for its end.
func (w *world) started(dir string, then func(group int)) (exit int, output string) {
	w.Helper()
	running := make(chan struct{}, 1)
	watch := &watcher{seen: func(text string) {
		if strings.Contains(text, "test: the command runs") {
			running <- struct{}{}
		}
	}}
	command := w.packer.Command(w.Context(), dir, "build", "-color=false", ".")
	command.Stdout, command.Stderr = watch, watch
	if err := command.Start(); err != nil {
		w.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	select {
	case <-running:
		then(command.Process.Pid)
		<-ended
	case err := <-ended:
		w.Fatalf("packer build: %v\n%s", err, watch.text())
	}
	return command.ProcessState.ExitCode(), watch.text()
}

func (w *world) signal(group int, signal syscall.Signal) {
	if err := syscall.Kill(-group, signal); err != nil {
		w.Error(err)
	}
}

// TestInterruptedTwice interrupts again while Packer cleans up, as the impatient do. The clean-up goes on to its end.
func TestInterruptedTwice(t *testing.T) {
	w := newWorld(t, localaws.Options{})
	cleaning := make(chan struct{})
	var once sync.Once
	w.aws.Inject(localaws.Fault{Action: "TerminateInstances", Nth: 2, Delay: time.Second, Before: func(localaws.Call) { // the first is a dry run
		once.Do(func() { close(cleaning) })
	}})
	exit, output := w.started(w.template(sleeps(`instance_ttl = "15m"`)), func(group int) {
		w.signal(group, syscall.SIGINT)
		<-cleaning
		w.signal(group, syscall.SIGINT)
	})
	t.Logf("exit %d\n%s", exit, output)
	if exit == 0 {
		t.Error("exit 0 of a build that was interrupted twice")
	}
	w.images(0)
	w.nothingLeft()
}

// TestTerminalClosed ends Packer as a terminal does that is closed. The plugin outlives that and cleans up.
func TestTerminalClosed(t *testing.T) {
	w := newWorld(t, localaws.Options{})
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP) // or Packer would ignore it, too, in tests that nohup runs
	defer signal.Stop(heard)
	w.started(w.template(sleeps("")), func(group int) { w.signal(group, syscall.SIGHUP) })
	w.images(0)
	w.nothingLeft()
}

// TestPackerKilled kills Packer without its plugin, as pkill -9 does for somebody who thinks that it hangs. The plugin notices and cleans up.
func TestPackerKilled(t *testing.T) {
	w := newWorld(t, localaws.Options{})
	w.started(w.template(sleeps("")), func(group int) {
		killed := 0
		for _, pid := range w.named("packer", group) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err == nil {
				killed++
			}
		}
		if killed < 2 {
			t.Errorf("%d processes were killed; Packer has one that watches another", killed)
		}
	})
	w.images(0)
	w.nothingLeft()
}

// named are the processes of a group that have exactly this name.
func (w *world) named(name string, group int) (pids []int) {
	w.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		w.Fatal(err)
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		before, after, _ := strings.Cut(string(text), ") ")
		pid, comm, _ := strings.Cut(before, " (")
		fields := strings.Fields(after) // state, parent, group
		if comm != name || len(fields) < 3 || fields[2] != strconv.Itoa(group) {
			continue
		}
		if id, err := strconv.Atoi(pid); err == nil {
			pids = append(pids, id)
		}
	}
	return pids
}

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// With this setting the test binary is the program.
const asProgram = "LOCALAWS_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// program is localaws, without machines, with these arguments.
func program(t *testing.T, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.CommandContext(t.Context(), self, append([]string{"-no-machines", "-profile", "zero"}, args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "AWS_PROFILE=mine", "aws_odd=1", "NO_PROXY=example.com")
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

func statusOf(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	status, err := exitStatus(cmd.Run())
	if err != nil {
		t.Fatal(err)
	}
	return status
}

func TestStatusIsTheCommands(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -KILL $$": 128 + 9} {
		cmd, _, _ := program(t, "--", "sh", "-c", script)
		if got := statusOf(t, cmd); got != want {
			t.Errorf("%s: %d, want %d", script, got, want)
		}
	}
	cmd, _, stderr := program(t, "--", "/no/such/command")
	if got := statusOf(t, cmd); got != statusNotRun || !strings.Contains(stderr.String(), "/no/such/command") {
		t.Errorf("%d %s", got, stderr)
	}
}

func TestEnvironmentOfTheCommand(t *testing.T) {
	cmd, stdout, stderr := program(t, "-regions", "eu-west-1,us-east-1", "--", "env")
	if got := statusOf(t, cmd); got != 0 {
		t.Fatal(got, stderr)
	}
	var names []string
	for line := range strings.Lines(stdout.String()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if strings.HasPrefix(strings.ToUpper(name), "AWS_") {
			names = append(names, name)
		}
		switch name {
		case "NO_PROXY", "no_proxy":
			if value != "example.com,127.0.0.1,localhost" {
				t.Errorf("%s is %s", name, value)
			}
		case "AWS_REGION":
			if value != "eu-west-1" {
				t.Errorf("%s is %s", name, value)
			}
		}
	}
	slices.Sort(names)
	want := []string{
		"AWS_ACCESS_KEY_ID", "AWS_CONFIG_FILE", "AWS_DEFAULT_REGION", "AWS_EC2_METADATA_DISABLED",
		"AWS_ENDPOINT_URL", "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_SHARED_CREDENTIALS_FILE",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

func TestSignalsReachTheCommand(t *testing.T) {
	cmd, _, stderr := program(t, "--", "sh", "-c", `trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done`)
	cmd.Stdout = nil
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err, stderr)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status, err := exitStatus(cmd.Wait()); status != 9 || err != nil {
		t.Errorf("%d %v %s", status, err, stderr)
	}
}

func TestServesUntilInterrupted(t *testing.T) {
	cmd, _, stderr := program(t)
	cmd.Stdout = nil
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "export AWS_ENDPOINT_URL=http://127.0.0.1:") {
		t.Errorf("%q %v", line, err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if status, err := exitStatus(cmd.Wait()); status != 0 || err != nil {
		t.Errorf("%d %v %s", status, err, stderr)
	}
}

func TestCallsAreWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	cmd, _, stderr := program(t, "-calls", path, "--", "sh", "-c", `curl -s -o /dev/null "$AWS_ENDPOINT_URL" -d 'Action=GetCallerIdentity&Version=2011-06-15'`)
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed; apt-get install curl")
	}
	if got := statusOf(t, cmd); got != 0 {
		t.Fatal(got, stderr)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var call localaws.Call
	if err := json.Unmarshal(text, &call); err != nil {
		t.Fatal(err)
	}
	if call.Service != "sts" || call.Code != "MissingAuthenticationToken" {
		t.Errorf("%+v", call)
	}
}

func TestStrict(t *testing.T) {
	left := []string{"iam role arn:aws:iam::123456789012:role/r"}
	for _, test := range []struct {
		strict       bool
		status, want int
		left         []string
	}{
		{false, 0, 0, left}, {true, 0, statusLeftovers, left}, {true, 7, 7, left}, {true, 0, 0, nil},
	} {
		var stderr bytes.Buffer
		o := options{strict: test.strict}
		if got := o.judge(test.status, test.left, &stderr); got != test.want {
			t.Errorf("%+v: %d", test, got)
		}
		if test.left != nil && stderr.String() != "localaws: left: "+left[0]+"\n" {
			t.Errorf("%s", &stderr)
		}
	}
}

func TestBadArguments(t *testing.T) {
	for _, args := range [][]string{
		{"-profile", "fast"}, {"-nonsense"}, {"-fault", "RunInstances"}, {"-fault", "ec2:RunInstances"},
		{"-fault", "ec2:RunInstances,code=X,often"}, {"-fault", "ec2:RunInstances,code=X,nth=two"}, {"-caller-policy", "/no/such/file"},
	} {
		var stderr bytes.Buffer
		if got := run(args, &bytes.Buffer{}, &stderr); got != statusUsage || !strings.HasPrefix(stderr.String(), "localaws: ") {
			t.Errorf("%v: %d %s", args, got, &stderr)
		}
	}
}

func TestHelp(t *testing.T) {
	var stderr bytes.Buffer
	if got := run([]string{"-h"}, &bytes.Buffer{}, &stderr); got != 0 {
		t.Errorf("%d", got)
	}
	for _, word := range []string{"localaws [flags] -- command", "-profile", "-strict", "-fault", "-calls"} {
		if !strings.Contains(stderr.String(), word) {
			t.Errorf("the help has no %q", word)
		}
	}
}

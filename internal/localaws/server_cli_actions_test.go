package localaws

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var cliCommands = regexp.MustCompile(`\b(ec2|ssm|iam|sts|kms) ([a-z][a-z-]+)`)

// Every action that the server answers has an answer that the AWS CLI reads in a test. This needs no CLI: the
// commands are those in the source of this package's tests.
func TestCLIReadsEveryAction(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("*_test.go")
	ok(t, err)
	read := map[string]bool{}
	for _, path := range paths {
		source, err := os.ReadFile(path)
		ok(t, err)
		for _, command := range cliCommands.FindAllStringSubmatch(string(source), -1) {
			read[command[1]+" "+strings.ReplaceAll(command[2], "-", "")] = true
		}
	}
	var unread []string
	for service, operations := range startServer(t, Options{}).operations {
		for action := range maps.Keys(operations) {
			if !read[service+" "+strings.ToLower(action)] {
				unread = append(unread, service+" "+action)
			}
		}
	}
	if len(unread) > 0 {
		slices.Sort(unread)
		t.Errorf("no test reads these answers with the AWS CLI:\n%s", strings.Join(unread, "\n"))
	}
}

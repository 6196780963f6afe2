package communicator_test

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

// atOnce is how many tests run beside each other unless told otherwise: most
// of them wait, for faults to pass and machines to boot.
const atOnce = "8"

// TestMain is also where the machines of the tests begin: they are processes
// of this program.
func TestMain(m *testing.M) {
	machine.Main()
	if os.Getenv(streamVariable) != "" {
		os.Exit(behindProxy())
	}
	_ = os.Unsetenv("SSH_AUTH_SOCK") // nobody's keys but those of the test that is about an agent
	told := false
	flag.Parse()
	flag.Visit(func(f *flag.Flag) { told = told || f.Name == "test.parallel" || f.Name == "test.cpu" })
	if !told {
		_ = flag.Set("test.parallel", atOnce)
	}
	goleak.VerifyTestMain(m)
}

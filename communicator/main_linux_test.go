package communicator_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

// TestMain is also where the machines of the tests begin: they are processes
// of this program.
func TestMain(m *testing.M) {
	machine.Main()
	goleak.VerifyTestMain(m)
}

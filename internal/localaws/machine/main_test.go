//go:build linux

package machine_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

func TestMain(m *testing.M) {
	machine.Main()
	goleak.VerifyTestMain(m)
}

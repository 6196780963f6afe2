package localaws

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

func TestMain(m *testing.M) {
	machine.Main()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		if err := stopCLIHost(); err != nil {
			fmt.Println(err)
			status = 1
		}
		os.Exit(status)
	}))
}

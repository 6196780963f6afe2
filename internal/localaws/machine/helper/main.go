// The helper is process 1 of machines, and what works on their files, for programs that are too heavy to be started for it
// themselves: tests with the race detector. LOCALAWS_MACHINE names it to them.
package main

import (
	"fmt"
	"os"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

func main() {
	machine.Main()
	fmt.Fprintln(os.Stderr, "this is started by machines; name it in LOCALAWS_MACHINE")
	os.Exit(2)
}

//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"sync"
)

// peersSource is the address of the plugin that templates come from.
const peersSource = "github.com/hashicorp/amazon"

// onePeer lets one build with the peer run at a time: it finds its local port by closing it again, and two of them on
// one machine can come upon the same.
var onePeer sync.Mutex

// asPeer gives the world a Packer as the users of amazon-ebs have it: with AWS's session-manager-plugin on the PATH.
func (w *world) asPeer() {
	w.Helper()
	onePeer.Lock()
	w.Cleanup(onePeer.Unlock)
	tools := filepath.Join(root, ".cache", "bin")
	w.packer = w.packer.With("PATH=" + tools + string(filepath.ListSeparator) + os.Getenv("PATH"))
}

package amazonlinux

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// A ledger lists what exists because of this build and how to remove it by
// hand. A resource is entered before it is made and struck out once it is
// known to be gone, so what is left at the end is what is left on AWS.
type ledger struct {
	mu      sync.Mutex
	entries []resource // guarded by mu, in the order of making
}

// A resource is one thing that a build made.
type resource struct {
	what   string // "instance i-0abc"
	remove string // the command that removes it by hand
}

// enter records a resource. Entering it again changes nothing.
func (l *ledger) enter(what, remove string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.ContainsFunc(l.entries, func(r resource) bool { return r.what == what }) {
		return
	}
	l.entries = append(l.entries, resource{what, fmt.Sprintf(remove, args...)})
}

// strike takes a resource off the list: it is gone, or never came to be.
func (l *ledger) strike(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = slices.DeleteFunc(l.entries, func(r resource) bool { return r.what == what })
}

// remedy is how to remove a resource by hand.
func (l *ledger) remedy(what string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.entries {
		if r.what == what {
			return r.remove
		}
	}
	return ""
}

// holdsInstance tells whether an instance is left.
func (l *ledger) holdsInstance() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.entries, func(r resource) bool { return strings.HasPrefix(r.what, "instance i-") })
}

// tell prints what is left, the last made first: that is the order in which
// it can be removed.
func (l *ledger) tell(ui packersdk.Ui) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) == 0 {
		return
	}
	ui.Error("This build leaves behind, to be removed by hand:")
	for _, r := range slices.Backward(l.entries) {
		ui.Error(fmt.Sprintf("  %s: %s", r.what, r.remove))
	}
}

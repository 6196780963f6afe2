//go:build !linux

package datachannel

import "time"

// newNap gives a sleep. What it is for is on Linux.
func newNap() (nap func(time.Duration), end func()) { return time.Sleep, func() {} }

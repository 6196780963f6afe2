package communicator

import (
	"context"
	"fmt"
)

// Part is Leave for an instance that is about to power off. That ends the daemon
// and empties /run by itself; what is left to do there, and mostly nothing is, is to remove
// the files that lie on the disk.
func (c *Communicator) Part(ctx context.Context) error {
	c.Disconnect() //nolint:contextcheck // takes its own time, also when ctx has ended
	sweep := c.sweep()
	if c.left.Swap(true) || sweep == "" {
		return nil
	}
	if _, err := c.links.run(ctx, sweep); err != nil {
		c.left.Store(false)
		return fmt.Errorf("remove unfinished uploads: %w", err)
	}
	return nil
}

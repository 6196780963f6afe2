package amazonlinux

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// parentEvery is how often a build looks whether Packer is still there.
const parentEvery = time.Second

var errOrphaned = errors.New("the process of Packer has ended")

// withPacker is a context that ends with Packer, so that a build cleans up also when Packer was killed or its terminal closed: this
// process outlives Packer until Run returns. What would end it earlier is the terminal's SIGHUP, and SIGPIPE
// at the next line for a log that nobody reads any more.
func withPacker(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	survived := make(chan os.Signal, 1)
	signal.Notify(survived, syscall.SIGHUP, syscall.SIGPIPE)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watchParent(ctx, cancel)
	}()
	return ctx, func() {
		cancel(context.Canceled)
		<-watched
		signal.Stop(survived)
	}
}

// watchParent cancels when this process has another parent than at first: on Unix, that is when the first one has ended.
func watchParent(ctx context.Context, cancel context.CancelCauseFunc) {
	parent := os.Getppid()
	ticker := time.NewTicker(parentEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if os.Getppid() != parent {
				cancel(errOrphaned)
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// The demo builds example/basic with real Packer and this plugin on a simulated AWS, launches the AMI that comes out,
// and looks inside: what the provisioners wrote must be there, and nothing of the build. Nothing of the user's is read
// or changed, nothing is left, and no account is needed.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

// limit bounds the whole demo; it is far above what a slow machine needs.
const limit = 10 * time.Minute

func main() {
	machine.Main() // an instance's first process is this program started again; it never returns from here
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	started := time.Now()
	image, err := demo(ctx)
	interrupted := ctx.Err() != nil
	stop()
	if err != nil {
		if interrupted {
			err = errors.New("interrupted")
		}
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
	fmt.Printf("demo: ok ami=%s seconds=%d\n", image, int(time.Since(started).Round(time.Second).Seconds()))
}

// demo sets the stage, plays on it, and clears it away whatever happens.
func demo(ctx context.Context) (image string, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s, err := newStage(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.close()) }()

	before, err := s.survey(ctx)
	if err != nil {
		return "", err
	}
	if err := s.build(ctx); err != nil {
		return "", err
	}
	image, err = s.newImage(ctx, before)
	if err != nil {
		return "", err
	}
	if err := s.lookInside(ctx, image); err != nil {
		return "", err
	}
	return image, s.lookAround(ctx, before, image)
}

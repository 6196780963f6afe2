// The soak works on one instance for an hour through the communicator, several commands and transfers at a time, while
// everything that can happen to a session happens to it: messages lost, repeated and reordered, websockets cut, the service's
// hourly close every few seconds, pauses, freezes, silence, throttling, reboots. Every exit status, every line of output and every
// byte transferred is checked; at the end nothing may be left: no goroutine, descriptor, process, session or memory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

type options struct {
	lasts time.Duration
	seed  uint64
	calm  bool
	only  *regexp.Regexp // faults by name; nil is all
}

func main() {
	machine.Main() // an instance's first process is this program started again; it never returns from here
	var o options
	flag.DurationVar(&o.lasts, "for", time.Hour, "how long")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of the faults and of the work")
	flag.BoolVar(&o.calm, "calm", false, "no faults: the work alone, to tell what fails without them")
	flag.Func("only", "only the faults whose name matches this `regexp`, to reproduce what one of them does", func(text string) (err error) {
		o.only, err = regexp.Compile(text)
		return err
	})
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	c, err := soak(ctx, o)
	interrupted := ctx.Err() != nil
	stop()
	if interrupted {
		err = errors.Join(errors.New("interrupted"), err)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "soak: failed with seed %d: %v\n", o.seed, err)
		os.Exit(1)
	}
	fmt.Printf("soak: ok seed=%d seconds=%d faults=%d operations=%d\n",
		o.seed, int(o.lasts.Seconds()), c.total(faultCount), c.total(workCount))
}

// soak goes through it once without faults, so that what is made once is there, takes stock, and goes through it again.
func soak(ctx context.Context, o options) (*counts, error) {
	fmt.Printf("soak: seed %d, %s\n", o.seed, o.lasts)
	warm := options{lasts: warmUp, seed: o.seed, calm: true}
	if err := pass(ctx, warm, newCounts()); err != nil {
		return nil, fmt.Errorf("before any fault: %w", err)
	}
	before := takeStock()
	c := newCounts()
	err := pass(ctx, o, c)
	c.print(os.Stdout)
	return c, errors.Join(err, before.compare(ctx))
}

// warmUp is how long the work goes on before the stock is taken.
const warmUp = 5 * time.Second

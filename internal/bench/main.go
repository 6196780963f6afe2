// The bench measures this repository's Session Manager client against AWS's own, session-manager-plugin with OpenSSH
// through it, in one run, side by side, on a simulated AWS that limits, delays and paces as the service and its agent do.
// Every transfer is checked at both ends, the peer's too. It prints a table and writes bench/results.json;
// docs/benchmarks.md says what the rows mean.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
	"github.com/taccoform/packer-plugin-ssm/internal/sandbox"
)

// limit bounds a whole run; a full one takes twenty minutes.
const limit = time.Hour

type options struct {
	run    string
	quick  bool
	strict bool
	out    string

	only *regexp.Regexp // run, parsed
}

func main() {
	machine.Main() // an instance's first process is this program started again; it never returns from here
	if os.Getenv(roleVariable) == roleOurs {
		os.Exit(serveOurs())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := bench(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.run, "run", "", "only the rows whose name matches this `regexp`")
	flags.BoolVar(&o.quick, "quick", false, "a fraction of every size: minutes become seconds, and the ratios mean less")
	flags.BoolVar(&o.strict, "strict", false, "fail when a bound is missed")
	flags.StringVar(&o.out, "out", "", "write the results to this `file`; default bench/results.json for a full run, none otherwise")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var err error
	if o.only, err = regexp.Compile(o.run); err != nil {
		return o, fmt.Errorf("-run: %w", err)
	}
	return o, nil
}

// bench measures what the options ask for, prints it and writes it down.
func bench(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	root, err := sandbox.Root()
	if err != nil {
		return err
	}
	if o.out == "" && o.run == "" && !o.quick {
		o.out = filepath.Join(root, "bench", "results.json")
	}
	if err := ready(o); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	w, err := newWorld(ctx, root, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close(ctx)) }()
	for _, c := range w.cases() {
		if err := c(ctx); err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
	}
	return conclude(w, o, time.Since(began))
}

// conclude prints the table and the verdict, and writes the results.
func conclude(w *world, o options, took time.Duration) error {
	if len(w.rows) == 0 {
		return fmt.Errorf("no row has a name that matches %q", o.run)
	}
	printTable(os.Stdout, w.rows)
	w.printNotes(os.Stdout)
	if o.out != "" {
		if err := writeResults(o.out, w.rows); err != nil {
			return err
		}
	}
	missed := missedBounds(w.rows)
	fmt.Printf("bench: ok rows=%d missed=%d seconds=%d\n", len(w.rows), missed, int(took.Seconds()))
	if o.strict && missed > 0 {
		return fmt.Errorf("%d bounds missed", missed)
	}
	return nil
}

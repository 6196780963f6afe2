package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// errHelp ends the program after -h.
var errHelp = flag.ErrHelp

// options are what the command line asks for.
type options struct {
	server  localaws.Options
	faults  []localaws.Fault
	calls   string // the file for the call log
	strict  bool
	command []string
}

const usage = `localaws is an AWS on this machine: EC2, SSM, IAM, STS and KMS, with instances
that are isolated Linux machines.

  localaws [flags] -- command [args...]   run command against it, then stop
  localaws [flags]                        print its settings, serve until Ctrl-C

The command gets AWS_ENDPOINT_URL, credentials and a region; your own AWS_*
settings and files are kept from it. Everything is gone when localaws ends, and
what the command left running is listed on standard error before that. The exit
status is the command's; 125 if localaws itself could not work.

`

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{server: localaws.Options{Profile: localaws.Demo}}
	f := flag.NewFlagSet("localaws", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	o.define(f)
	err := f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stderr, usage)
		f.SetOutput(stderr)
		f.PrintDefaults()
		return nil, errHelp
	}
	if err != nil {
		return nil, fmt.Errorf("%w; localaws -h lists the flags", err)
	}
	o.command = f.Args()
	return o, nil
}

func (o *options) define(f *flag.FlagSet) {
	f.Func("profile", "`demo` (short times, the default), realistic (those of AWS) or zero", func(text string) (err error) {
		o.server.Profile, err = localaws.ParseProfile(text)
		return err
	})
	f.StringVar(&o.server.Addr, "listen", "127.0.0.1:0", "`address` to listen on")
	f.StringVar(&o.server.Dir, "dir", "", "`folder` for the instances' disks (default localaws-<uid> among the temporary files)")
	f.Func("regions", "comma-separated `regions`; the first is the default one", func(text string) error {
		o.server.Regions = strings.Split(text, ",")
		return nil
	})
	f.StringVar(&o.calls, "calls", "", "`file` to which every API call is written, one JSON object a line")
	f.Func("caller-policy", "`file` with the IAM policy that the command's credentials have (default all is allowed)", func(path string) error {
		text, err := os.ReadFile(path)
		o.server.CallerPolicy = string(text)
		return err
	})
	f.Func("fault", "make calls fail, for instance `ec2:RunInstances,code=InsufficientInstanceCapacity,times=2`;\n"+
		"parts: nth=, times=, code=, message=, status=, delay=, region=, Parameter=pattern, after, hang, drop, deny; may be repeated", func(text string) error {
		fault, err := localaws.ParseFault(text)
		o.faults = append(o.faults, fault)
		return err
	})
	f.BoolVar(&o.strict, "strict", false, "exit with status 3 when the command succeeds and leaves something")
	f.BoolVar(&o.server.NoMachines, "no-machines", false, "instances have a state but no system inside; needs no Linux")
	f.BoolFunc("v", "log on standard error", func(string) error {
		o.server.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
		return nil
	})
}

// openCalls opens the file for the call log, if there is to be one. What the
// returned function answers is the first error in writing it.
func (o *options) openCalls() (closeFile func() error, err error) {
	if o.calls == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(o.calls)
	if err != nil {
		return nil, err
	}
	var failed error
	encoder := json.NewEncoder(file)
	o.server.OnCall = func(c localaws.Call) {
		if failed == nil {
			failed = encoder.Encode(c)
		}
	}
	return func() error { return errors.Join(failed, file.Close()) }, nil
}

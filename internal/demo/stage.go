package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/taccoform/packer-plugin-ssm/internal/inspection"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
	"github.com/taccoform/packer-plugin-ssm/internal/sandbox"
)

// A stage is what the demo plays on: a simulated AWS, and a Packer that has never been run.
type stage struct {
	dir     string // scratch, removed by close
	example string
	aws     *localaws.Server
	config  aws.Config
	packer  *sandbox.Packer
}

func newStage(ctx context.Context) (*stage, error) {
	root, err := sandbox.Root()
	if err != nil {
		return nil, err
	}
	s := &stage{example: filepath.Join(root, "example", "basic")}
	if s.dir, err = os.MkdirTemp("", "ssm-demo-"); err != nil {
		return nil, err
	}
	if err := s.open(ctx, root); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) open(ctx context.Context, root string) (err error) {
	say("a simulated AWS on this machine")
	if s.aws, err = localaws.Start(ctx, localaws.Options{Profile: localaws.Demo}); err != nil {
		return err
	}
	fmt.Println(s.aws.URL())
	s.config = inspection.Config(s.aws.Environ())

	say("Packer, in a home of its own, with the plugin just built")
	s.packer, err = sandbox.New(ctx, filepath.Join(s.dir, "home"),
		filepath.Join(root, ".cache", "bin", "packer"), filepath.Join(root, "dist", "packer-plugin-ssm"), s.aws.Environ()...)
	if err != nil {
		return err
	}
	return s.run(ctx, "version")
}

func (s *stage) close() error {
	var err error
	if s.aws != nil {
		err = s.aws.Close()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// build is what a user does: the four commands of a first template.
func (s *stage) build(ctx context.Context) error {
	colour := fmt.Sprintf("-color=%t", isTerminal(os.Stdout))
	for _, args := range [][]string{{"init", "."}, {"fmt", "-check", "."}, {"validate", "."}, {"build", colour, "."}} {
		say("packer " + args[0] + " example/basic")
		if err := s.run(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// run runs Packer with its output where the user sees it.
func (s *stage) run(ctx context.Context, args ...string) error {
	command := s.packer.Command(ctx, s.example, args...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("packer %s: %w", args[0], err)
	}
	return nil
}

// isTerminal tells a terminal from a file or pipe, where colours would be noise.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func say(what string) { fmt.Printf("\n== %s\n", what) }

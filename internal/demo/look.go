package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/taccoform/packer-plugin-ssm/internal/inspection"
)

// survey lists what the account holds.
func (s *stage) survey(ctx context.Context) (inspection.Account, error) {
	return inspection.Survey(ctx, s.config)
}

// newImage is the one image that was not there before the build.
func (s *stage) newImage(ctx context.Context, before inspection.Account) (string, error) {
	after, err := s.survey(ctx)
	if err != nil {
		return "", err
	}
	fresh := after.Since(before)["images"]
	if len(fresh) != 1 {
		return "", fmt.Errorf("the build should have made one image, and made %d: %v", len(fresh), fresh)
	}
	return fresh[0], nil
}

// lookInside launches the image and asks the machine itself.
func (s *stage) lookInside(ctx context.Context, image string) (err error) {
	say("inside " + image + ", launched anew")
	guest, err := inspection.Launch(ctx, s.config, image)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, guest.Close(ctx)) }()
	fmt.Println("launched", guest.ID())
	return errors.Join(s.checkWritten(ctx, guest), checkTraces(ctx, guest))
}

// checkWritten compares what the two provisioners of example/basic wrote with what they should have.
func (s *stage) checkWritten(ctx context.Context, guest *inspection.Guest) error {
	page, err := os.ReadFile(filepath.Join(s.example, "index.html"))
	if err != nil {
		return err
	}
	out, err := guest.Run(ctx, "sha256sum </usr/share/web/index.html; cat /etc/web-release")
	if err != nil {
		return err
	}
	sum, release, _ := strings.Cut(out, "\n")
	want := fmt.Sprintf("%x  -", sha256.Sum256(page))
	release = strings.TrimSpace(release)
	return errors.Join(
		check("the file provisioner's page is there, unchanged", sum == want, sum),
		check("the shell provisioner's note is there", strings.HasPrefix(release, "built from ami-") && strings.HasSuffix(release, " as ec2-user"), release),
	)
}

// checkTraces is the other half: nothing of the build came along.
func checkTraces(ctx context.Context, guest *inspection.Guest) error {
	traces, err := guest.Traces(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range traces {
		errs = append(errs, check("no "+t.Name, len(t.Found) == 0, strings.Join(t.Found, ", ")))
	}
	return errors.Join(errs...)
}

// lookAround holds the account against what it held before: the image, its snapshots, nothing else.
func (s *stage) lookAround(ctx context.Context, before inspection.Account, image string) error {
	say("the account")
	after, err := s.survey(ctx)
	if err != nil {
		return err
	}
	expected, err := s.snapshotsOf(ctx, image)
	if err != nil {
		return err
	}
	expected = append(expected, image)
	fresh := after.Since(before)
	var errs []error
	for _, kind := range after.Kinds() {
		left := slices.DeleteFunc(slices.Clone(fresh[kind]), func(id string) bool { return slices.Contains(expected, id) })
		errs = append(errs, check("no "+kind+" left but the image's own", len(left) == 0, strings.Join(left, ", ")))
	}
	return errors.Join(errs...)
}

func (s *stage) snapshotsOf(ctx context.Context, image string) ([]string, error) {
	out, err := ec2.NewFromConfig(s.config).DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{image}})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, mapping := range out.Images[0].BlockDeviceMappings {
		if mapping.Ebs != nil && mapping.Ebs.SnapshotId != nil {
			ids = append(ids, *mapping.Ebs.SnapshotId)
		}
	}
	return ids, nil
}

// check prints one line, and is an error when what it says is not so.
func check(what string, ok bool, seen string) error {
	if ok {
		fmt.Printf("  ok   %s\n", what)
		return nil
	}
	fmt.Printf("  BAD  %s: %s\n", what, seen)
	return fmt.Errorf("%s: %s", what, seen)
}

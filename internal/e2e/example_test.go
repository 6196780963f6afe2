//go:build linux

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/taccoform/packer-plugin-ssm/internal/inspection"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// example runs the commands of a first template in a copy of the folder, so that a build can't change the repository.
func (w *world) example(name string, args ...string) outcome {
	w.Helper()
	dir := filepath.Join(w.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "example", name))); err != nil {
		w.Fatal(err)
	}
	w.must(dir, "init", ".")
	w.must(dir, "fmt", "-check", ".")
	w.must(dir, append(append([]string{"validate"}, args...), ".")...)
	return w.must(dir, append(append([]string{"build", "-color=false"}, args...), ".")...)
}

// inside launches an image and hands its machine to look.
func (w *world) inside(image string, look func(ctx context.Context, guest *inspection.Guest)) {
	w.Helper()
	guest, err := inspection.Launch(w.Context(), w.config, image)
	if err != nil {
		w.Fatal(err)
	}
	look(w.Context(), guest)
	if err := guest.Close(w.Context()); err != nil {
		w.Error(err)
	}
}

// reads fails unless the script's output in the guest is what is wanted.
func (w *world) reads(ctx context.Context, guest *inspection.Guest, script, want string) {
	w.Helper()
	got, err := guest.Run(ctx, script)
	if err != nil {
		w.Error(err)
	} else if strings.TrimSpace(got) != strings.TrimSpace(want) {
		w.Errorf("%s prints %q, want %q", script, got, want)
	}
}

// untouched fails for each trace of the build in the guest.
func (w *world) untouched(ctx context.Context, guest *inspection.Guest) {
	w.Helper()
	traces, err := guest.Traces(ctx)
	if err != nil {
		w.Error(err)
	}
	for _, trace := range traces {
		for _, found := range trace.Found {
			w.Errorf("left in the image: %s: %s", trace.Name, found)
		}
	}
}

// artifacts are an image and its snapshots, which a build is meant to leave.
func (w *world) artifacts(images ...string) []string {
	w.Helper()
	out, err := ec2.NewFromConfig(w.config).DescribeImages(w.Context(), &ec2.DescribeImagesInput{ImageIds: images})
	if err != nil {
		w.Fatal(err)
	}
	ids := images
	for _, image := range out.Images {
		for _, mapping := range image.BlockDeviceMappings {
			if mapping.Ebs != nil {
				ids = append(ids, aws.ToString(mapping.Ebs.SnapshotId))
			}
		}
	}
	return ids
}

func TestExampleBasic(t *testing.T) {
	w := newWorld(t, localaws.Options{})
	o := w.example("basic")
	image := w.images(1)[0]
	w.says(o, "us-east-1: "+image)
	w.nothingLeft(w.artifacts(image)...)

	page, err := os.ReadFile(filepath.Join(root, "example", "basic", "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	w.inside(image, func(ctx context.Context, guest *inspection.Guest) {
		w.reads(ctx, guest, "cat /usr/share/web/index.html", string(page))
		w.reads(ctx, guest, "sed 's/ami-[0-9a-f]*/AMI/' /etc/web-release", "built from AMI as ec2-user")
		w.untouched(ctx, guest)
	})
}

// TestExampleArticle gives the template what its own readers make beforehand: a subnet, and a profile by name.
func TestExampleArticle(t *testing.T) {
	w := newWorld(t, localaws.Options{})
	vpc, subnet := w.defaultSubnet()
	const profile = "session-manager"
	if err := inspection.Profile(t.Context(), w.config, profile); err != nil {
		t.Fatal(err)
	}
	w.packer = w.packer.With("PKR_VAR_vpc_id="+vpc, "PKR_VAR_subnet_id="+subnet, "PKR_VAR_iam_instance_profile="+profile)
	w.example("article")
	image := w.images(1)[0]
	if err := inspection.RemoveProfile(t.Context(), w.config, profile); err != nil {
		t.Fatal(err)
	}
	w.nothingLeft(w.artifacts(image)...)

	w.inside(image, func(ctx context.Context, guest *inspection.Guest) {
		w.reads(ctx, guest, "test -s /opt/article/built-at && . /etc/os-release && echo $PRETTY_NAME", "Amazon Linux 2")
		w.untouched(ctx, guest)
	})
}

// defaultSubnet is what Terraform would hand to the article's template.
func (w *world) defaultSubnet() (vpc, subnet string) {
	w.Helper()
	out, err := ec2.NewFromConfig(w.config).DescribeSubnets(w.Context(), &ec2.DescribeSubnetsInput{
		Filters: []types.Filter{{Name: aws.String("default-for-az"), Values: []string{"true"}}},
	})
	if err != nil || len(out.Subnets) == 0 {
		w.Fatalf("no default subnet: %v", err)
	}
	return aws.ToString(out.Subnets[0].VpcId), aws.ToString(out.Subnets[0].SubnetId)
}

func TestExampleSeveral(t *testing.T) {
	w := newWorld(t, localaws.Options{})
	output := t.TempDir()
	w.example("several", "-var", "output="+output)
	images := w.images(2)
	w.nothingLeft(w.artifacts(images...)...)

	site, err := os.ReadFile(filepath.Join(root, "example", "several", "site", "css", "site.css"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"al2", "al2023"} {
		report, err := os.ReadFile(filepath.Join(output, "report-"+name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		want := "It's an example: 100% \"quoted\"\n" + name + "\n" + string(site) + "up again since "
		if !strings.HasPrefix(string(report), want) {
			t.Errorf("the report of %s is %q, want it to begin with %q", name, report, want)
		}
	}
	for _, image := range images {
		w.inside(image, w.untouched)
	}
}

// TestExampleFull builds twice: the second image takes the name of the first in every region.
func TestExampleFull(t *testing.T) {
	w := newWorld(t, localaws.Options{})
	w.example("full")
	o := w.example("full")
	for _, region := range []string{"eu-west-1: ami-", "us-east-1: ami-", "us-west-2: ami-"} {
		w.says(o, region)
	}
	w.says(o, "Replacing ami-")
	w.inside(w.images(1)[0], func(ctx context.Context, guest *inspection.Guest) {
		w.reads(ctx, guest, "sed 's/-[0-9a-f]*//g' /etc/platform-release", "i of ami")
		w.untouched(ctx, guest)
	})
}

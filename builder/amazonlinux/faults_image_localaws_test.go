//go:build linux

package amazonlinux_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// wholeAgain is a world with an older image of the name in two regions, and the
// template of a build with every option of the image that replaces it.
func wholeAgain(t *testing.T) (w *world, raw block, old map[string]string) {
	t.Helper()
	w = newWorld(t, localaws.Options{NoMachines: true})
	old = map[string]string{region: w.older(region), west: w.older(west)}
	raw, _ = w.whole()
	raw["force_deregister"], raw["force_delete_snapshot"] = true, true
	raw["temporary_iam_instance_profile_policy_document"] = extraPolicy()
	delete(raw, "deregistration_protection")
	w.closeEgress()
	return w, raw, old
}

// older makes an image of the templates' name from one of Amazon's, and returns its id.
func (w *world) older(region string) string {
	w.Helper()
	c := w.ec2In(localaws.DefaultAccount, region)
	found, err := c.DescribeImages(w.Context(), &ec2.DescribeImagesInput{
		Owners: []string{"amazon"}, Filters: []types.Filter{{Name: aws.String("name"), Values: []string{"al2023-ami-2023*"}}},
	})
	if err != nil || len(found.Images) == 0 {
		w.Fatalf("no image to copy: %v", err)
	}
	made, err := c.CopyImage(w.Context(), &ec2.CopyImageInput{
		Name: aws.String("web-1"), SourceImageId: found.Images[0].ImageId, SourceRegion: aws.String(region),
	})
	if err != nil {
		w.Fatal(err)
	}
	id := aws.ToString(made.ImageId)
	w.until(func() bool { return w.imageIn(region, id).State == types.ImageStateAvailable })
	return id
}

// nameIsSound: whoever looks for the name finds the old image or the new one,
// or is told under which name the new one is.
func (w *world) nameIsSound(r result, old map[string]string) {
	w.Helper()
	for region, id := range old {
		found := w.named(region)
		switch {
		case r.artifact != nil && slices.Contains(found, r.regional(w.T)[region]):
		case r.artifact == nil && slices.Contains(found, id):
		case r.err != nil && strings.Contains(r.err.Error(), "kept, because"):
		default:
			w.Errorf("%s: the name web-1 is of %v; the old image was %s", region, found, id)
		}
	}
}

// untold are what the build left beside what stood there before, its artifact
// and what the user was told how to remove. What goes away by itself is waited for.
func (w *world) untold(r result, before []string) []string {
	w.Helper()
	said := remedies(r)
	var left []string
	w.until(func() bool {
		left = slices.DeleteFunc(w.aws.Leftovers(), func(line string) bool { return slices.Contains(before, line) || goesWith(r, said, line) })
		if slices.ContainsFunc(left, isSnapshot) {
			of := w.snapshotsOf(r, said)
			left = slices.DeleteFunc(left, func(line string) bool { return isSnapshot(line) && slices.Contains(of, strings.Fields(line)[3]) })
		}
		return len(left) == 0
	})
	return left
}

// snapshotIsTold tells whether the user knows a snapshot's id, or how to list those of its region.
func snapshotIsTold(said string, line []string) bool {
	region, id := line[2], line[3]
	return strings.Contains(said, "delete-snapshot --region "+region+" --snapshot-id "+id) ||
		strings.Contains(said, "describe-snapshots --region "+region+" --owner-ids self --filters Name=tag:")
}

func isSnapshot(line string) bool { return strings.HasPrefix(line, "ec2 snapshot ") }

// remedies are the lines that tell the user how to remove, or to find, what is left.
func remedies(r result) string {
	said := r.ui.errors()
	if r.err != nil {
		said += "\n" + r.err.Error()
	}
	lines := slices.DeleteFunc(strings.Split(said, "\n"), func(line string) bool {
		return !strings.Contains(line, "aws ") && !strings.Contains(line, "by the tag")
	})
	return strings.Join(lines, "\n")
}

// goesWith tells whether a leftover is of the artifact, or told, or part of something that is.
func goesWith(r result, said, line string) bool {
	switch {
	case told(said, line):
		return true
	case isSnapshot(line) && snapshotIsTold(said, strings.Fields(line)):
		return true
	case strings.HasPrefix(line, "ec2 volume"), strings.HasPrefix(line, "ec2 network interface"), strings.HasPrefix(line, "ssm command"):
		return strings.Contains(said, "terminate-instances")
	}
	return r.artifact != nil && strings.HasPrefix(line, "ec2 image") && strings.Contains(r.artifact.String(), imageID.FindString(line))
}

// snapshotsOf are the snapshots of the images that are the build's artifact, or told.
func (w *world) snapshotsOf(r result, said string) []string {
	w.Helper()
	if r.artifact != nil {
		said += r.artifact.String()
	}
	var ids []string
	for _, account := range []string{localaws.DefaultAccount, localaws.OtherAccount} {
		for _, region := range []string{region, west, europe} {
			found, err := w.ec2In(account, region).DescribeImages(w.Context(), &ec2.DescribeImagesInput{Owners: []string{"self"}})
			if err != nil {
				w.Fatal(err)
			}
			for _, image := range found.Images {
				if strings.Contains(said, aws.ToString(image.ImageId)) {
					ids = append(ids, snapshotsIn(image)...)
				}
			}
		}
	}
	return ids
}

func snapshotsIn(image types.Image) []string {
	var ids []string
	for _, d := range image.BlockDeviceMappings {
		if d.Ebs != nil {
			ids = append(ids, aws.ToString(d.Ebs.SnapshotId))
		}
	}
	return ids
}

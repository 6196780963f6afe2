//go:build linux

package e2e

import (
	"cmp"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/taccoform/packer-plugin-ssm/internal/inspection"
	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// A made image is what a build has made in one region, without the ids and times that no two builds share.
type made struct {
	Image       types.Image
	Permissions []types.LaunchPermission
	Snapshots   map[string]madeSnapshot // by device
}

type madeSnapshot struct {
	Snapshot    types.Snapshot
	Permissions []types.CreateVolumePermission
}

// A yield is all that a build leaves: images by region, and what is inside, path by path; and what it took.
type yield struct {
	Images    map[string]made
	Inventory map[string]string
	effort    effort
}

// An effort is what a build took.
type effort struct {
	calls map[string]int // by service:action
	time  time.Duration
}

func (e effort) String() string {
	var all []string
	sum := 0
	for _, name := range slices.Sorted(maps.Keys(e.calls)) {
		all = append(all, fmt.Sprintf("%s %d", name, e.calls[name]))
		sum += e.calls[name]
	}
	return fmt.Sprintf("%v, %d calls: %s", e.time, sum, strings.Join(all, ", "))
}

// TestSameImage builds one template with amazon-ebs, and again moved by the guide: the images are the same, in every
// region and inside, but for the key that amazon-ebs leaves in its one. Only amazon-ebs makes a key pair and a security
// group for the build. There is no reboot in it: amazon-ebs's tunnel takes a while to notice one, and whether the build
// finds its way back is a matter of luck.
func TestSameImage(t *testing.T) {
	var peers, ours yield
	t.Run("builds", func(t *testing.T) {
		t.Run("amazon-ebs", func(t *testing.T) {
			w := newComparison(t)
			w.asPeer()
			peers = w.build(w.copied("compare"))
		})
		t.Run("ssm-amazon-linux", func(t *testing.T) {
			w := newComparison(t)
			dir := w.copied("compare")
			w.follow(dir)
			ours = w.build(dir)
		})
	})
	if t.Failed() {
		return
	}
	t.Logf("amazon-ebs:       %s", peers.effort)
	t.Logf("ssm-amazon-linux: %s", ours.effort)
	const key = "home/ec2-user/.ssh/authorized_keys"
	if peers.Inventory[key] == "" {
		t.Errorf("amazon-ebs left no %s; its docs say that it does", key)
	}
	delete(peers.Inventory, key)
	if diff := gocmp.Diff(peers.Inventory, ours.Inventory); diff != "" {
		t.Errorf("what is in the images differs (-amazon-ebs +ssm-amazon-linux):\n%s", diff)
	}
	if diff := gocmp.Diff(peers.Images, ours.Images, sameImage...); diff != "" {
		t.Errorf("the images differ (-amazon-ebs +ssm-amazon-linux):\n%s", diff)
	}
	for action, times := range map[string][2]int{"ec2:CreateKeyPair": {1, 0}, "ec2:CreateSecurityGroup": {1, 0}, "iam:CreateRole": {1, 1}} {
		if got := [2]int{peers.effort.calls[action], ours.effort.calls[action]}; got != times {
			t.Errorf("%s was called %v times, by amazon-ebs and by ssm-amazon-linux; want %v", action, got, times)
		}
	}
}

// sameImage compares images but for the tag that tells which build of ours made them.
var sameImage = gocmp.Options{
	cmpopts.EquateEmpty(),
	cmpopts.IgnoreUnexported(types.Image{}, types.LaunchPermission{}, types.Snapshot{}, types.CreateVolumePermission{}, types.Tag{},
		types.BlockDeviceMapping{}, types.EbsBlockDevice{}),
	cmpopts.IgnoreSliceElements(func(tag types.Tag) bool { return aws.ToString(tag.Key) == "packer-plugin-ssm:build" }),
}

// newComparison is a world in which amazon-ebs can work: it takes an image that its first look doesn't find for one that
// will never be, so here a new image is known at once. It would also begin to look after up to 15 s and then ever less
// often; told to look each second it does so at least at first.
func newComparison(t *testing.T) *world {
	t.Helper()
	delays := localaws.DelaysOf(localaws.Demo)
	delays.EC2Consistency = 0
	w := newWorld(t, localaws.Options{Delays: &delays})
	w.packer = w.packer.With("PKR_VAR_account="+localaws.OtherAccount, "AWS_POLL_DELAY_SECONDS=1")
	return w
}

// copied is a copy of a folder of testdata, for Packer to work in.
func (w *world) copied(name string) string {
	w.Helper()
	dir := filepath.Join(w.TempDir(), filepath.Base(name))
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", filepath.FromSlash(name)))); err != nil {
		w.Fatal(err)
	}
	return dir
}

// build builds dir, looks at what it made, and tells what it took.
func (w *world) build(dir string) yield {
	w.Helper()
	start := time.Now()
	w.must(dir, "build", "-color=false", ".")
	took := effort{map[string]int{}, time.Since(start).Round(time.Second)}
	for _, call := range w.aws.Calls() {
		took.calls[call.Service+":"+call.Action]++
	}
	seen := yield{Images: map[string]made{}, effort: took}
	var keep []string
	for _, region := range []string{"us-east-1", "us-west-2"} {
		config := w.config.Copy()
		config.Region = region
		image, ids := w.seen(config)
		seen.Images[region] = image
		keep = append(keep, ids...)
	}
	w.nothingLeft(keep...)
	w.inside(w.images(1)[0], func(ctx context.Context, guest *inspection.Guest) { seen.Inventory = w.inventory(ctx, guest) })
	return seen
}

// changing is what no two builds have in common in a snapshot's description: ids, and the time in milliseconds.
var changing = regexp.MustCompile(`\b(ami|i|snap|vol)-[0-9a-f]+|\b[0-9]{13}\b`)

// seen describes the one image of a region.
func (w *world) seen(config aws.Config) (made, []string) {
	w.Helper()
	ids, err := inspection.Images(w.Context(), config)
	if err != nil || len(ids) != 1 {
		w.Fatalf("images in %s: %v, %v; want one", config.Region, ids, err)
	}
	api := ec2.NewFromConfig(config)
	out, err := api.DescribeImages(w.Context(), &ec2.DescribeImagesInput{ImageIds: ids})
	if err != nil {
		w.Fatal(err)
	}
	image := out.Images[0]
	permission, err := api.DescribeImageAttribute(w.Context(), &ec2.DescribeImageAttributeInput{
		ImageId: image.ImageId, Attribute: types.ImageAttributeNameLaunchPermission,
	})
	if err != nil {
		w.Fatal(err)
	}
	m := made{Permissions: permission.LaunchPermissions, Snapshots: map[string]madeSnapshot{}}
	for i, mapping := range image.BlockDeviceMappings {
		if mapping.Ebs == nil || mapping.Ebs.SnapshotId == nil {
			continue
		}
		ids = append(ids, *mapping.Ebs.SnapshotId)
		m.Snapshots[aws.ToString(mapping.DeviceName)] = w.seenSnapshot(api, *mapping.Ebs.SnapshotId)
		image.BlockDeviceMappings[i].Ebs.SnapshotId = nil
	}
	image.ImageId, image.CreationDate, image.SourceInstanceId, image.SourceImageId = nil, nil, nil, nil
	sortTags(image.Tags)
	m.Image = image
	return m, ids
}

func (w *world) seenSnapshot(api *ec2.Client, id string) madeSnapshot {
	w.Helper()
	out, err := api.DescribeSnapshots(w.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}})
	if err != nil {
		w.Fatal(err)
	}
	permission, err := api.DescribeSnapshotAttribute(w.Context(), &ec2.DescribeSnapshotAttributeInput{
		SnapshotId: &id, Attribute: types.SnapshotAttributeNameCreateVolumePermission,
	})
	if err != nil {
		w.Fatal(err)
	}
	s := out.Snapshots[0]
	s.SnapshotId, s.VolumeId, s.StartTime, s.CompletionTime = nil, nil, nil, nil
	s.Description = aws.String(changing.ReplaceAllString(aws.ToString(s.Description), "$1*"))
	sortTags(s.Tags)
	return madeSnapshot{s, permission.CreateVolumePermissions}
}

func sortTags(tags []types.Tag) {
	slices.SortFunc(tags, func(a, b types.Tag) int { return cmp.Compare(aws.ToString(a.Key), aws.ToString(b.Key)) })
}

// inventoryScript prints each file with its mode, owner and contents. What a machine gives itself when it boots, and
// logs, are left out.
const inventoryScript = `
cd /
find bin boot etc home media mnt opt root sbin srv tmp usr/local var -xdev \
  \( -path var/log -o -path var/cache -o -path var/lib/cloud -o -path var/lib/amazon -o -path 'etc/ssh/ssh_host_*' -o -path etc/machine-id -o -path etc/hostname \) -prune \
  -o -printf '%M %U:%G %p %l\n' -type f -exec sha256sum {} \; | awk '
  length($1) == 64 { print "sum", $2, $1; next } { print }' | gzip -9 | base64 -w0`

// inventory is what is in the guest, path by path.
func (w *world) inventory(ctx context.Context, guest *inspection.Guest) map[string]string {
	w.Helper()
	packed, err := guest.Run(ctx, inventoryScript)
	if err != nil {
		w.Fatal(err)
	}
	unpacked, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(strings.TrimSpace(packed))))
	if err != nil {
		w.Fatal(err)
	}
	text, err := io.ReadAll(unpacked)
	if err != nil {
		w.Fatalf("%v: %d characters of output, which Run Command may have cut", err, len(packed))
	}
	found := map[string]string{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		switch {
		case len(f) < 3:
		case f[0] == "sum":
			found[f[1]] += " " + f[2][:16]
		default:
			found[f[2]] = strings.Join(append(f[:2:2], f[3:]...), " ")
		}
	}
	return found
}

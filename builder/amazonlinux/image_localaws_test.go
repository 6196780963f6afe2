//go:build linux

package amazonlinux_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

const (
	west   = "us-west-2"
	europe = "eu-west-1"
	orgARN = "arn:aws:organizations::123456789012:organization/o-abcdefghij"
	ouARN  = "arn:aws:organizations::123456789012:ou/o-abcdefghij/ou-ab12-cdefghij"
)

// ec2In is a client of an account in a region.
func (w *world) ec2In(account, region string) *ec2.Client {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := account + " " + region
	if w.clients[key] == nil {
		id, secret := w.aws.Credentials(account)
		w.clients[key] = ec2.New(ec2.Options{
			Region: region, BaseEndpoint: aws.String(w.aws.URL()),
			Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""),
		})
	}
	return w.clients[key]
}

// key makes a KMS key of the account's own and returns its ARN.
func (w *world) key(region string) string {
	w.Helper()
	return w.keyOf(localaws.DefaultAccount, region, "")
}

// unconnected is a template whose build has to do with the image alone.
func (w *world) unconnected(more block) block {
	t := w.template(more)
	t["communicator"] = "none"
	return t
}

// regional are the images of an artifact, by region.
func (r result) regional(t *testing.T) map[string]string {
	t.Helper()
	if r.artifact == nil {
		t.Fatalf("no artifact: %v\n%s", r.err, r.ui)
	}
	images := map[string]string{}
	for _, part := range strings.Split(r.artifact.Id(), ",") {
		region, id, _ := strings.Cut(part, ":")
		images[region] = id
	}
	return images
}

// imageIn is an image as its region has it.
func (w *world) imageIn(region, id string) types.Image {
	w.Helper()
	found, err := w.ec2In(localaws.DefaultAccount, region).DescribeImages(w.Context(), &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if err != nil {
		w.Fatal(err)
	}
	return found.Images[0]
}

// named are the ids of the images in a region that have the name of the templates.
func (w *world) named(region string) []string {
	w.Helper()
	found, err := w.ec2In(localaws.DefaultAccount, region).DescribeImages(w.Context(), &ec2.DescribeImagesInput{
		Owners: []string{"self"}, Filters: []types.Filter{{Name: aws.String("name"), Values: []string{"web-1"}}},
	})
	if err != nil {
		w.Fatal(err)
	}
	var ids []string
	for _, i := range found.Images {
		ids = append(ids, aws.ToString(i.ImageId))
	}
	return ids
}

// whole is a template with every option of the image.
func (w *world) whole() (raw block, keys map[string]string) {
	w.Helper()
	keys = map[string]string{region: w.key(region), west: w.key(west), europe: w.key(europe)}
	return w.unconnected(block{
		"release": "2023", "ami_description": "of {{ .SourceAMIName }}",
		"tags": block{"Base": "{{ .SourceAMI }}"}, "snapshot_tags": block{"Of": "{{ .SourceAMIName }}"},
		"run_tags": block{"Team": "tests"}, "skip_ami_run_tags": false,
		"encrypt_boot": true, "kms_key_id": keys[region],
		"ami_regions": []string{west, europe}, "region_kms_key_ids": block{west: keys[west], europe: keys[europe]},
		"snapshot_copy_duration_minutes": 15,
		"ami_users":                      []string{localaws.OtherAccount}, "snapshot_users": []string{localaws.OtherAccount},
		"ami_org_arns": []string{orgARN}, "ami_ou_arns": []string{ouARN},
		"deprecate_after":           "90d",
		"deregistration_protection": block{"enabled": true},
		"ami_block_device_mappings": []block{{"device_name": "/dev/sdf", "volume_size": 5, "volume_type": "gp3"}},
	}), keys
}

func TestWholeImage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	raw, keys := w.whole()
	r := w.build(t.Context(), raw, nil)
	images := r.regional(t)
	if len(images) != 3 {
		t.Fatalf("artifact %s", r.artifact.Id())
	}
	for region, id := range images {
		image := w.imageIn(region, id)
		w.checkWhole(region, image)
		w.checkSnapshots(region, image, keys[region])
		w.checkShared(region, id)
	}
	if err := r.artifact.Destroy(); err == nil || !strings.Contains(err.Error(), "protected") {
		t.Errorf("protected images were destroyed: %v", err)
	}
	for region, id := range images {
		_, err := w.ec2In(localaws.DefaultAccount, region).DisableImageDeregistrationProtection(t.Context(),
			&ec2.DisableImageDeregistrationProtectionInput{ImageId: aws.String(id)})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := r.artifact.Destroy(); err != nil {
		t.Error(err)
	}
	if left := w.leftovers(nil); len(left) > len(keys) { // the keys are the test's own
		t.Errorf("after Destroy: %q", left)
	}
}

func (w *world) checkWhole(region string, image types.Image) {
	w.Helper()
	base := tag(image.Tags, "Base")
	if image.State != types.ImageStateAvailable || aws.ToString(image.Name) != "web-1" || image.ImdsSupport != types.ImdsSupportValuesV20 {
		w.Errorf("%s: %s %s %s", region, image.State, aws.ToString(image.Name), image.ImdsSupport)
	}
	if !strings.HasPrefix(aws.ToString(image.Description), "of al2023-") || !strings.HasPrefix(base, "ami-") || tag(image.Tags, "Team") != "tests" {
		w.Errorf("%s: %q, tags %v", region, aws.ToString(image.Description), image.Tags)
	}
	if image.BootMode != types.BootModeValuesUefiPreferred || !aws.ToBool(image.EnaSupport) {
		w.Errorf("%s: boot mode %s, ENA %v", region, image.BootMode, aws.ToBool(image.EnaSupport))
	}
	at, err := time.Parse(time.RFC3339, aws.ToString(image.DeprecationTime))
	if days := time.Until(at).Hours() / 24; err != nil || days < 89.9 || days > 90.1 {
		w.Errorf("%s: deprecated at %s", region, aws.ToString(image.DeprecationTime))
	}
	if aws.ToString(image.DeregistrationProtection) != "enabled-without-cooldown" {
		w.Errorf("%s: protection %s", region, aws.ToString(image.DeregistrationProtection))
	}
	if len(image.BlockDeviceMappings) != 2 || aws.ToString(image.BlockDeviceMappings[1].DeviceName) != "/dev/sdf" {
		w.Errorf("%s: devices %+v", region, image.BlockDeviceMappings)
	}
}

func (w *world) checkSnapshots(region string, image types.Image, key string) {
	w.Helper()
	id := aws.ToString(image.BlockDeviceMappings[0].Ebs.SnapshotId)
	c := w.ec2In(localaws.DefaultAccount, region)
	found, err := c.DescribeSnapshots(w.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}})
	if err != nil {
		w.Fatal(err)
	}
	s := found.Snapshots[0]
	if !aws.ToBool(s.Encrypted) || aws.ToString(s.KmsKeyId) != key {
		w.Errorf("%s: encrypted with %s, want %s", region, aws.ToString(s.KmsKeyId), key)
	}
	if !strings.HasPrefix(tag(s.Tags, "Of"), "al2023-") || tag(s.Tags, "Base") == "" {
		w.Errorf("%s: snapshot tags %v", region, s.Tags)
	}
	if _, err := w.ec2In(localaws.OtherAccount, region).DescribeSnapshots(w.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}}); err != nil {
		w.Errorf("%s: the other account can't see the snapshot: %v", region, err)
	}
}

func (w *world) checkShared(region, id string) {
	w.Helper()
	found, err := w.ec2In(localaws.OtherAccount, region).DescribeImages(w.Context(), &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if err != nil || len(found.Images) != 1 {
		w.Errorf("%s: the other account can't see the image: %v", region, err)
	}
	launchers, err := w.ec2In(localaws.DefaultAccount, region).DescribeImageAttribute(w.Context(), &ec2.DescribeImageAttributeInput{
		ImageId: aws.String(id), Attribute: types.ImageAttributeNameLaunchPermission,
	})
	if err != nil {
		w.Fatal(err)
	}
	var may []string
	for _, p := range launchers.LaunchPermissions {
		may = append(may, aws.ToString(p.UserId)+aws.ToString(p.OrganizationArn)+aws.ToString(p.OrganizationalUnitArn))
	}
	slices.Sort(may)
	if want := slices.Sorted(slices.Values([]string{localaws.OtherAccount, orgARN, ouARN})); !slices.Equal(may, want) {
		w.Errorf("%s: launched by %q, want %q", region, may, want)
	}
}

// Encryption is that of the launch: no image is made twice in the build region.
func TestEncryptedAtLaunch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	r := w.build(t.Context(), w.unconnected(block{"encrypt_boot": true}), nil)
	image := w.imageIn(region, r.regional(t)[region])
	if !aws.ToBool(image.BlockDeviceMappings[0].Ebs.Encrypted) {
		t.Error("not encrypted")
	}
	for _, call := range w.actions() {
		if call == "ec2:CopyImage" {
			t.Error("copied")
		}
	}
	w.nothingLeft(r)
}

// Only the copies stay, and the name was free in the build region all the while.
func TestSkipSaveBuildRegion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	r := w.build(t.Context(), w.unconnected(block{"ami_regions": []string{west}, "skip_save_build_region": true}), nil)
	images := r.regional(t)
	if len(images) != 1 || images[west] == "" {
		t.Fatalf("artifact %s", r.artifact.Id())
	}
	if name := aws.ToString(w.imageIn(west, images[west]).Name); name != "web-1" {
		t.Errorf("name %s", name)
	}
	for _, line := range w.leftovers(r.artifact) {
		t.Errorf("left: %s", line)
	}
}

func TestIMDSNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	r := w.build(t.Context(), w.unconnected(block{"imds_support": "none"}), nil)
	if got := w.imageIn(region, r.regional(t)[region]).ImdsSupport; got != "" {
		t.Errorf("IMDS support %q of an Amazon Linux 2 image", got)
	}
}

func TestBootMode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	r := w.build(t.Context(), w.unconnected(block{"release": "2023", "boot_mode": "uefi"}), nil)
	if got := w.imageIn(region, r.regional(t)[region]).BootMode; got != types.BootModeValuesUefi {
		t.Errorf("boot mode %s", got)
	}
}

func TestPublicImage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	public := w.unconnected(block{"ami_groups": []string{"all"}})
	if _, err := w.ec2().EnableImageBlockPublicAccess(t.Context(), &ec2.EnableImageBlockPublicAccessInput{
		ImageBlockPublicAccessState: types.ImageBlockPublicAccessEnabledStateBlockNewSharing,
	}); err != nil {
		t.Fatal(err)
	}
	r := w.build(t.Context(), public, nil)
	if r.err == nil || !strings.HasPrefix(r.err.Error(), "plan: ami_groups: the account blocks public images") {
		t.Errorf("blocked: %v", r.err)
	}
	if _, err := w.ec2().DisableImageBlockPublicAccess(t.Context(), &ec2.DisableImageBlockPublicAccessInput{}); err != nil {
		t.Fatal(err)
	}
	r = w.build(t.Context(), public, nil)
	if !aws.ToBool(w.imageIn(region, r.regional(t)[region]).Public) {
		t.Error("not public")
	}
}

// What AWS would refuse at the end of the build is told before its start.
func TestImageFailsInThePlan(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		more  block
		setup func(w *world) error
		want  string
	}{
		"no such region": {block{"ami_regions": []string{"ap-east-1"}}, nil, `ami_regions: the account has no region "ap-east-1"`},
		"default key":    {block{"encrypt_boot": true, "ami_users": []string{localaws.OtherAccount}}, nil, "AWS's own key for EBS"},
		"default key of a copy": {block{"encrypt_boot": true, "kms_key_id": "alias/mine", "ami_users": []string{localaws.OtherAccount},
			"ami_regions": []string{west}}, nil, "sharing: the image in us-west-2"},
		"encrypted by the account": {block{"encrypt_boot": false}, func(w *world) error {
			_, err := w.ec2().EnableEbsEncryptionByDefault(w.Context(), &ec2.EnableEbsEncryptionByDefaultInput{})
			return err
		}, "encrypts every new volume in us-east-1"},
		"public and encrypted": {block{"ami_groups": []string{"all"}, "root_volume": block{"encrypted": true}}, nil, "such a one can't be public"},
		"denied copy": {block{"ami_regions": []string{west}}, func(w *world) error {
			w.aws.Inject(localaws.Fault{Action: "CopyImage", Deny: true, Times: -1})
			return nil
		}, "CopyImage: UnauthorizedOperation"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, localaws.Options{NoMachines: true})
			if test.setup != nil {
				if err := test.setup(w); err != nil {
					t.Fatal(err)
				}
			}
			r := w.build(t.Context(), w.unconnected(test.more), nil)
			if r.err == nil || !strings.HasPrefix(r.err.Error(), "plan: ") || !strings.Contains(r.err.Error(), test.want) {
				t.Errorf("got %v, want %q", r.err, test.want)
			}
			w.nothingLeft(r)
		})
	}
}

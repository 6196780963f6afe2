//go:build linux

package amazonlinux_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// An account has this role in the other one from the start.
const roleThere = "arn:aws:iam::" + localaws.OtherAccount + ":role/OrganizationAccountAccessRole"

// lending is the policy of a key that lets the other account copy what it encrypts.
const lending = `{"Version":"2012-10-17","Statement":[
	{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"kms:*","Resource":"*"},
	{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + localaws.OtherAccount + `:root"},
	 "Action":["kms:DescribeKey","kms:Decrypt","kms:ReEncrypt*","kms:CreateGrant"],"Resource":"*"}]}`

// there are the images of the templates' name that the other account owns, by region.
func (w *world) there() map[string]types.Image {
	w.Helper()
	all := map[string]types.Image{}
	for _, region := range []string{region, west, europe} {
		found, err := w.ec2In(localaws.OtherAccount, region).DescribeImages(w.Context(), &ec2.DescribeImagesInput{Owners: []string{"self"}})
		if err != nil {
			w.Fatal(err)
		}
		for _, image := range found.Images {
			if _, twice := all[region]; twice {
				w.Errorf("more than one image in %s", region)
			}
			all[region] = image
		}
	}
	return all
}

// nothingLent fails the test if the other account still may read an image of the build's, or its snapshots.
func (w *world) nothingLent(id string) {
	w.Helper()
	c := w.ec2In(localaws.DefaultAccount, region)
	launch, err := c.DescribeImageAttribute(w.Context(), &ec2.DescribeImageAttributeInput{ImageId: aws.String(id), Attribute: types.ImageAttributeNameLaunchPermission})
	if err != nil || len(launch.LaunchPermissions) > 0 {
		w.Errorf("%s may be launched by %+v; %v", id, launch, err)
	}
	for _, device := range w.imageIn(region, id).BlockDeviceMappings {
		read, err := c.DescribeSnapshotAttribute(w.Context(), &ec2.DescribeSnapshotAttributeInput{
			SnapshotId: device.Ebs.SnapshotId, Attribute: types.SnapshotAttributeNameCreateVolumePermission,
		})
		if err != nil || len(read.CreateVolumePermissions) > 0 {
			w.Errorf("%s may be read by %+v; %v", aws.ToString(device.Ebs.SnapshotId), read, err)
		}
	}
}

// copied is a template with copies in the other account's regions, encrypted with keys of both sides.
func (w *world) copied(more block) block {
	w.Helper()
	mine := w.keyOf(localaws.DefaultAccount, region, lending)
	t := w.unconnected(block{
		"release": "2023", "encrypt_boot": true, "kms_key_id": mine, "ami_description": "of {{ .SourceAMIName }}",
		"tags":     block{"Team": "tests", "Side": "here"},
		"ami_copy": []block{{"role_arn": roleThere, "regions": []string{region, west}, "kms_key_id": "alias/theirs", "tags": block{"Side": "there", "Base": "{{ .SourceAMI }}"}}},
	})
	for key, value := range more {
		t[key] = value
	}
	return t
}

// The copy is the other account's own, under its own key, and reads as the image does; and the account keeps nothing of what it was lent.
func TestCopyInAnotherAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	keys := map[string]string{region: w.aliased(region), west: w.aliased(west)}
	r := w.build(t.Context(), w.copied(block{
		"deprecate_after": "90d", "deregistration_protection": block{"enabled": true}, "ami_org_arns": []string{orgARN},
	}), nil)
	mine := r.regional(t)
	if len(mine) != 1 {
		t.Fatalf("artifact %s", r.artifact.Id())
	}
	copies := w.there()
	if len(copies) != 2 {
		t.Fatalf("%d copies\n%s", len(copies), r.ui)
	}
	for region, image := range copies {
		w.checkCopy(region, image, keys[region])
		if line := region + " of account " + localaws.OtherAccount + ": " + aws.ToString(image.ImageId); !strings.Contains(r.artifact.String(), line) {
			t.Errorf("the artifact does not name %s:\n%s", line, r.artifact)
		}
	}
	launch, err := w.ec2().DescribeImageAttribute(t.Context(), &ec2.DescribeImageAttributeInput{ImageId: aws.String(mine[region]), Attribute: types.ImageAttributeNameLaunchPermission})
	if err != nil || len(launch.LaunchPermissions) != 1 || launch.LaunchPermissions[0].UserId != nil {
		t.Errorf("launch permissions %+v, %v", launch, err)
	}
}

func (w *world) checkCopy(region string, image types.Image, key string) {
	w.Helper()
	c := w.ec2In(localaws.OtherAccount, region)
	found, err := c.DescribeSnapshots(w.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{aws.ToString(image.BlockDeviceMappings[0].Ebs.SnapshotId)}})
	if err != nil {
		w.Fatal(err)
	}
	s := found.Snapshots[0]
	if aws.ToString(s.OwnerId) != localaws.OtherAccount || aws.ToString(s.KmsKeyId) != key {
		w.Errorf("%s: snapshot of %s under %s, want %s", region, aws.ToString(s.OwnerId), aws.ToString(s.KmsKeyId), key)
	}
	for _, tags := range [][]types.Tag{image.Tags, s.Tags} {
		if tag(tags, "Team") != "tests" || tag(tags, "Side") != "there" || !strings.HasPrefix(tag(tags, "Base"), "ami-") {
			w.Errorf("%s: tags %v", region, tags)
		}
	}
	if image.State != types.ImageStateAvailable || aws.ToString(image.Name) != "web-1" || !strings.HasPrefix(aws.ToString(image.Description), "of al2023-") ||
		image.ImdsSupport != types.ImdsSupportValuesV20 || aws.ToString(image.DeprecationTime) == "" || aws.ToString(image.DeregistrationProtection) != "enabled-without-cooldown" {
		w.Errorf("%s: %+v", region, image)
	}
	launch, err := c.DescribeImageAttribute(w.Context(), &ec2.DescribeImageAttributeInput{ImageId: image.ImageId, Attribute: types.ImageAttributeNameLaunchPermission})
	if err != nil || len(launch.LaunchPermissions) != 1 || aws.ToString(launch.LaunchPermissions[0].OrganizationArn) != orgARN {
		w.Errorf("%s: launch permissions %+v, %v", region, launch, err)
	}
}

// A key by region is that region's, the default key where it is "", and kms_key_id is for the others; tags can be blocks.
func TestCopyUnderKeysByRegion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	own, all := w.keyOf(localaws.OtherAccount, west, ""), w.aliased(region)
	r := w.build(t.Context(), w.unconnected(block{"ami_copy": []block{{
		"role_arn": roleThere, "regions": []string{region, west, europe}, "kms_key_id": "alias/theirs",
		"region_kms_key_ids": block{west: own, europe: ""}, "tag": []block{{"key": "Region", "value": "{{ .BuildRegion }}"}},
	}}}), nil)
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, r.ui)
	}
	copies := w.there()
	for place, key := range map[string]string{region: all, west: own} {
		if s := w.snapshot(localaws.OtherAccount, place, copies[place]); aws.ToString(s.KmsKeyId) != key || tag(s.Tags, "Region") != region {
			t.Errorf("%s: under %s, want %s; tags %v", place, aws.ToString(s.KmsKeyId), key, s.Tags)
		}
	}
	if s := w.snapshot(localaws.OtherAccount, europe, copies[europe]); !aws.ToBool(s.Encrypted) || aws.ToString(s.KmsKeyId) == own {
		t.Errorf("%s: %+v", europe, s)
	}
}

// Destroy removes the copies, too, and what is lent is back before.
func TestCopyInAnotherAccountIsDestroyed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	r := w.build(t.Context(), w.unconnected(block{"ami_copy": []block{{"role_arn": roleThere, "session_name": "packer-web"}}}), nil)
	w.nothingLent(r.regional(t)[region])
	if copies := w.there(); len(copies) != 1 || aws.ToBool(copies[region].BlockDeviceMappings[0].Ebs.Encrypted) {
		t.Errorf("copies %+v", copies)
	}
	by := slices.DeleteFunc(w.aws.Calls(), func(c localaws.Call) bool { return c.Action != "CopyImage" })
	if n := len(by); n == 0 || !strings.HasSuffix(by[n-1].Caller, "assumed-role/OrganizationAccountAccessRole/packer-web") {
		t.Errorf("copied by %+v", by)
	}
	if err := r.artifact.Destroy(); err != nil {
		t.Error(err)
	}
	if left := w.leftovers(nil); len(left) > 0 {
		t.Errorf("after Destroy: %q", left)
	}
}

// What the template gives the account for good, it keeps.
func TestCopyKeepsWhatIsShared(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	r := w.build(t.Context(), w.unconnected(block{
		"ami_copy":  []block{{"role_arn": roleThere}},
		"ami_users": []string{localaws.OtherAccount}, "snapshot_users": []string{localaws.OtherAccount},
	}), nil)
	id := r.regional(t)[region]
	snapshot := w.imageIn(region, id).BlockDeviceMappings[0].Ebs.SnapshotId
	there := w.ec2In(localaws.OtherAccount, region)
	if _, err := there.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{id}}); err != nil {
		t.Error(err)
	}
	if _, err := there.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{aws.ToString(snapshot)}}); err != nil {
		t.Error(err)
	}
}

// Only the other account keeps an image.
func TestCopyAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	r := w.build(t.Context(), w.unconnected(block{"skip_save_build_region": true, "ami_copy": []block{{"role_arn": roleThere, "regions": []string{west}}}}), nil)
	if r.err != nil {
		t.Fatal(r.err)
	}
	if want := west + ":" + aws.ToString(w.there()[west].ImageId); r.artifact.Id() != want {
		t.Errorf("artifact %s, want %s", r.artifact.Id(), want)
	}
	if mine := w.named(region); len(mine) > 0 {
		t.Errorf("the build's own account keeps %v", mine)
	}
	w.nothingLeft(r)
}

// The name changes hands in the other account, too.
func TestCopyReplaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	raw := w.unconnected(block{"ami_copy": []block{{"role_arn": roleThere, "tags": block{"Side": "there"}}}})
	w.build(t.Context(), raw, nil).regional(t)
	old := aws.ToString(w.there()[region].ImageId)
	if r := w.build(t.Context(), raw, nil); r.err == nil || !strings.Contains(r.err.Error(), `"web-1" is taken by `+old+" in us-east-1 of account "+localaws.OtherAccount) {
		t.Errorf("without force_deregister: %v", r.err)
	}
	raw["force_deregister"], raw["force_delete_snapshot"] = true, true
	r := w.build(t.Context(), raw, nil)
	mine := r.regional(t)[region]
	now := w.there()[region]
	if aws.ToString(now.ImageId) == old || tag(now.Tags, "Side") != "there" {
		t.Errorf("there is %+v, was %s", now, old)
	}
	w.nothingLent(mine)
	if left := w.aws.Leftovers(); len(left) != 4 { // an image and a snapshot on each side
		t.Errorf("left: %q", left)
	}
}

// What can't work is told before the launch.
func TestCopyFailsInThePlan(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		more block
		want string
	}{
		"no such role":    {block{"ami_copy": []block{{"role_arn": "arn:aws:iam::" + localaws.OtherAccount + ":role/nobody"}}}, "ami_copy[0]: assume role arn:aws:iam::" + localaws.OtherAccount + ":role/nobody: AssumeRole: AccessDenied"},
		"own account":     {block{"ami_copy": []block{{"role_arn": "arn:aws:iam::123456789012:role/copy"}}}, "is in the build's own account"},
		"no such region":  {block{"ami_copy": []block{{"role_arn": roleThere, "regions": []string{"ap-east-1"}}}}, `ami_copy[0]: regions: the account has no region "ap-east-1"`},
		"AWS's own key":   {block{"encrypt_boot": true, "ami_copy": []block{{"role_arn": roleThere}}}, "sharing: the image in us-east-1 will be encrypted with AWS's own key"},
		"shared from it":  {block{"ami_copy": []block{{"role_arn": roleThere, "region_kms_key_ids": block{region: ""}}}, "ami_users": []string{"111122223333"}}, "sharing: the image in us-east-1 of account " + localaws.OtherAccount},
		"another's trust": {block{"ami_copy": []block{{"role_arn": "arn:aws:iam::" + localaws.OtherAccount + ":role/strict", "external_id": "theirs"}}}, "the role must trust the caller"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, localaws.Options{NoMachines: true})
			w.strictRole()
			r := w.build(t.Context(), w.unconnected(test.more), nil)
			if r.err == nil || !strings.HasPrefix(r.err.Error(), "plan: ") || !strings.Contains(r.err.Error(), test.want) {
				t.Errorf("got %v, want %q", r.err, test.want)
			}
			if slices.Contains(w.actions(), "ec2:RunInstances") {
				t.Error("launched")
			}
		})
	}
}

// strictRole makes a role in the other account that asks for the external id "ours" and may copy, and no more.
func (w *world) strictRole() string {
	w.Helper()
	id, secret := w.aws.Credentials(localaws.OtherAccount)
	c := iam.New(iam.Options{Region: region, BaseEndpoint: aws.String(w.aws.URL()), Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")})
	made, err := c.CreateRole(w.Context(), &iam.CreateRoleInput{RoleName: aws.String("strict"), AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"ours"}}}]}`)})
	if err == nil {
		_, err = c.PutRolePolicy(w.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("strict"), PolicyName: aws.String("copy"), PolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ec2:DescribeRegions","ec2:DescribeImages","ec2:DescribeSnapshots","ec2:CopyImage","ec2:CreateTags",
			"ec2:ModifyImageAttribute","ec2:DeregisterImage","ec2:DeleteSnapshot"],"Resource":"*"}]}`)})
	}
	if err != nil {
		w.Fatal(err)
	}
	return aws.ToString(made.Role.Arn)
}

// The role needs what the documentation says, and an external id where its trust asks for one.
func TestCopyByAStrictRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	role := w.strictRole()
	r := w.build(t.Context(), w.unconnected(block{"ami_copy": []block{{"role_arn": role, "external_id": "ours"}}}), nil)
	if r.err != nil || len(w.there()) != 1 {
		t.Errorf("copies %v, %v", w.there(), r.err)
	}
}

// A key that does not let the other account in is found out only by the copy, which fails: the error says whose key and what it must allow.
func TestCopyWithoutTheKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	w.aliased(region)
	w.aliased(west)
	r := w.build(t.Context(), w.copied(block{"kms_key_id": w.keyOf(localaws.DefaultAccount, region, "")}), nil)
	for _, want := range []string{"distribute: ", "Given key ID is not accessible", "must let account " + localaws.OtherAccount + " use it (kms:DescribeKey", "kept, because"} {
		if r.err == nil || !strings.Contains(r.err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, r.err)
		}
	}
	if copies := w.there(); len(copies) > 0 {
		t.Errorf("failed copies are left: %v", copies)
	}
	w.nothingLent(w.named(region)[0])
}

// An account learns of what it is lent only after a moment.
func TestCopyWaitsToSeeTheImage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	for nth, code := range map[int]string{2: "InvalidAMIID.NotFound", 3: "InvalidRequest"} { // the first is the plan's
		defer w.aws.Inject(localaws.Fault{Action: "CopyImage", Nth: nth, Code: code})()
	}
	r := w.build(t.Context(), w.unconnected(block{"ami_copy": []block{{"role_arn": roleThere}}}), nil)
	if r.err != nil || len(w.there()) != 1 {
		t.Errorf("%v\n%s", r.err, r.ui)
	}
}

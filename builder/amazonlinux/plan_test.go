package amazonlinux

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/taccoform/packer-plugin-ssm/internal/awsclient"
)

func TestReachesAWS(t *testing.T) {
	any4 := []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}
	rule := func(protocol string, from, to int32, ranges []types.IpRange) types.IpPermission {
		return types.IpPermission{IpProtocol: aws.String(protocol), FromPort: aws.Int32(from), ToPort: aws.Int32(to), IpRanges: ranges}
	}
	for name, test := range map[string]struct {
		rule types.IpPermission
		want bool
	}{
		"all traffic":    {types.IpPermission{IpProtocol: aws.String("-1"), IpRanges: any4}, true},
		"443":            {rule("tcp", 443, 443, any4), true},
		"all ports":      {rule("tcp", 0, 65535, any4), true},
		"80":             {rule("tcp", 80, 80, any4), false},
		"udp":            {rule("udp", 443, 443, any4), false},
		"inside only":    {rule("tcp", 443, 443, []types.IpRange{{CidrIp: aws.String("10.0.0.0/8")}}), false},
		"to a group":     {types.IpPermission{IpProtocol: aws.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{}}}, false},
		"IPv6 only":      {types.IpPermission{IpProtocol: aws.String("-1"), Ipv6Ranges: []types.Ipv6Range{{CidrIpv6: aws.String("::/0")}}}, false},
		"no ports given": {types.IpPermission{IpProtocol: aws.String("tcp"), IpRanges: any4}, false},
	} {
		if got := reachesAWS(test.rule); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestBetterSubnet(t *testing.T) {
	subnet := func(id string, public bool, free int32) types.Subnet {
		return types.Subnet{SubnetId: aws.String(id), MapPublicIpOnLaunch: aws.Bool(public), AvailableIpAddressCount: aws.Int32(free)}
	}
	list := []types.Subnet{subnet("d", false, 900), subnet("c", true, 10), subnet("b", true, 200), subnet("a", true, 200)}
	order := func(public bool) string {
		sorted := slices.Clone(list)
		slices.SortFunc(sorted, betterSubnet(public))
		var ids []string
		for _, s := range sorted {
			ids = append(ids, *s.SubnetId)
		}
		return strings.Join(ids, "")
	}
	if got := order(true); got != "abcd" {
		t.Errorf("public first: %s", got)
	}
	if got := order(false); got != "dabc" {
		t.Errorf("private first: %s", got)
	}
}

func testImage() types.Image {
	return types.Image{
		ImageId: aws.String("ami-0123456789abcdef0"), Name: aws.String("amzn2-ami-kernel-5.10-hvm-2.0.20260601.0-x86_64-gp2"),
		State: types.ImageStateAvailable, Architecture: types.ArchitectureValuesX8664, RootDeviceType: types.DeviceTypeEbs,
		RootDeviceName: aws.String("/dev/xvda"), CreationDate: aws.String("2026-06-02T00:00:00.000Z"), OwnerId: aws.String("137112412989"),
		Tags: []types.Tag{{Key: aws.String("Team"), Value: aws.String("base")}},
		BlockDeviceMappings: []types.BlockDeviceMapping{
			{DeviceName: aws.String("/dev/xvda"), Ebs: &types.EbsBlockDevice{VolumeSize: aws.Int32(8)}},
			{DeviceName: aws.String("/dev/sdb"), VirtualName: aws.String("ephemeral0")},
			{DeviceName: aws.String("/dev/sdc"), Ebs: &types.EbsBlockDevice{VolumeSize: aws.Int32(100), DeleteOnTermination: aws.Bool(false)}},
		},
	}
}

// Every volume goes with its instance, whatever the source image says.
func TestVolumes(t *testing.T) {
	got, err := volumes(&DiskConfig{RootVolume: RootVolume{Size: 20, Type: "gp3", IOPS: 4000, Throughput: 250, Encrypted: config.TriTrue, KMSKeyID: "alias/k"}}, testImage())
	if err != nil {
		t.Fatal(err)
	}
	want := []types.BlockDeviceMapping{
		{DeviceName: aws.String("/dev/xvda"), Ebs: &types.EbsBlockDevice{
			DeleteOnTermination: aws.Bool(true), VolumeSize: aws.Int32(20), VolumeType: types.VolumeTypeGp3,
			Iops: aws.Int32(4000), Throughput: aws.Int32(250), Encrypted: aws.Bool(true), KmsKeyId: aws.String("alias/k"),
		}},
		{DeviceName: aws.String("/dev/sdc"), Ebs: &types.EbsBlockDevice{DeleteOnTermination: aws.Bool(true)}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(types.BlockDeviceMapping{}, types.EbsBlockDevice{})); diff != "" {
		t.Error(diff)
	}
	if _, err := volumes(&DiskConfig{RootVolume: RootVolume{Size: 7}}, testImage()); err == nil || !strings.Contains(err.Error(), "can't shrink") {
		t.Errorf("a root volume smaller than its snapshot: %v", err)
	}
}

// What is asked of single devices is laid over the source's, and the rest stays.
func TestLaunchMappings(t *testing.T) {
	for name, test := range map[string]struct {
		asked []BlockDevice
		want  string // device by device: size, whether it goes with the instance; or in the error
	}{
		"a new one":             {[]BlockDevice{{DeviceName: "/dev/sdf", VolumeSize: 50}}, "/dev/xvda 0 true, /dev/sdc 0 true, /dev/sdf 50 true"},
		"the root":              {[]BlockDevice{{DeviceName: "/dev/xvda", VolumeSize: 20}}, "/dev/xvda 20 true, /dev/sdc 0 true"},
		"another of the source": {[]BlockDevice{{DeviceName: "/dev/sdc", DeleteOnTermination: config.TriFalse}}, "/dev/xvda 0 true, /dev/sdc 0 false"},
		"one left out":          {[]BlockDevice{{DeviceName: "/dev/sdc", NoDevice: true}}, "/dev/xvda 0 true, /dev/sdc none"},
		"instance store":        {[]BlockDevice{{DeviceName: "/dev/sdd", VirtualName: "ephemeral1"}}, "/dev/xvda 0 true, /dev/sdc 0 true, /dev/sdd ephemeral1"},
		"a small root":          {[]BlockDevice{{DeviceName: "/dev/xvda", VolumeSize: 2}}, "2 GiB is less than the source image's 8 GiB"},
		"no root":               {[]BlockDevice{{DeviceName: "/dev/xvda", NoDevice: true}}, "is the root device"},
		"nothing to make of":    {[]BlockDevice{{DeviceName: "/dev/sdf"}}, "give it a volume_size or a snapshot_id"},
	} {
		got, err := volumes(&DiskConfig{LaunchMappings: test.asked}, testImage())
		if told := describe(got); err == nil && told != test.want || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %s, %v; want %s", name, told, err, test.want)
		}
	}
	c := &DiskConfig{RootVolume: RootVolume{Size: 20}, LaunchMappings: []BlockDevice{{DeviceName: "/dev/xvda", VolumeSize: 20}}}
	if _, err := volumes(c, testImage()); err == nil || !strings.Contains(err.Error(), "both describe the root device") {
		t.Errorf("the root twice: %v", err)
	}
}

func describe(list []types.BlockDeviceMapping) string {
	var told []string
	for _, d := range list {
		line := aws.ToString(d.DeviceName) + " "
		switch {
		case d.NoDevice != nil:
			line += "none"
		case d.VirtualName != nil:
			line += *d.VirtualName
		default:
			line += fmt.Sprint(aws.ToInt32(d.Ebs.VolumeSize), " ", aws.ToBool(d.Ebs.DeleteOnTermination))
		}
		told = append(told, line)
	}
	return strings.Join(told, ", ")
}

func TestSubnetsAlike(t *testing.T) {
	subnet := func(id, zone string, public bool) types.Subnet {
		return types.Subnet{SubnetId: aws.String(id), AvailabilityZone: aws.String(zone), MapPublicIpOnLaunch: aws.Bool(public)}
	}
	var got string
	for _, s := range alike([]types.Subnet{subnet("a", "1", true), subnet("b", "1", true), subnet("c", "2", true), subnet("d", "3", false)}) {
		got += *s.SubnetId
	}
	if got != "ac" {
		t.Errorf("got %s, want one public subnet a zone", got)
	}
}

func TestTold(t *testing.T) {
	var places []place
	for _, zone := range []string{"a", "b", "c", "d", "e"} {
		places = append(places, place{"t3.small", "subnet-" + zone, zone})
	}
	for n, want := range map[int]string{
		1: "t3.small in subnet-a (a)",
		3: "t3.small in subnet-a (a), then t3.small in subnet-b (b), then t3.small in subnet-c (c)",
		5: "t3.small in subnet-a (a), then t3.small in subnet-b (b), then t3.small in subnet-c (c), then 2 more",
	} {
		if got := told(places[:n], ", then "); got != want {
			t.Errorf("%d places: %q", n, got)
		}
	}
}

func TestSharedArchitectures(t *testing.T) {
	runs := map[string][]string{"t3.small": {archX86}, "t4g.small": {archARM}, "c5.large": {archX86}}
	if got, err := sharedArchitectures([]string{"t3.small", "c5.large"}, runs); err != nil || !slices.Equal(got, []string{archX86}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, names := range [][]string{{"t3.small", "t4g.small"}, {"mac1.metal"}} {
		if _, err := sharedArchitectures(names, runs); err == nil {
			t.Errorf("%v: accepted", names)
		}
	}
}

func TestPartition(t *testing.T) {
	for region, want := range map[string]string{"us-east-1": "aws", "cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov", "us-iso-east-1": "aws-iso", "us-isob-east-1": "aws-iso-b"} {
		if got := partition(region); got != want {
			t.Errorf("%s: %s, want %s", region, got, want)
		}
	}
}

// A refusal of the request itself counts more than a zone without capacity.
func TestFleetRefusal(t *testing.T) {
	capacity := types.CreateFleetError{ErrorCode: aws.String("InsufficientInstanceCapacity"), ErrorMessage: aws.String("none")}
	denied := types.CreateFleetError{ErrorCode: aws.String("UnauthorizedOperation"), ErrorMessage: aws.String("no")}
	for _, test := range []struct {
		errs []types.CreateFleetError
		want string
	}{
		{nil, "UnfulfillableCapacity"},
		{[]types.CreateFleetError{capacity}, "InsufficientInstanceCapacity"},
		{[]types.CreateFleetError{denied, capacity}, "UnauthorizedOperation"},
		{[]types.CreateFleetError{capacity, denied}, "UnauthorizedOperation"},
	} {
		if got := awsclient.Code(fleetRefusal(test.errs)); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

func TestReasons(t *testing.T) {
	got := reasons(`{"allowed":false,"explicitDeny":true,"context":{"principal":{"arn":"arn:aws:iam::1:user/u"},"action":"ec2:RunInstances","resource":"arn:x"}}`)
	if want := "a policy denies ec2:RunInstances on arn:x to arn:aws:iam::1:user/u"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := reasons("another form"); got != "another form" {
		t.Errorf("got %s", got)
	}
}

func TestSourceCheck(t *testing.T) {
	x86 := []string{archX86}
	for name, test := range map[string]struct {
		change func(*types.Image, *Config)
		want   string // "" for no error
	}{
		"fine":           {func(*types.Image, *Config) {}, ""},
		"pending":        {func(i *types.Image, _ *Config) { i.State = types.ImageStatePending }, "it is pending"},
		"instance store": {func(i *types.Image, _ *Config) { i.RootDeviceType = types.DeviceTypeInstanceStore }, "choose one on EBS"},
		"windows":        {func(i *types.Image, _ *Config) { i.Platform = types.PlatformValuesWindows }, "it is Windows"},
		"other type":     {func(i *types.Image, _ *Config) { i.Architecture = types.ArchitectureValuesArm64 }, "instance_type t3.small is x86_64"},
		"other arch":     {func(_ *types.Image, c *Config) { c.Architecture = archARM }, "architecture says arm64"},
		"minimal":        {func(i *types.Image, _ *Config) { i.Name = aws.String("al2023-ami-minimal-2023.1-x86_64") }, "lack the SSM agent"},
		"minimal with user data": {func(i *types.Image, c *Config) {
			i.Name, c.userData = aws.String("al2023-ami-minimal-2023.1-x86_64"), "IyEK"
		}, "the user data does not speak of amazon-ssm-agent; choose a full one"},
		"minimal with agent": {func(i *types.Image, c *Config) {
			i.Name, c.bringsAgent = aws.String("al2023-ami-minimal-2023.1-x86_64"), true
		}, ""},
		"minimal, known": {func(i *types.Image, c *Config) {
			i.Name, c.SkipAgentCheck = aws.String("al2023-ami-minimal-2023.1-x86_64"), true
		}, ""},
	} {
		image, c := testImage(), &Config{}
		test.change(&image, c)
		s := source{image: image, architecture: string(image.Architecture), onDemand: []string{"t3.small"}}
		err := s.check(c, x86)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

func testBuild(t *testing.T, raw block) *build {
	t.Helper()
	b, err := prepare(t, with(raw))
	if err != nil {
		t.Fatal(err)
	}
	return &build{config: &b.config, interp: b.interp, ui: new(recorder), id: "abc", started: time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)}
}

func TestRenderTags(t *testing.T) {
	b := testBuild(t, block{
		"ami_description": "from {{ .SourceAMIName }}",
		"tags":            block{"Base": "{{ .SourceAMI }}", "Team": "{{ .SourceAMITags.Team }}"},
		"tag":             []block{{"key": "Region", "value": "{{ .BuildRegion }}"}},
		"snapshot_tags":   block{"Team": "snapshots"},
		"run_tags":        block{"Name": "mine"},
	})
	got, err := render(b, &plan{region: "eu-west-1", source: source{image: testImage()}})
	if err != nil {
		t.Fatal(err)
	}
	temporary := map[string]string{"Name": "packer web-1", tagBuild: "abc", tagExpires: "2026-07-01T12:00:00Z"}
	image := map[string]string{tagBuild: "abc", "Base": "ami-0123456789abcdef0", "Team": "base", "Region": "eu-west-1"}
	want := texts{
		description: "from amzn2-ami-kernel-5.10-hvm-2.0.20260601.0-x86_64-gp2",
		image:       image,
		snapshots:   merge(image, map[string]string{"Team": "snapshots"}),
		run:         merge(temporary, map[string]string{"Name": "mine"}),
		volumes:     temporary,
		spot:        temporary,
		fleet:       temporary,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(texts{})); diff != "" {
		t.Error(diff)
	}
}

func TestRenderTellsWhatIsTooLong(t *testing.T) {
	b := testBuild(t, block{"tags": block{"x": "{{ .SourceAMIName }}" + strings.Repeat("y", 250)}})
	if _, err := render(b, &plan{source: source{image: testImage()}}); err == nil || !strings.Contains(err.Error(), `tags: "x"`) {
		t.Errorf("got %v", err)
	}
}

// What IAM would refuse in a tag must not cost the launch.
func TestIAMTagsLeaveOutWhatIAMRefuses(t *testing.T) {
	got := iamTags(map[string]string{"Name": "web (blue)", "Team": "a@b"})
	if len(got) != 1 || *got[0].Key != "Team" {
		t.Errorf("got %v", got)
	}
}

//go:build linux

package amazonlinux_test

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws"
)

// launched runs a build that connects to nothing and makes no image, and
// returns the instance as it was while provisioners would have run.
func (w *world) launched(more block) (types.Instance, result) {
	w.Helper()
	raw := w.template(block{"communicator": "none", "skip_create_ami": true})
	for key, value := range more {
		raw[key] = value
	}
	var seen types.Instance
	r := w.build(w.Context(), raw, func(ctx context.Context, _ packersdk.Communicator, data map[string]any) error {
		id, _ := data["ID"].(string)
		found, err := w.ec2().DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
		if err == nil {
			seen = found.Reservations[0].Instances[0]
		}
		return err
	})
	return seen, r
}

// must is launched where nothing is to fail and nothing to be left.
func (w *world) must(more block) types.Instance {
	w.Helper()
	i, r := w.launched(more)
	if r.err != nil {
		w.Fatalf("%v\n%s", r.err, r.ui)
	}
	w.nothingLeft(r)
	return i
}

// subnets are those of the default VPC, by zone.
func (w *world) subnets() map[string]types.Subnet {
	w.Helper()
	found, err := w.ec2().DescribeSubnets(w.Context(), &ec2.DescribeSubnetsInput{})
	if err != nil {
		w.Fatal(err)
	}
	all := map[string]types.Subnet{}
	for _, s := range found.Subnets {
		all[aws.ToString(s.AvailabilityZone)] = s
	}
	return all
}

func (w *world) tag(id, key, value string) {
	w.Helper()
	_, err := w.ec2().CreateTags(w.Context(), &ec2.CreateTagsInput{
		Resources: []string{id}, Tags: []types.Tag{{Key: aws.String(key), Value: aws.String(value)}},
	})
	if err != nil {
		w.Fatal(err)
	}
}

func TestWhereItIsLaunched(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	subnets := w.subnets()
	b, c := aws.ToString(subnets["us-east-1b"].SubnetId), aws.ToString(subnets["us-east-1c"].SubnetId)
	vpc := aws.ToString(subnets["us-east-1b"].VpcId)
	w.tag(b, "Class", "build")
	w.tag(c, "Class", "build")
	w.tag(c, "Tier", "second")
	other, remove := w.elsewhere()
	w.tag(other, "Class", "build")
	for name, test := range map[string]struct {
		more  block
		zones string // any of these letters
	}{
		"availability_zone":    {block{"availability_zone": "us-east-1d"}, "d"},
		"subnet_ids":           {block{"subnet_ids": []string{c, b}}, "c"},
		"subnet_id":            {block{"subnet_id": b}, "b"},
		"subnet_filter":        {block{"subnet_filter": block{"filters": block{"tag:Tier": "second"}}}, "c"},
		"filter and zone":      {block{"subnet_filter": block{"filters": block{"tag:Class": "build"}}, "availability_zone": "us-east-1c"}, "c"},
		"vpc_id":               {block{"vpc_id": other}, "d"},
		"vpc_filter":           {block{"vpc_filter": block{"filters": block{"tag:Class": "build"}}}, "d"},
		"vpc_filter, blocks":   {block{"vpc_filter": block{"filter": []block{{"name": "tag:Class", "value": "build"}}}}, "d"},
		"offered in the zone":  {block{"subnet_filter": block{"filters": block{"availability-zone": "us-east-1e,us-east-1f"}}}, "f"},
		"vpc and subnet match": {block{"vpc_id": vpc, "subnet_ids": []string{b}}, "b"},
		"ids before filters": {block{
			"vpc_id": vpc, "vpc_filter": block{"filters": block{"tag:Class": "none"}},
			"subnet_id": b, "subnet_filter": block{"filters": block{"tag:Class": "none"}},
		}, "b"},
	} {
		i, r := w.launched(test.more)
		if r.err != nil {
			t.Errorf("%s: %v", name, r.err)
			continue
		}
		if zone := aws.ToString(i.Placement.AvailabilityZone); !strings.Contains(test.zones, strings.TrimPrefix(zone, "us-east-1")) {
			t.Errorf("%s: launched in %s, want one of %q", name, zone, test.zones)
		}
		if in, want := aws.ToString(i.VpcId), strings.HasPrefix(name, "vpc_"); (in == other) != want {
			t.Errorf("%s: launched in %s; the VPC of the template is %s, the default one %s", name, in, other, vpc)
		}
	}
	remove()
	w.nothingLeft(result{ui: new(recorder)})
}

// elsewhere makes a VPC beside the default one, with one subnet.
func (w *world) elsewhere() (vpc string, remove func()) {
	w.Helper()
	made, err := w.ec2().CreateVpc(w.Context(), &ec2.CreateVpcInput{CidrBlock: aws.String("10.9.0.0/16")})
	if err != nil {
		w.Fatal(err)
	}
	subnet, err := w.ec2().CreateSubnet(w.Context(), &ec2.CreateSubnetInput{VpcId: made.Vpc.VpcId, CidrBlock: aws.String("10.9.1.0/24"), AvailabilityZone: aws.String("us-east-1d")})
	if err != nil {
		w.Fatal(err)
	}
	return aws.ToString(made.Vpc.VpcId), func() {
		_, err := w.ec2().DeleteSubnet(w.Context(), &ec2.DeleteSubnetInput{SubnetId: subnet.Subnet.SubnetId})
		if err == nil {
			_, err = w.ec2().DeleteVpc(w.Context(), &ec2.DeleteVpcInput{VpcId: made.Vpc.VpcId})
		}
		if err != nil {
			w.Error(err)
		}
	}
}

// Of subnets that match, any is taken, not always the same.
func TestRandomSubnet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	for _, s := range w.subnets() {
		w.tag(aws.ToString(s.SubnetId), "Class", "build")
	}
	seen := map[string]bool{}
	for range 50 { // that none is another than the first would be a miracle
		i, r := w.launched(block{"subnet_filter": block{"filters": block{"tag:Class": "build"}, "random": true}})
		if r.err != nil {
			t.Fatal(r.err)
		}
		if seen[aws.ToString(i.SubnetId)] = true; len(seen) > 1 {
			return
		}
	}
	t.Errorf("always %v", seen)
}

// public sets whether a subnet gives its instances public addresses.
func (w *world) public(subnet string, public bool) {
	w.Helper()
	_, err := w.ec2().ModifySubnetAttribute(w.Context(), &ec2.ModifySubnetAttributeInput{
		SubnetId: aws.String(subnet), MapPublicIpOnLaunch: &types.AttributeBooleanValue{Value: aws.Bool(public)},
	})
	if err != nil {
		w.Fatal(err)
	}
}

// The subnet with the most free addresses is not the one that would be taken otherwise.
func TestMostFreeSubnet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	zone := w.subnets()["us-east-1b"]
	made, err := w.ec2().CreateSubnet(t.Context(), &ec2.CreateSubnetInput{VpcId: zone.VpcId, CidrBlock: aws.String("172.31.200.0/28"), AvailabilityZone: aws.String("us-east-1a")})
	if err != nil {
		t.Fatal(err)
	}
	small, large := aws.ToString(made.Subnet.SubnetId), aws.ToString(zone.SubnetId)
	for _, id := range []string{small, large} {
		w.tag(id, "Class", "build")
		w.public(id, id == small)
	}
	for most, want := range map[bool]string{true: large, false: small} {
		i := w.must(block{"subnet_filter": block{"filters": block{"tag:Class": "build"}, "most_free": most}})
		if got := aws.ToString(i.SubnetId); got != want {
			t.Errorf("most_free = %v: launched in %s, want %s", most, got, want)
		}
	}
}

func TestSecurityGroupFilter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	other, err := w.ec2().CreateVpc(t.Context(), &ec2.CreateVpcInput{CidrBlock: aws.String("10.1.0.0/16")})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for name, vpc := range map[string]*string{"one": nil, "two": nil, "elsewhere": other.Vpc.VpcId} {
		g, err := w.ec2().CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{GroupName: aws.String(name), Description: aws.String("d"), VpcId: vpc})
		if err != nil {
			t.Fatal(err)
		}
		w.tag(aws.ToString(g.GroupId), "Class", "build")
		if vpc == nil {
			ids = append(ids, aws.ToString(g.GroupId))
		}
	}
	filter := block{"filters": block{"tag:Class": "build"}}
	i, r := w.launched(block{"security_group_filter": filter, "subnet_id": aws.ToString(w.subnets()["us-east-1b"].SubnetId)})
	if r.err != nil {
		t.Fatal(r.err)
	}
	var got []string
	for _, g := range i.SecurityGroups {
		got = append(got, aws.ToString(g.GroupId))
	}
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(ids))) {
		t.Errorf("groups %v, want those of the subnet's VPC, %v", got, ids)
	}
	if _, r := w.launched(block{"security_group_filter": filter}); r.err == nil || !strings.Contains(r.err.Error(), "groups of several VPCs") {
		t.Errorf("groups of two VPCs and nothing that says which: %v", r.err)
	}
}

func TestHardware(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	zone := "us-east-1b"
	hosts, err := w.ec2().AllocateHosts(t.Context(), &ec2.AllocateHostsInput{AvailabilityZone: &zone, InstanceType: aws.String("m5.large"), Quantity: aws.Int32(1)})
	if err != nil {
		t.Fatal(err)
	}
	reserved, err := w.ec2().CreateCapacityReservation(t.Context(), &ec2.CreateCapacityReservationInput{
		AvailabilityZone: &zone, InstanceType: aws.String("t3.small"), InstanceCount: aws.Int32(1),
		InstancePlatform: types.CapacityReservationInstancePlatformLinuxUnix, InstanceMatchCriteria: types.InstanceMatchCriteriaTargeted,
	})
	if err != nil {
		t.Fatal(err)
	}
	host, reservation := hosts.HostIds[0], aws.ToString(reserved.CapacityReservation.CapacityReservationId)
	const group = "arn:aws:resource-groups:us-east-1:123456789012:group/build"
	for name, test := range map[string]struct {
		more block
		got  func(types.Instance) string
		want string
	}{
		"dedicated":         {block{"tenancy": "dedicated"}, func(i types.Instance) string { return string(i.Placement.Tenancy) }, "dedicated"},
		"in a block":        {block{"placement": block{"tenancy": "dedicated"}}, func(i types.Instance) string { return string(i.Placement.Tenancy) }, "dedicated"},
		"host":              {block{"placement": block{"host_id": host}, "instance_type": "m5.large", "availability_zone": zone}, func(i types.Instance) string { return aws.ToString(i.Placement.HostId) + string(i.Placement.Tenancy) }, host + "host"},
		"host group":        {block{"placement": block{"host_resource_group_arn": group}}, func(i types.Instance) string { return aws.ToString(i.Placement.HostResourceGroupArn) }, group},
		"reservation":       {block{"capacity_reservation_id": reservation, "availability_zone": zone}, func(i types.Instance) string { return reservationOf(i) }, reservation},
		"reservation group": {block{"capacity_reservation_group_arn": group}, func(i types.Instance) string { return reservationOf(i) }, group},
		"no reservation":    {block{"capacity_reservation_preference": "none"}, func(i types.Instance) string { return reservationOf(i) }, "none"},
		"IMDS": {block{"metadata_options": block{"instance_metadata_tags": "enabled", "http_tokens": "optional"}}, func(i types.Instance) string {
			return string(i.MetadataOptions.InstanceMetadataTags) + string(i.MetadataOptions.HttpTokens)
		}, "enabledoptional"},
	} {
		if got := test.got(w.must(test.more)); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func reservationOf(i types.Instance) string {
	r := i.CapacityReservationSpecification
	if target := r.CapacityReservationTarget; target != nil {
		return cmp.Or(aws.ToString(target.CapacityReservationId), aws.ToString(target.CapacityReservationResourceGroupArn))
	}
	return string(r.CapacityReservationPreference)
}

func TestCredits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	for given, want := range map[any]string{true: "unlimited", false: "standard", nil: "unlimited"} {
		more := block{"communicator": "none", "skip_create_ami": true}
		if given != nil {
			more["enable_unlimited_credits"] = given
		}
		var got string
		r := w.build(t.Context(), w.template(more), func(ctx context.Context, _ packersdk.Communicator, data map[string]any) error {
			id, _ := data["ID"].(string)
			found, err := w.ec2().DescribeInstanceCreditSpecifications(ctx, &ec2.DescribeInstanceCreditSpecificationsInput{InstanceIds: []string{id}})
			if err == nil {
				got = aws.ToString(found.InstanceCreditSpecifications[0].CpuCredits)
			}
			return err
		})
		if r.err != nil || got != want {
			t.Errorf("enable_unlimited_credits = %v: %q, want %q; %v", given, got, want, r.err)
		}
	}
}

// What the image's users are to keep is in the image, and nothing of it is left of the build.
func TestLaunchBlockDevices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localaws.Options{NoMachines: true})
	r := w.build(t.Context(), w.template(block{"communicator": "none", "launch_block_device_mappings": []block{
		{"device_name": "/dev/xvda", "volume_size": 12, "volume_type": "gp3", "iops": 3500},
		{"device_name": "/dev/sdf", "volume_size": 5, "encrypted": true, "delete_on_termination": false},
		{"device_name": "/dev/sdg", "volume_size": 1},
	}}), nil)
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, r.ui)
	}
	id := strings.TrimPrefix(r.artifact.Id(), region+":")
	found, err := w.ec2().DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	devices := map[string]*types.EbsBlockDevice{}
	for _, d := range found.Images[0].BlockDeviceMappings {
		devices[aws.ToString(d.DeviceName)] = d.Ebs
	}
	root, kept, gone := devices["/dev/xvda"], devices["/dev/sdf"], devices["/dev/sdg"]
	if root == nil || aws.ToInt32(root.VolumeSize) != 12 || root.VolumeType != types.VolumeTypeGp3 || !aws.ToBool(root.DeleteOnTermination) {
		t.Errorf("root device %+v", root)
	}
	if kept == nil || !aws.ToBool(kept.Encrypted) || aws.ToBool(kept.DeleteOnTermination) {
		t.Errorf("/dev/sdf %+v", kept)
	}
	if gone == nil || !aws.ToBool(gone.DeleteOnTermination) {
		t.Errorf("/dev/sdg %+v", gone)
	}
	w.nothingLeft(r)
}

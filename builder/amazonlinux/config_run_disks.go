//go:generate packer-sdc struct-markdown

package amazonlinux

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

// DiskConfig says what disks the instance has, and so the image.
type DiskConfig struct {
	// The root volume of the instance, and so of the AMI. Conflicts with `launch_block_device_mappings`
	// of the root device. Default: as in the source AMI.
	//
	// ```hcl
	// root_volume {
	//   size       = 20
	//   type       = "gp3"
	//   encrypted  = true
	// }
	// ```
	RootVolume RootVolume `mapstructure:"root_volume"`
	// The block devices to launch with, one block each, laid over those of the
	// source AMI. The image gets the same devices. All volumes are gone after the build, whatever
	// `delete_on_termination` says: that is for the instances of the image.
	//
	// ```hcl
	// launch_block_device_mappings {
	//   device_name = "/dev/sdf"
	//   volume_size = 100
	//   volume_type = "gp3"
	// }
	// ```
	LaunchMappings []BlockDevice `mapstructure:"launch_block_device_mappings"`
}

// RootVolume is the first disk of the instance.
type RootVolume struct {
	// In GiB, 1 to 65536. Default: the size of the source AMI's.
	Size int `mapstructure:"size"`
	// `gp2`, `gp3`, `io1`, `io2`, `st1`, `sc1` or `standard`. Default: that of the source AMI.
	Type string `mapstructure:"type"`
	// Operations per second: 3000 to 80000 for `gp3`, 100 to 64000 for `io1`,
	// 100 to 256000 for `io2`, which need it; the other types don't take it.
	IOPS int `mapstructure:"iops"`
	// In MiB/s, 125 to 2000. Only for `gp3`. Default: 125.
	Throughput int `mapstructure:"throughput"`
	// Encrypt the volume at launch; the AMI is then encrypted without a second
	// copy. Default: as the source AMI and the account's settings say.
	Encrypted config.Trilean `mapstructure:"encrypted"`
	// The KMS key: id, ARN, or `alias/name`. Needs `encrypted = true`. Default: the account's default key for EBS.
	KMSKeyID string `mapstructure:"kms_key_id"`
}

// BlockDevice is one block device of an instance or an image.
type BlockDevice struct {
	// The name that EC2 gives the device, such as `/dev/sdf`. Required; the root of Amazon Linux is `/dev/xvda`.
	DeviceName string `mapstructure:"device_name"`
	// Whether the volume goes with its instance. Default: `true`.
	DeleteOnTermination config.Trilean `mapstructure:"delete_on_termination"`
	// Whether the volume is encrypted. Default: as its snapshot and the account's settings say.
	Encrypted config.Trilean `mapstructure:"encrypted"`
	// Operations per second: 3000 to 80000 for `gp3`, 100 to 64000 for `io1`,
	// 100 to 256000 for `io2`, which need it; the other types don't take it.
	IOPS int `mapstructure:"iops"`
	// The KMS key: id, ARN, or `alias/name`. Needs `encrypted = true`. Of `launch_block_device_mappings` alone: AWS takes
	// it only at the launch. Default: the account's default key for EBS.
	KMSKeyID string `mapstructure:"kms_key_id"`
	// Leave the device out that the source AMI has. Conflicts with all but `device_name`. Default: `false`.
	NoDevice bool `mapstructure:"no_device"`
	// The snapshot to make the volume of. Default: none, or the source AMI's.
	SnapshotID string `mapstructure:"snapshot_id"`
	// In MiB/s, 125 to 2000. Only for `gp3`. Default: 125.
	Throughput int `mapstructure:"throughput"`
	// An instance store volume, `ephemeral0` to `ephemeral23`. Conflicts with all but `device_name`.
	VirtualName string `mapstructure:"virtual_name"`
	// `gp2`, `gp3`, `io1`, `io2`, `st1`, `sc1` or `standard`. Default: that of the source AMI, else what EC2 takes, `gp2`.
	VolumeType string `mapstructure:"volume_type"`
	// In GiB, 1 to 65536. Default: the size of the snapshot; without one it is required.
	VolumeSize int `mapstructure:"volume_size"`
}

var (
	deviceName  = regexp.MustCompile(`^(/dev/)?(sd|xvd|hd|nvme)[a-z0-9]+$`)
	virtualName = regexp.MustCompile(`^ephemeral([0-9]|1[0-9]|2[0-3])$`)
)

func (c *DiskConfig) check(r *report) {
	c.RootVolume.performance("root_volume").check(r)
	if c.RootVolume.KMSKeyID != "" && !c.RootVolume.Encrypted.True() {
		r.addf("root_volume.kms_key_id: it is given without encrypted = true; add that, or delete kms_key_id")
	}
	checkDevices(r, "launch_block_device_mappings", c.LaunchMappings)
}

// checkDevices checks a list of block devices, of which each has a name of its own.
func checkDevices(r *report, option string, list []BlockDevice) {
	seen := map[string]bool{}
	for i := range list {
		list[i].check(r, fmt.Sprintf("%s[%d]", option, i))
		if name := list[i].DeviceName; name != "" && seen[name] {
			r.addf("%s[%d].device_name: %s is there already; give each device once", option, i, name)
		}
		seen[list[i].DeviceName] = true
	}
}

// check checks what can be known of a block device before the source image is.
func (d *BlockDevice) check(r *report, option string) {
	if d.DeviceName == "" {
		r.addf(`%s.device_name: it is missing; give one, such as "/dev/sdf"`, option)
	} else {
		r.unless(deviceName.MatchString(d.DeviceName), option+".device_name", d.DeviceName, `a device's name, such as "/dev/sdf"`)
	}
	volume := *d
	volume.DeviceName, volume.NoDevice, volume.VirtualName = "", false, ""
	if volume != (BlockDevice{}) && (d.NoDevice || d.VirtualName != "") {
		r.addf("%s: no_device and virtual_name go with device_name alone; delete them, or what describes the volume", option)
	}
	if d.NoDevice && d.VirtualName != "" {
		r.addf("%s: no_device and virtual_name are both given; keep one of them", option)
	}
	r.unless(d.VirtualName == "" || virtualName.MatchString(d.VirtualName), option+".virtual_name", d.VirtualName, `"ephemeral0" to "ephemeral23"`)
	r.id(option+".snapshot_id", d.SnapshotID, "snap")
	p := performance{option, "volume_size", "volume_type", d.VolumeSize, d.VolumeType, d.IOPS, d.Throughput}
	p.check(r)
	if d.KMSKeyID != "" && !d.Encrypted.True() {
		r.addf("%s.kms_key_id: it is given without encrypted = true; add that, or delete kms_key_id", option)
	}
}

// mapping is the device as EC2 takes it.
func (d *BlockDevice) mapping() types.BlockDeviceMapping {
	m := types.BlockDeviceMapping{DeviceName: aws.String(d.DeviceName)}
	switch {
	case d.NoDevice:
		m.NoDevice = aws.String("")
		return m
	case d.VirtualName != "":
		m.VirtualName = aws.String(d.VirtualName)
		return m
	}
	m.Ebs = &types.EbsBlockDevice{}
	d.apply(m.Ebs)
	return m
}

// apply lays what is given over a volume.
func (d *BlockDevice) apply(ebs *types.EbsBlockDevice) {
	v := RootVolume{Size: d.VolumeSize, Type: d.VolumeType, IOPS: d.IOPS, Throughput: d.Throughput, Encrypted: d.Encrypted, KMSKeyID: d.KMSKeyID}
	v.apply(ebs)
	ebs.DeleteOnTermination = aws.Bool(!d.DeleteOnTermination.False())
	if d.SnapshotID != "" {
		ebs.SnapshotId = aws.String(d.SnapshotID)
	}
}

// What each volume type takes: EBS's own limits.
var volumeLimits = map[string]struct {
	minIOPS, maxIOPS int // both 0: iops is not taken
	needsIOPS        bool
	throughput       bool
}{
	"gp2": {}, "st1": {}, "sc1": {}, "standard": {},
	"gp3": {minIOPS: 3000, maxIOPS: 80000, throughput: true},
	"io1": {minIOPS: 100, maxIOPS: 64000, needsIOPS: true},
	"io2": {minIOPS: 100, maxIOPS: 256000, needsIOPS: true},
}

// performance is what a volume is to do, and the names of the options that say so.
type performance struct {
	block, sizeName, typeName string

	size             int
	kind             string
	iops, throughput int
}

func (v *RootVolume) performance(block string) *performance {
	return &performance{block, "size", "type", v.Size, v.Type, v.IOPS, v.Throughput}
}

func (p *performance) check(r *report) {
	r.unless(p.size == 0 || 1 <= p.size && p.size <= 65536, p.block+"."+p.sizeName, p.size, "1 to 65536 GiB")
	limits, known := volumeLimits[p.kind]
	switch {
	case p.kind != "" && !known:
		r.oneOf(p.block+"."+p.typeName, p.kind, slices.Sorted(maps.Keys(volumeLimits))...)
	case p.kind == "" && p.iops != 0:
		r.addf(`%s.iops: it is given without %s; set %[2]s = "gp3", "io1" or "io2" too, or delete iops`, p.block, p.typeName)
	case p.kind == "" && p.throughput != 0:
		r.addf(`%s.throughput: it is given without %s; set %[2]s = "gp3" too, or delete throughput`, p.block, p.typeName)
	case known:
		p.checkIOPS(r, limits.minIOPS, limits.maxIOPS, limits.needsIOPS)
		p.checkThroughput(r, limits.throughput)
	}
}

func (p *performance) checkIOPS(r *report, low, high int, needed bool) {
	switch {
	case p.iops != 0 && high == 0:
		r.addf(`%s.iops: type %q does not take it; delete iops, or set %s = "gp3"`, p.block, p.kind, p.typeName)
	case p.iops != 0 && (p.iops < low || p.iops > high):
		r.unless(false, p.block+".iops", p.iops, fmt.Sprintf("%d to %d for type %q", low, high, p.kind))
	case p.iops == 0 && needed:
		r.addf("%s.iops: type %q needs it; set %d to %d", p.block, p.kind, low, high)
	}
}

func (p *performance) checkThroughput(r *report, taken bool) {
	switch {
	case p.throughput != 0 && !taken:
		r.addf(`%s.throughput: type %q does not take it; delete throughput, or set %s = "gp3"`, p.block, p.kind, p.typeName)
	case p.throughput != 0 && (p.throughput < 125 || p.throughput > 2000):
		r.unless(false, p.block+".throughput", p.throughput, "125 to 2000 MiB/s")
	}
}

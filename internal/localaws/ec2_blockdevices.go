package localaws

import (
	"regexp"
	"slices"
)

// A blockDevice is one BlockDeviceMapping, of a request or of an image.
type blockDevice struct {
	DeviceName  string    `query:"DeviceName" xml:"deviceName"`
	VirtualName string    `query:"VirtualName" xml:"virtualName,omitempty"`
	NoDevice    *string   `query:"NoDevice" xml:"noDevice"`
	EBS         *blockEBS `query:"Ebs" xml:"ebs"`
}

type blockEBS struct {
	SnapshotID          *string `query:"SnapshotId" xml:"snapshotId"`
	VolumeSize          *int64  `query:"VolumeSize" xml:"volumeSize"`
	VolumeType          *string `query:"VolumeType" xml:"volumeType"`
	IOPS                *int64  `query:"Iops" xml:"iops"`
	Throughput          *int64  `query:"Throughput" xml:"throughput"`
	DeleteOnTermination *bool   `query:"DeleteOnTermination" xml:"deleteOnTermination"`
	Encrypted           *bool   `query:"Encrypted" xml:"encrypted"`
	KMSKeyID            *string `query:"KmsKeyId" xml:"kmsKeyId"`
}

// volumeKind is what a type of EBS volume can be.
type volumeKind struct {
	minGiB, maxGiB   int64
	iops             bool // can be set
	minIOPS, maxIOPS int64
	perGiB           int64 // most IOPS for each GiB
	defaultIOPS      int64
	rootable         bool
}

var volumeKinds = map[string]volumeKind{
	"gp2":      {minGiB: 1, maxGiB: 16384, rootable: true},
	"gp3":      {minGiB: 1, maxGiB: 65536, iops: true, minIOPS: 3000, maxIOPS: 80000, perGiB: 500, defaultIOPS: 3000, rootable: true},
	"io1":      {minGiB: 4, maxGiB: 16384, iops: true, minIOPS: 100, maxIOPS: 64000, perGiB: 50, rootable: true},
	"io2":      {minGiB: 4, maxGiB: 65536, iops: true, minIOPS: 100, maxIOPS: 256000, perGiB: 1000, rootable: true},
	"st1":      {minGiB: 125, maxGiB: 16384},
	"sc1":      {minGiB: 125, maxGiB: 16384},
	"standard": {minGiB: 1, maxGiB: 1024, rootable: true},
}

// A volumePlan is a volume decided on and not made: what a request, an image
// and the account's defaults together say.
type volumePlan struct {
	device              string
	kind                string
	sizeGiB             int64
	iops, throughput    int64
	deleteOnTermination bool
	encrypted           bool
	kmsKey              string // ARN; set when encrypted
	kmsState            string // why the key can't be used; empty when it can
	snapshot            *snapshot
}

// decide fills the plan from a mapping and refuses what EBS refuses.
func (v *volumePlan) decide(c *call, e *blockEBS) error {
	v.kind = valueOr(e.VolumeType, "gp2")
	kind, known := volumeKinds[v.kind]
	if !known {
		return refuse("InvalidParameterValue", "Value (%s) for parameter volumeType is invalid. Valid values: [standard, io1, io2, gp2, gp3, sc1, st1].", v.kind)
	}
	if err := v.decideSize(kind, e); err != nil {
		return err
	}
	if err := v.decideSpeed(kind, e); err != nil {
		return err
	}
	v.deleteOnTermination = valueOr(e.DeleteOnTermination, false)
	return v.decideEncryption(c, e)
}

func (v *volumePlan) decideSize(kind volumeKind, e *blockEBS) error {
	switch {
	case e.VolumeSize != nil:
		v.sizeGiB = *e.VolumeSize
	case v.snapshot != nil:
		v.sizeGiB = v.snapshot.sizeGiB
	default:
		return refuse("MissingParameter", "The request must contain the parameter size or snapshotId")
	}
	if v.snapshot != nil && v.sizeGiB < v.snapshot.sizeGiB {
		return refuse("InvalidBlockDeviceMapping", "Volume of size %dGB is smaller than snapshot '%s', expect size >= %dGB", v.sizeGiB, v.snapshot.id, v.snapshot.sizeGiB)
	}
	if v.sizeGiB < kind.minGiB || v.sizeGiB > kind.maxGiB {
		return refuse("InvalidParameterValue", "Invalid value '%d' for VolumeSize. Volume of %s type must be at least %d GiB and at most %d GiB in size.", v.sizeGiB, v.kind, kind.minGiB, kind.maxGiB)
	}
	return nil
}

func (v *volumePlan) decideSpeed(kind volumeKind, e *blockEBS) error {
	switch {
	case e.IOPS != nil && !kind.iops:
		return refuse("InvalidParameterCombination", "The parameter iops is not supported for %s volumes.", v.kind)
	case e.IOPS == nil && kind.iops && kind.defaultIOPS == 0:
		return refuse("MissingParameter", "The request must contain the parameter iops when volume type is %s.", v.kind)
	case e.Throughput != nil && v.kind != "gp3":
		return refuse("InvalidParameterCombination", "The parameter throughput is not supported for %s volumes.", v.kind)
	}
	switch {
	case v.kind == "gp2":
		v.iops = min(max(100, 3*v.sizeGiB), 16000)
	case kind.iops:
		v.iops = valueOr(e.IOPS, kind.defaultIOPS)
		if err := kind.allows(v); err != nil {
			return err
		}
	}
	if v.kind != "gp3" {
		return nil
	}
	v.throughput = valueOr(e.Throughput, 125)
	if v.throughput < 125 || v.throughput > 2000 {
		return refuse("InvalidParameterValue", "Throughput (MiBps) of %d is not supported: it must be at least 125 and at most 2000.", v.throughput)
	}
	if v.throughput*4 > v.iops {
		return refuse("InvalidParameterCombination", "Throughput (MiBps) to iops ratio of %.6f is too high; maximum is 0.250000 MiBps per iops.", float64(v.throughput)/float64(v.iops))
	}
	return nil
}

func (kind volumeKind) allows(v *volumePlan) error {
	switch {
	case v.iops < kind.minIOPS:
		return refuse("InvalidParameterValue", "Volume iops of %d is too low; minimum is %d.", v.iops, kind.minIOPS)
	case v.iops > kind.maxIOPS:
		return refuse("InvalidParameterValue", "Volume iops of %d is too high; maximum is %d.", v.iops, kind.maxIOPS)
	case v.iops > max(v.sizeGiB*kind.perGiB, kind.defaultIOPS):
		return refuse("InvalidParameterCombination", "Iops to volume size ratio of %.6f is too high; maximum is %d.000000", float64(v.iops)/float64(v.sizeGiB), kind.perGiB)
	}
	return nil
}

// decideEncryption: a volume is encrypted when its snapshot is, when asked for
// or when the account encrypts by default; never decrypted again.
func (v *volumePlan) decideEncryption(c *call, e *blockEBS) error {
	p := c.place()
	fromSnapshot := v.snapshot != nil && v.snapshot.kmsKey != ""
	if e.KMSKeyID != nil && !isTrue(e.Encrypted) && !fromSnapshot && !p.encryptByDefault {
		return refuse("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
	}
	if e.Encrypted != nil && !*e.Encrypted && fromSnapshot {
		return refuse("InvalidParameter", "A volume created from an encrypted snapshot must be encrypted.")
	}
	v.encrypted = isTrue(e.Encrypted) || fromSnapshot || p.encryptByDefault
	if !v.encrypted {
		return nil
	}
	switch {
	case e.KMSKeyID != nil && *e.KMSKeyID != "":
		v.kmsKey, v.kmsState = c.volumeKey(*e.KMSKeyID)
	case fromSnapshot && v.snapshot.owner == p.account:
		v.kmsKey, v.kmsState = c.volumeKey(v.snapshot.kmsKey)
	default:
		v.kmsKey, v.kmsState = c.volumeKey(p.ebsKey())
	}
	return nil
}

var virtualNames = regexp.MustCompile(`^ephemeral[0-9]{1,2}$`)

var deviceNames = regexp.MustCompile(`^(/dev/)?(sd[a-z]{1,2}[0-9]{0,2}|xvd[a-z]{1,2}[0-9]{0,2}|hd[a-z][0-9]{0,2}|nvme[0-9]+n1)$`)

// planVolumes merges a request's mappings into an image's and decides on each volume.
func (c *call) planVolumes(img *image, asked []blockDevice) ([]*volumePlan, error) {
	merged, err := mergeDevices(img.devices, asked)
	if err != nil {
		return nil, err
	}
	var plans []*volumePlan
	for _, m := range merged {
		if m.EBS == nil {
			continue
		}
		v := &volumePlan{device: m.DeviceName}
		if id := valueOr(m.EBS.SnapshotID, ""); id != "" {
			if v.snapshot, err = c.snapshotForVolume(id, img); err != nil {
				return nil, err
			}
		}
		if err := v.decide(c, m.EBS); err != nil {
			return nil, err
		}
		if m.DeviceName == img.rootDevice && !volumeKinds[v.kind].rootable {
			return nil, refuse("InvalidParameterValue", "Volume type '%s' is not supported for the root device.", v.kind)
		}
		plans = append(plans, v)
	}
	return plans, nil
}

// mergeDevices lays a request's mappings over an image's: same device, each
// given field counts; NoDevice takes the image's away; others are added.
func mergeDevices(base, asked []blockDevice) ([]blockDevice, error) {
	merged := slices.Clone(base)
	seen := map[string]bool{}
	for _, a := range asked {
		if err := a.check(seen); err != nil {
			return nil, err
		}
		seen[a.DeviceName] = true
		i := slices.IndexFunc(merged, func(b blockDevice) bool { return b.DeviceName == a.DeviceName })
		switch {
		case a.NoDevice != nil && i >= 0:
			merged = slices.Delete(merged, i, i+1)
		case a.NoDevice != nil:
		case i >= 0 && a.EBS != nil && merged[i].EBS != nil:
			if err := a.overrides(merged[i]); err != nil {
				return nil, err
			}
			merged[i].EBS = merged[i].EBS.with(a.EBS)
		case i >= 0:
			merged[i] = a
		default:
			merged = append(merged, a)
		}
	}
	return merged, nil
}

func (a blockDevice) check(seen map[string]bool) error {
	switch {
	case a.DeviceName == "":
		return refuse("MissingParameter", "The request must contain the parameter deviceName for each block device mapping")
	case !deviceNames.MatchString(a.DeviceName):
		return refuse("InvalidBlockDeviceMapping", "Invalid device name %s", a.DeviceName)
	case seen[a.DeviceName]:
		return refuse("InvalidBlockDeviceMapping", "The device '%s' is used in more than one block-device mapping", a.DeviceName)
	case a.EBS == nil && a.VirtualName == "" && a.NoDevice == nil:
		return refuse("InvalidBlockDeviceMapping", "Invalid device mapping for %s: one of ebs, virtualName and noDevice is needed", a.DeviceName)
	case a.EBS != nil && a.VirtualName != "":
		return refuse("InvalidBlockDeviceMapping", "Device %s has both an EBS volume and a virtual name", a.DeviceName)
	case a.VirtualName != "" && !virtualNames.MatchString(a.VirtualName):
		return refuse("InvalidBlockDeviceMapping", "Invalid virtual name %s for device %s", a.VirtualName, a.DeviceName)
	}
	return nil
}

// overrides refuses what can't be changed of an image's own device.
func (a blockDevice) overrides(of blockDevice) error {
	if id := valueOr(a.EBS.SnapshotID, ""); id != "" && id != valueOr(of.EBS.SnapshotID, "") {
		return refuse("InvalidBlockDeviceMapping", "snapshotId cannot be modified on root device")
	}
	return nil
}

// with is e with the fields that change sets. A change of the volume's type
// drops the old type's speed.
func (e *blockEBS) with(change *blockEBS) *blockEBS {
	next := *e
	if change.VolumeType != nil && *change.VolumeType != valueOr(e.VolumeType, "gp2") {
		next.IOPS, next.Throughput = nil, nil
	}
	override(&next.VolumeSize, change.VolumeSize)
	override(&next.VolumeType, change.VolumeType)
	override(&next.IOPS, change.IOPS)
	override(&next.Throughput, change.Throughput)
	override(&next.DeleteOnTermination, change.DeleteOnTermination)
	override(&next.Encrypted, change.Encrypted)
	override(&next.KMSKeyID, change.KMSKeyID)
	return &next
}

func override[T any](what **T, by *T) {
	if by != nil {
		*what = by
	}
}

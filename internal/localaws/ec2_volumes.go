package localaws

import (
	"cmp"
	"time"
)

// A volume is an EBS volume.
type volume struct {
	autoEnableIO        bool
	id                  string
	zone                availabilityZone
	state               string // "creating", "available", "in-use", "deleting"
	kind                string
	sizeGiB             int64
	iops, throughput    int64
	kmsKey              string
	snapshotID          string
	created             time.Time
	disk                disk
	instanceID, device  string
	attachState         string // "attaching", "attached", "detaching"
	attached            time.Time
	deleteOnTermination bool
	modified            *volumeModification
}

func (p *ec2Place) addVolume(v *volumePlan, zone availabilityZone) *volume {
	vol := &volume{
		id: newID("vol"), zone: zone, state: "creating", kind: v.kind, sizeGiB: v.sizeGiB, iops: v.iops, throughput: v.throughput,
		kmsKey: v.kmsKey, created: p.server.clock.Now(), deleteOnTermination: v.deleteOnTermination,
	}
	if v.snapshot != nil {
		vol.snapshotID, vol.disk = v.snapshot.id, v.snapshot.disk
	}
	p.volumes[vol.id] = vol
	return vol
}

func (v *volume) attach(i *instance, device string, now time.Time) {
	v.instanceID, v.device, v.attached, v.attachState, v.state = i.ID, device, now, "attached", "in-use"
}

func (p *ec2Place) dropVolume(v *volume) {
	delete(p.volumes, v.id)
	delete(p.tags, v.id)
	p.server.dropLayers(v.disk)
}

// imageDevice is the volume as an image's mapping.
func (v *volume) imageDevice() blockDevice {
	e := &blockEBS{
		VolumeSize: new(v.sizeGiB), VolumeType: new(v.kind), DeleteOnTermination: new(v.deleteOnTermination), Encrypted: new(v.kmsKey != ""),
	}
	if kind := volumeKinds[v.kind]; kind.iops {
		e.IOPS = new(v.iops)
	}
	if v.kind == "gp3" {
		e.Throughput = new(v.throughput)
	}
	return blockDevice{DeviceName: v.device, EBS: e}
}

func (p *ec2Place) findVolume(id string) (*volume, error) {
	if v := p.volumes[id]; v != nil {
		return v, nil
	}
	if !validID("vol", id) {
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter volumeId is invalid. Expected: 'vol-...'.", id)
	}
	return nil, refuse("InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
}

type createVolumeInput struct {
	dryRun
	tagSpecs
	Zone        string  `query:"AvailabilityZone"`
	ZoneID      string  `query:"AvailabilityZoneId"`
	Size        *int64  `query:"Size"`
	SnapshotID  string  `query:"SnapshotId"`
	Type        *string `query:"VolumeType"`
	IOPS        *int64  `query:"Iops"`
	Throughput  *int64  `query:"Throughput"`
	Encrypted   *bool   `query:"Encrypted"`
	KMSKeyID    *string `query:"KmsKeyId"`
	ClientToken *string `query:"ClientToken"`
}

func (s *Server) createVolume(c *call, in *createVolumeInput) (*volumeDescription, error) {
	p := c.place()
	if in.Zone == "" && in.ZoneID == "" {
		return nil, missing("AvailabilityZone")
	}
	zone, err := pickZone(c.region, in.Zone, in.ZoneID)
	if err != nil {
		return nil, refuse("InvalidZone.NotFound", "The zone '%s' does not exist.", in.Zone+in.ZoneID)
	}
	var plan volumePlan
	if in.SnapshotID != "" {
		if plan.snapshot, err = c.snapshotForVolume(in.SnapshotID, nil); err != nil {
			return nil, err
		}
	}
	if err := plan.decide(c, &blockEBS{VolumeSize: in.Size, VolumeType: in.Type, IOPS: in.IOPS, Throughput: in.Throughput, Encrypted: in.Encrypted, KMSKeyID: in.KMSKeyID}); err != nil {
		return nil, err
	}
	tags, err := in.forTypes("volume")
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	return repeatable(c, in.ClientToken, func() (*volumeDescription, error) {
		v := p.addVolume(&plan, zone)
		p.setTags(v.id, tags["volume"])
		s.after(s.delays.VolumeDetach, func() {
			switch {
			case plan.kmsState != "":
				p.dropVolume(v)
			case v.state == "creating":
				v.state = "available"
			}
		})
		d := p.describeVolume(v)
		return &d, nil
	})
}

type deleteVolumeInput struct {
	dryRun
	VolumeID string `query:"VolumeId"`
}

func (s *Server) deleteVolume(c *call, in *deleteVolumeInput) (*done, error) {
	p := c.place()
	v, err := p.findVolume(in.VolumeID)
	if err != nil {
		return nil, err
	}
	if v.instanceID != "" {
		return nil, refuse("VolumeInUse", "Volume %s is currently attached to %s", v.id, v.instanceID)
	}
	if v.state != "available" && v.state != "error" {
		return nil, refuse("IncorrectState", "The volume '%s' is '%s'.", v.id, v.state)
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	v.state = "deleting"
	s.after(s.delays.VolumeDetach, func() { p.dropVolume(v) })
	return succeeded, nil
}

type attachVolumeInput struct {
	dryRun
	VolumeID   string `query:"VolumeId"`
	InstanceID string `query:"InstanceId"`
	Device     string `query:"Device"`
	Force      *bool  `query:"Force"`
}

type volumeAttachment struct {
	VolumeID            string `xml:"volumeId"`
	InstanceID          string `xml:"instanceId"`
	Device              string `xml:"device"`
	State               string `xml:"status"`
	AttachTime          string `xml:"attachTime"`
	DeleteOnTermination bool   `xml:"deleteOnTermination"`
}

func (v *volume) attachment() volumeAttachment {
	return volumeAttachment{v.id, v.instanceID, v.device, v.attachState, ec2Time(v.attached), v.deleteOnTermination}
}

func (s *Server) attachVolume(c *call, in *attachVolumeInput) (*volumeAttachment, error) {
	p := c.place()
	v, err := p.findVolume(in.VolumeID)
	if err != nil {
		return nil, err
	}
	i, err := c.findInstance(in.InstanceID)
	if err != nil {
		return nil, err
	}
	switch {
	case v.instanceID != "":
		return nil, refuse("VolumeInUse", "%s is already attached to an instance", v.id)
	case v.state != "available":
		return nil, refuse("IncorrectState", "%s is not 'available'.", v.id)
	case v.zone != i.zone:
		return nil, refuse("InvalidVolume.ZoneMismatch", "The volume '%s' is not in the same availability zone as instance '%s'", v.id, i.ID)
	case i.State != "running" && i.State != "stopped":
		return nil, refuse("IncorrectState", "Instance '%s' is not 'running'.", i.ID)
	case !deviceNames.MatchString(in.Device):
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter device is invalid. %s is not a valid EBS device name.", in.Device, in.Device)
	case i.volumeAt(in.Device) != nil:
		return nil, refuse("InvalidParameterValue", "Invalid value '%s' for unixDevice. Attachment point %s is already in use", in.Device, in.Device)
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	v.attach(i, in.Device, c.now)
	a := v.attachment()
	a.State = "attaching" // as EC2 answers, however soon it is attached
	return &a, nil
}

func (s *Server) detachVolume(c *call, in *attachVolumeInput) (*volumeAttachment, error) {
	p := c.place()
	v, err := p.findVolume(in.VolumeID)
	if err != nil {
		return nil, err
	}
	i := p.instances[v.instanceID]
	if in.InstanceID != "" {
		if _, err := c.findInstance(in.InstanceID); err != nil {
			return nil, err
		}
	}
	switch {
	case i == nil:
		return nil, refuse("IncorrectState", "Volume '%s' is in the 'available' state.", v.id)
	case in.InstanceID != "" && in.InstanceID != i.ID, in.Device != "" && in.Device != v.device:
		return nil, refuse("InvalidAttachment.NotFound", "The volume '%s' is not attached to instance '%s' as device '%s'", v.id, cmp.Or(in.InstanceID, i.ID), cmp.Or(in.Device, v.device))
	case v.device == i.rootDevice && i.State != "stopped":
		return nil, refuse("OperationNotPermitted", "Unable to detach root volume '%s' from instance '%s'", v.id, i.ID)
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	v.attachState = "detaching"
	a := v.attachment()
	s.after(s.delays.VolumeDetach, func() { v.detach() })
	return &a, nil
}

func (v *volume) detach() {
	v.instanceID, v.device, v.attachState, v.state = "", "", "", "available"
}

type volumeDescription struct {
	ID          string                `xml:"volumeId"`
	SizeGiB     int64                 `xml:"size"`
	SnapshotID  string                `xml:"snapshotId"`
	Zone        string                `xml:"availabilityZone"`
	ZoneID      string                `xml:"availabilityZoneId"`
	State       string                `xml:"status"`
	Created     string                `xml:"createTime"`
	Attachments set[volumeAttachment] `xml:"attachmentSet"`
	Tags        set[tag]              `xml:"tagSet"`
	Type        string                `xml:"volumeType"`
	IOPS        *int64                `xml:"iops"`
	Throughput  *int64                `xml:"throughput"`
	Encrypted   bool                  `xml:"encrypted"`
	KMSKeyID    string                `xml:"kmsKeyId,omitempty"`
	MultiAttach bool                  `xml:"multiAttachEnabled"`
}

func (p *ec2Place) describeVolume(v *volume) volumeDescription {
	d := volumeDescription{
		ID: v.id, SizeGiB: v.sizeGiB, SnapshotID: v.snapshotID, Zone: v.zone.name, ZoneID: v.zone.id, State: v.state, Created: ec2Time(v.created),
		Tags: p.tagSet(v.id), Type: v.kind, Encrypted: v.kmsKey != "", KMSKeyID: v.kmsKey,
	}
	if v.iops > 0 {
		d.IOPS = &v.iops
	}
	if v.kind == "gp3" {
		d.Throughput = &v.throughput
	}
	if v.instanceID != "" {
		d.Attachments = setOf([]volumeAttachment{v.attachment()})
	}
	return d
}

type describeVolumesInput struct {
	dryRun
	page
	IDs     []string `query:"VolumeId"`
	Filters []filter `query:"Filter"`
}

type describeVolumesOutput struct {
	Volumes   set[volumeDescription] `xml:"volumeSet"`
	NextToken string                 `xml:"nextToken,omitempty"`
}

var volumeFilters = filterTable[*volume]{
	"attachment.attach-time": one(func(v *volume) string { return ec2Time(v.attached) }),
	"attachment.delete-on-termination": one(func(v *volume) string {
		if v.instanceID == "" {
			return ""
		}
		return boolWord(v.deleteOnTermination)
	}),
	"attachment.device":      one(func(v *volume) string { return v.device }),
	"attachment.instance-id": one(func(v *volume) string { return v.instanceID }),
	"attachment.status":      one(func(v *volume) string { return v.attachState }),
	"availability-zone":      one(func(v *volume) string { return v.zone.name }),
	"availability-zone-id":   one(func(v *volume) string { return v.zone.id }),
	"create-time":            one(func(v *volume) string { return ec2Time(v.created) }),
	"encrypted":              one(func(v *volume) string { return boolWord(v.kmsKey != "") }),
	"multi-attach-enabled":   one(func(*volume) string { return "false" }),
	"size":                   one(func(v *volume) string { return number(v.sizeGiB) }),
	"snapshot-id":            one(func(v *volume) string { return v.snapshotID }),
	"status":                 one(func(v *volume) string { return v.state }),
	"volume-id":              one(func(v *volume) string { return v.id }),
	"volume-type":            one(func(v *volume) string { return v.kind }),
}

func (s *Server) describeVolumes(c *call, in *describeVolumesInput) (*describeVolumesOutput, error) {
	p := c.place()
	if err := in.notBoth(in.IDs, "volumeIds"); err != nil {
		return nil, err
	}
	all, err := byID(in.IDs, p.volumes, p.findVolume)
	if err != nil {
		return nil, err
	}
	all, err = volumeFilters.keep(in.Filters, func(v *volume) map[string]string { return p.tags[v.id] }, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &describeVolumesOutput{setFrom(part, p.describeVolume), next}, err
}

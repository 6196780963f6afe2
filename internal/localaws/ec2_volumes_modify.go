package localaws

import (
	"slices"
	"time"
)

// A volumeModification is the last change of a volume.
type volumeModification struct {
	from, to volumePlan
	started  time.Time
	complete bool
}

type modifyVolumeInput struct {
	dryRun
	VolumeID   string  `query:"VolumeId"`
	Size       *int64  `query:"Size"`
	Type       *string `query:"VolumeType"`
	IOPS       *int64  `query:"Iops"`
	Throughput *int64  `query:"Throughput"`
}

type modificationDescription struct {
	VolumeID           string `xml:"volumeId"`
	State              string `xml:"modificationState"`
	TargetSize         int64  `xml:"targetSize"`
	TargetIOPS         int64  `xml:"targetIops"`
	TargetType         string `xml:"targetVolumeType"`
	TargetThroughput   int64  `xml:"targetThroughput,omitempty"`
	OriginalSize       int64  `xml:"originalSize"`
	OriginalIOPS       int64  `xml:"originalIops"`
	OriginalType       string `xml:"originalVolumeType"`
	OriginalThroughput int64  `xml:"originalThroughput,omitempty"`
	Progress           int64  `xml:"progress"`
	Started            string `xml:"startTime"`
}

func (v *volume) modification() modificationDescription {
	m := v.modified
	d := modificationDescription{
		v.id, "modifying", m.to.sizeGiB, m.to.iops, m.to.kind, m.to.throughput,
		m.from.sizeGiB, m.from.iops, m.from.kind, m.from.throughput, 0, ec2Time(m.started),
	}
	if m.complete {
		d.State, d.Progress = "completed", 100
	}
	return d
}

type modifyVolumeOutput struct {
	Modification modificationDescription `xml:"volumeModification"`
}

func (s *Server) modifyVolume(c *call, in *modifyVolumeInput) (*modifyVolumeOutput, error) {
	v, err := c.place().findVolume(in.VolumeID)
	if err != nil {
		return nil, err
	}
	if in.Size == nil && in.Type == nil && in.IOPS == nil && in.Throughput == nil {
		return nil, refuse("InvalidParameterValue", "Must specify at least one of size, type, iops or throughput")
	}
	if v.modified != nil && c.now.Before(v.modified.started.Add(6*time.Hour)) {
		return nil, refuse("VolumeModificationRateExceeded",
			"You've reached the maximum modification rate per volume limit. Wait at least 6 hours between modifications per EBS volume.")
	}
	if in.Size != nil && *in.Size < v.sizeGiB {
		return nil, refuse("InvalidParameterValue", "New size cannot be smaller than existing size")
	}
	m := &volumeModification{started: c.now, from: volumePlan{kind: v.kind, sizeGiB: v.sizeGiB, iops: v.iops, throughput: v.throughput}}
	now := v.imageDevice().EBS
	now.Encrypted = nil
	if err := m.to.decide(c, now.with(&blockEBS{VolumeSize: in.Size, VolumeType: in.Type, IOPS: in.IOPS, Throughput: in.Throughput})); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	v.modified, v.kind, v.sizeGiB, v.iops, v.throughput = m, m.to.kind, m.to.sizeGiB, m.to.iops, m.to.throughput
	s.after(s.delays.SnapshotPending, func() { m.complete = true })
	return &modifyVolumeOutput{v.modification()}, nil
}

type describeModificationsInput struct {
	dryRun
	page
	IDs     []string `query:"VolumeId"`
	Filters []filter `query:"Filter"`
}

type describeModificationsOutput struct {
	Modifications set[modificationDescription] `xml:"volumeModificationSet"`
	NextToken     string                       `xml:"nextToken,omitempty"`
}

var modificationFilters = filterTable[modificationDescription]{
	"original-iops":        one(func(m modificationDescription) string { return number(m.OriginalIOPS) }),
	"original-size":        one(func(m modificationDescription) string { return number(m.OriginalSize) }),
	"original-volume-type": one(func(m modificationDescription) string { return m.OriginalType }),
	"start-time":           one(func(m modificationDescription) string { return m.Started }),
	"target-iops":          one(func(m modificationDescription) string { return number(m.TargetIOPS) }),
	"target-size":          one(func(m modificationDescription) string { return number(m.TargetSize) }),
	"target-volume-type":   one(func(m modificationDescription) string { return m.TargetType }),
	"modification-state":   one(func(m modificationDescription) string { return m.State }),
	"volume-id":            one(func(m modificationDescription) string { return m.VolumeID }),
}

func (s *Server) describeVolumesModifications(c *call, in *describeModificationsInput) (*describeModificationsOutput, error) {
	p := c.place()
	volumes, err := byID(in.IDs, p.volumes, p.findVolume)
	if err != nil {
		return nil, err
	}
	var all []modificationDescription
	for _, v := range volumes {
		if v.modified != nil {
			all = append(all, v.modification())
		} else if slices.Contains(in.IDs, v.id) {
			return nil, refuse("InvalidVolumeModification.NotFound", "Modification for volume '%s' does not exist.", v.id)
		}
	}
	if all, err = modificationFilters.keep(in.Filters, nil, all); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 1, 500, all)
	return &describeModificationsOutput{setOf(part), next}, err
}

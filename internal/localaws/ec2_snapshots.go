package localaws

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/taccoform/packer-plugin-ssm/internal/localaws/machine"
)

// A disk is what a volume or snapshot holds: a release's own system with
// layers over it. The zero disk is an empty one.
type disk struct {
	release      machine.Release
	architecture string
	layers       []machine.LayerID
}

// A snapshot is a volume's content at one time.
type snapshot struct {
	id, owner, region, description string
	volumeID                       string
	sizeGiB                        int64
	kmsKey                         string // ARN; empty when not encrypted
	state                          string // "pending", "completed", "error"
	started                        time.Time
	expected                       time.Time // when it will be complete
	public                         bool
	users                          []string // who may make volumes of it
	minutes                        int64    // of a copy that was asked to be complete within them; 0 for any other
	disk                           disk
}

func (p *ec2Place) newSnapshot(v *volume, description string) *snapshot {
	s := p.server
	snap := &snapshot{
		id: newID("snap"), owner: p.account, region: p.region, description: description, volumeID: v.id, sizeGiB: v.sizeGiB,
		kmsKey: v.kmsKey, state: "pending", started: s.clock.Now(), disk: v.disk,
	}
	snap.expected = snap.started.Add(s.delays.SnapshotPending)
	s.ec2Region(p.region).snapshots[snap.id] = snap
	return snap
}

func (p *ec2Place) copyOf(from *snapshot, key, description string) *snapshot {
	snap := *from
	snap.id, snap.owner, snap.region, snap.description = newID("snap"), p.account, p.region, description
	snap.kmsKey, snap.state, snap.started = key, "pending", p.server.clock.Now()
	snap.public, snap.users, snap.volumeID, snap.minutes = false, nil, "vol-ffffffff", 0
	p.server.ec2Region(p.region).snapshots[snap.id] = &snap
	return &snap
}

// progress is how far the snapshot is at a time, as AWS counts it.
func (s *snapshot) progress(now time.Time) string {
	if s.state == "completed" {
		return "100%"
	}
	whole, passed := s.expected.Sub(s.started), now.Sub(s.started)
	if whole <= 0 || passed >= whole {
		return "99%"
	}
	return strconv.FormatInt(int64(passed*100/whole), 10) + "%"
}

// usable says whether an account may make a volume of the snapshot.
func (s *snapshot) usable(account string) bool {
	return s.owner == account || s.public || slices.Contains(s.users, account)
}

func (c *call) findSnapshot(id string) (*snapshot, error) {
	if !validID("snap", id) {
		return nil, refuse("InvalidSnapshotID.Malformed", "Invalid id: \"%s\" (expecting \"snap-...\")", id)
	}
	snap := c.images().snapshots[id]
	if snap == nil || !snap.usable(c.caller.account) {
		return nil, refuse("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", id)
	}
	return snap, nil
}

func (c *call) ownSnapshot(id string) (*snapshot, error) {
	snap, err := c.findSnapshot(id)
	if err != nil {
		return nil, err
	}
	if snap.owner != c.caller.account {
		return nil, refuse("AuthFailure", "Not authorized for snapshot %s", id)
	}
	return snap, nil
}

// snapshotForVolume finds the snapshot of a mapping: those of an image come with the permission to launch it.
func (c *call) snapshotForVolume(id string, img *image) (*snapshot, error) {
	if snap := c.images().snapshots[id]; snap != nil && img != nil && slices.Contains(img.snapshotIDs(), id) {
		return snap, nil
	}
	snap, err := c.findSnapshot(id)
	if err != nil {
		return nil, err
	}
	if snap.state != "completed" {
		return nil, refuse("IncorrectState", "Snapshot is in invalid state - %s", snap.state)
	}
	return snap, nil
}

// snapshotUser is an image that the snapshot is part of, or nil.
func (r *ec2Region) snapshotUser(id string) *image {
	for _, img := range r.images {
		if slices.Contains(img.snapshotIDs(), id) {
			return img
		}
	}
	return nil
}

type createSnapshotInput struct {
	dryRun
	tagSpecs
	VolumeID    string `query:"VolumeId"`
	Description string `query:"Description"`
}

func (s *Server) createSnapshot(c *call, in *createSnapshotInput) (*snapshotDescription, error) {
	p := c.place()
	v, err := p.findVolume(in.VolumeID)
	if err != nil {
		return nil, err
	}
	tags, err := in.forTypes("snapshot")
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	snap := p.newSnapshot(v, in.Description)
	p.setTags(snap.id, tags["snapshot"])
	finish := func(err error) {
		if err != nil {
			snap.state = "error"
			return
		}
		s.after(max(0, snap.expected.Sub(s.clock.Now())), func() { snap.state = "completed" })
	}
	if i := p.instances[v.instanceID]; i != nil {
		i.capture([]*snapshot{snap}, finish)
	} else {
		finish(nil)
	}
	d := p.describeSnapshot(snap)
	return &d, nil
}

type deleteSnapshotInput struct {
	dryRun
	SnapshotID string `query:"SnapshotId"`
}

func (s *Server) deleteSnapshot(c *call, in *deleteSnapshotInput) (*done, error) {
	snap, err := c.ownSnapshot(in.SnapshotID)
	if err != nil {
		return nil, err
	}
	if img := c.images().snapshotUser(snap.id); img != nil {
		return nil, refuse("InvalidSnapshot.InUse", "The snapshot %s is currently in use by %s", snap.id, img.id)
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	c.place().dropSnapshot(snap)
	return succeeded, nil
}

// dropSnapshot deletes a snapshot; its own layer goes when nothing else stands on it.
func (p *ec2Place) dropSnapshot(snap *snapshot) {
	delete(p.server.ec2Region(snap.region).snapshots, snap.id)
	delete(p.tags, snap.id)
	p.server.dropLayers(snap.disk)
}

// dropLayers removes the disk's layers that nothing uses any more.
func (s *Server) dropLayers(d disk) {
	if s.machines == nil {
		return
	}
	used := s.ec2.layersInUse()
	for _, layer := range slices.Backward(d.layers) {
		if !used[layer] {
			s.goOwned(func(ctx context.Context) {
				if err := s.machines.RemoveLayer(ctx, layer); err != nil {
					s.log.Warn("remove layer", "layer", layer, "err", err)
				}
			})
		}
	}
}

func (e *ec2State) layersInUse() map[machine.LayerID]bool {
	used := map[machine.LayerID]bool{}
	mark := func(d disk) {
		for _, l := range d.layers {
			used[l] = true
		}
	}
	for _, r := range e.regions {
		for _, snap := range r.snapshots {
			mark(snap.disk)
		}
	}
	for _, p := range e.places {
		for _, v := range p.volumes {
			mark(v.disk)
		}
	}
	return used
}

type copySnapshotInput struct {
	dryRun
	tagSpecs
	SourceSnapshotID string  `query:"SourceSnapshotId"`
	SourceRegion     string  `query:"SourceRegion"`
	Destination      *string `query:"DestinationRegion"`
	PresignedURL     *string `query:"PresignedUrl"`
	Description      string  `query:"Description"`
	Encrypted        *bool   `query:"Encrypted"`
	KMSKeyID         *string `query:"KmsKeyId"`
	Minutes          *int64  `query:"CompletionDurationMinutes"`
}

type copySnapshotOutput struct {
	SnapshotID string   `xml:"snapshotId"`
	Tags       set[tag] `xml:"tagSet"`
}

func (s *Server) copySnapshot(c *call, in *copySnapshotInput) (*copySnapshotOutput, error) {
	p := c.place()
	from := *c
	from.region = in.SourceRegion
	if !slices.Contains(s.regions, in.SourceRegion) {
		return nil, refuse("InvalidParameterValue", "Invalid value '%s' for sourceRegion.", in.SourceRegion)
	}
	src, err := from.findSnapshot(in.SourceSnapshotID)
	if err != nil {
		return nil, err
	}
	tags, err := in.forTypes("snapshot")
	if err != nil {
		return nil, err
	}
	key := ""
	if isTrue(in.Encrypted) || src.kmsKey != "" || p.encryptByDefault {
		var problem string
		if key, problem = c.volumeKey(valueOr(in.KMSKeyID, p.ebsKey())); problem != "" {
			return nil, refuse("InvalidKmsKeyId.NotFound", "The KMS key cannot be used: %s", problem)
		}
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	snap := p.copyOf(src, key, in.Description)
	snap.expected = c.now.Add(s.delays.CopyPending)
	p.setTags(snap.id, tags["snapshot"])
	s.after(s.delays.CopyPending, func() { snap.state = "completed" })
	return &copySnapshotOutput{snap.id, p.tagSet(snap.id)}, nil
}

type snapshotDescription struct {
	ID          string   `xml:"snapshotId"`
	VolumeID    string   `xml:"volumeId"`
	State       string   `xml:"status"`
	Message     string   `xml:"statusMessage,omitempty"`
	Started     string   `xml:"startTime"`
	Completed   string   `xml:"completionTime,omitempty"`
	Progress    string   `xml:"progress"`
	OwnerID     string   `xml:"ownerId"`
	OwnerAlias  string   `xml:"ownerAlias,omitempty"`
	SizeGiB     int64    `xml:"volumeSize"`
	Description string   `xml:"description"`
	Encrypted   bool     `xml:"encrypted"`
	KMSKeyID    string   `xml:"kmsKeyId,omitempty"`
	Tier        string   `xml:"storageTier"`
	Tags        set[tag] `xml:"tagSet"`
	Transfer    string   `xml:"transferType,omitempty"`
	Minutes     int64    `xml:"completionDurationMinutes,omitempty"`
}

func (p *ec2Place) describeSnapshot(s *snapshot) snapshotDescription {
	d := snapshotDescription{
		ID: s.id, VolumeID: s.volumeID, State: s.state, Started: ec2Time(s.started), Progress: s.progress(p.server.clock.Now()),
		OwnerID: s.owner, SizeGiB: s.sizeGiB, Description: s.description, Encrypted: s.kmsKey != "", KMSKeyID: s.kmsKey,
		Tier: "standard", Tags: p.tagSet(s.id),
	}
	if s.owner == amazonAccount {
		d.OwnerAlias = "amazon"
	}
	if s.minutes > 0 {
		d.Transfer, d.Minutes = "time-based", s.minutes
	}
	if s.state == "completed" {
		d.Completed = ec2Time(maxTime(s.expected, s.started))
	}
	return d
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

type describeSnapshotsInput struct {
	dryRun
	page
	IDs        []string `query:"SnapshotId"`
	Owners     []string `query:"Owner"`
	Restorable []string `query:"RestorableBy"`
	Filters    []filter `query:"Filter"`
}

type describeSnapshotsOutput struct {
	Snapshots set[snapshotDescription] `xml:"snapshotSet"`
	NextToken string                   `xml:"nextToken,omitempty"`
}

func (p *ec2Place) snapshotFilters() filterTable[*snapshot] {
	return filterTable[*snapshot]{
		"description":  one(func(s *snapshot) string { return s.description }),
		"encrypted":    one(func(s *snapshot) string { return boolWord(s.kmsKey != "") }),
		"owner-id":     one(func(s *snapshot) string { return s.owner }),
		"owner-alias":  one(func(s *snapshot) string { return p.describeSnapshot(s).OwnerAlias }),
		"progress":     one(func(s *snapshot) string { return s.progress(p.server.clock.Now()) }),
		"snapshot-id":  one(func(s *snapshot) string { return s.id }),
		"start-time":   one(func(s *snapshot) string { return ec2Time(s.started) }),
		"status":       one(func(s *snapshot) string { return s.state }),
		"storage-tier": one(func(*snapshot) string { return "standard" }),
		"volume-id":    one(func(s *snapshot) string { return s.volumeID }),
		"volume-size":  one(func(s *snapshot) string { return number(s.sizeGiB) }),
	}
}

func (s *Server) describeSnapshots(c *call, in *describeSnapshotsInput) (*describeSnapshotsOutput, error) {
	p := c.place()
	if err := in.notBoth(in.IDs, "snapshotIds"); err != nil {
		return nil, err
	}
	all, err := byID(in.IDs, c.images().snapshots, c.findSnapshot)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(snap *snapshot) bool {
		if !snap.usable(p.account) || c.tooNew(snap.started, snap.owner, c.server.delays.ImageConsistency) {
			return true
		}
		owned := func(o string) bool {
			return o == snap.owner || o == "self" && snap.owner == p.account || o == "amazon" && snap.owner == amazonAccount
		}
		restorable := func(r string) bool {
			return r == "all" && snap.public || r == "self" && snap.usable(p.account) || r == snap.owner || slices.Contains(snap.users, r)
		}
		return len(in.Owners) > 0 && !slices.ContainsFunc(in.Owners, owned) ||
			len(in.Restorable) > 0 && !slices.ContainsFunc(in.Restorable, restorable)
	})
	all, err = p.snapshotFilters().keep(in.Filters, func(snap *snapshot) map[string]string { return p.tags[snap.id] }, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &describeSnapshotsOutput{setFrom(part, p.describeSnapshot), next}, err
}

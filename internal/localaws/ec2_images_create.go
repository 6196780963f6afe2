package localaws

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

var imageNames = regexp.MustCompile(`^[a-zA-Z0-9()\[\] ./\-'@_]{3,128}$`)

// checkImageName refuses a name that AWS refuses, or that the caller has already given.
func (c *call) checkImageName(name string) error {
	if name == "" {
		return missing("name")
	}
	if !imageNames.MatchString(name) {
		return refuse("InvalidAMIName.Malformed",
			"AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '.', '-', '/' and '_'")
	}
	for _, img := range c.images().images {
		if img.owner == c.caller.account && img.name == name && img.state != "failed" && img.state != "invalid" {
			return refuse("InvalidAMIName.Duplicate", "AMI name %s is already in use by AMI %s", name, img.id)
		}
	}
	return nil
}

type createImageInput struct {
	dryRun
	tagSpecs
	InstanceID  string        `query:"InstanceId"`
	Name        string        `query:"Name"`
	Description string        `query:"Description"`
	NoReboot    *bool         `query:"NoReboot"`
	BootMode    string        `query:"BootModeOverride"`
	Devices     []blockDevice `query:"BlockDeviceMapping"`
}

type imageIDOutput struct {
	ImageID string `xml:"imageId"`
}

func (s *Server) createImage(c *call, in *createImageInput) (*imageIDOutput, error) {
	p := c.place()
	i, err := c.findInstance(in.InstanceID)
	if err != nil {
		return nil, err
	}
	if err := c.checkImageName(in.Name); err != nil {
		return nil, err
	}
	if len(in.Description) > 255 {
		return nil, refuse("InvalidParameterValue", "Character sets beyond ASCII are not supported, and a description has at most 255 characters.")
	}
	tags, err := in.forTypes("image", "snapshot")
	if err != nil {
		return nil, err
	}
	if i.State != "running" && i.State != "stopped" && i.State != "stopping" {
		return nil, refuse("IncorrectInstanceState", "Instance is not in a state from which it can be imaged: '%s' is not 'running', 'stopping' or 'stopped'.", i.State)
	}
	if in.BootMode != "" && (in.BootMode != "uefi" || i.currentBootMode() != "uefi") {
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter bootModeOverride is invalid. The instance's current boot mode is %s.", in.BootMode, i.currentBootMode())
	}
	devices, err := i.imageDevices(in.Devices)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	img := i.newImage(in, devices)
	c.images().images[img.id] = img
	p.setTags(img.id, tags["image"])
	snaps := i.snapshotVolumes(img, tags["snapshot"])
	i.imageTaken(img, snaps, isTrue(in.NoReboot))
	return &imageIDOutput{img.id}, nil
}

func (i *instance) newImage(in *createImageInput, devices []blockDevice) *image {
	img := &image{
		id: newID("ami"), owner: i.Account, region: i.Region, name: in.Name, description: in.Description,
		architecture: i.architecture, state: "pending", created: i.place.server.clock.Now(),
		rootDevice: i.rootDevice, devices: devices, sourceInstance: i.ID, sourceImage: i.ImageID, sourceFrom: i.Region,
		imdsSupport: i.imageIMDS, bootMode: i.bootMode, agent: i.agent, hardware: i.hardware,
	}
	if in.BootMode != "" {
		img.bootMode = in.BootMode
	}
	return img
}

// imageDevices are the mappings of an image of the instance: its volumes as they are, changed by the request.
func (i *instance) imageDevices(asked []blockDevice) ([]blockDevice, error) {
	var own []blockDevice
	for _, v := range i.volumes() {
		own = append(own, v.imageDevice())
	}
	for _, a := range asked {
		if a.EBS == nil || a.NoDevice != nil {
			continue
		}
		j := slices.IndexFunc(own, func(o blockDevice) bool { return o.DeviceName == a.DeviceName })
		if j >= 0 && a.EBS.Encrypted != nil && *a.EBS.Encrypted != isTrue(own[j].EBS.Encrypted) {
			return nil, refuse("InvalidBlockDeviceMapping", "the encrypted flag cannot be specified since device %s has a volume of its own.", a.DeviceName)
		}
	}
	return mergeDevices(own, asked)
}

// snapshotVolumes starts the snapshots of the instance's volumes that the image's mappings speak of.
func (i *instance) snapshotVolumes(img *image, tags map[string]string) []*snapshot {
	var snaps []*snapshot
	for n, d := range img.devices {
		v := i.volumeAt(d.DeviceName)
		if d.EBS == nil || v == nil {
			continue
		}
		snap := i.place.newSnapshot(v, "Created by CreateImage("+i.ID+") for "+img.id)
		ebs := *d.EBS
		ebs.SnapshotID = &snap.id
		img.devices[n].EBS = &ebs
		i.place.setTags(snap.id, tags)
		snaps = append(snaps, snap)
	}
	return snaps
}

// imageTaken lets the image become available: once the disk is captured and the time has passed.
func (i *instance) imageTaken(img *image, snaps []*snapshot, noReboot bool) {
	s := i.place.server
	s.changed(img.region, img.id, img.state)
	started := s.clock.Now()
	due := started.Add(s.delays.ImagePending)
	for _, snap := range snaps {
		snap.expected = due
	}
	captured := func(err error) {
		if err != nil {
			img.fail(snaps, "Server.InternalError", "Server.InternalError: "+err.Error())
			s.changed(img.region, img.id, img.state)
			return
		}
		s.after(max(0, due.Sub(s.clock.Now())), func() { s.complete(img, snaps) })
	}
	if i.State == "running" && !noReboot {
		i.rebootAround(func() { i.capture(snaps, captured) })
		return
	}
	i.capture(snaps, captured)
}

func (s *Server) complete(img *image, snaps []*snapshot) {
	if img.state != "pending" {
		return
	}
	for _, snap := range snaps {
		if snap.state == "pending" {
			snap.state = "completed"
		}
	}
	if s.ec2Region(img.region).images[img.id] != img {
		return // deregistered meanwhile: its snapshots are completed all the same
	}
	img.state = "available"
	s.changed(img.region, img.id, img.state)
}

func (img *image) fail(snaps []*snapshot, code, message string) {
	img.state, img.stateCode, img.stateMessage = "failed", code, message
	for _, snap := range snaps {
		snap.state = "error"
	}
}

type deregisterInput struct {
	dryRun
	ImageID         string `query:"ImageId"`
	DeleteSnapshots *bool  `query:"DeleteAssociatedSnapshots"`
}

type deregisterOutput struct {
	Return  bool                      `xml:"return"`
	Results set[deleteSnapshotResult] `xml:"deleteSnapshotResultSet"`
}

type deleteSnapshotResult struct {
	SnapshotID string `xml:"snapshotId"`
	Code       string `xml:"returnCode"`
}

func (s *Server) deregisterImage(c *call, in *deregisterInput) (*deregisterOutput, error) {
	p := c.place()
	img, err := c.ownImage(in.ImageID)
	if err != nil {
		return nil, err
	}
	if img.protection != "" || c.now.Before(img.protectionEnds) {
		return nil, refuse("OperationNotPermitted", "The image %s is protected from deregistration.", img.id)
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	r := c.images()
	delete(r.images, img.id)
	r.deregistered[img.id] = img.owner
	delete(p.tags, img.id)
	out := &deregisterOutput{Return: true}
	if !isTrue(in.DeleteSnapshots) {
		return out, nil
	}
	for _, id := range img.snapshotIDs() {
		code := "success"
		switch snap := r.snapshots[id]; {
		case snap == nil || snap.owner != p.account:
			code = "missing-permissions"
		case r.snapshotUser(id) != nil:
			code = "skipped"
		default:
			p.dropSnapshot(snap)
		}
		out.Results.Items = append(out.Results.Items, deleteSnapshotResult{id, code})
	}
	return out, nil
}

type copyImageInput struct {
	dryRun
	tagSpecs
	Name          string  `query:"Name"`
	Description   *string `query:"Description"`
	SourceImageID string  `query:"SourceImageId"`
	SourceRegion  string  `query:"SourceRegion"`
	Encrypted     *bool   `query:"Encrypted"`
	KMSKeyID      *string `query:"KmsKeyId"`
	CopyTags      *bool   `query:"CopyImageTags"`
	ClientToken   *string `query:"ClientToken"`
	Minutes       *int64  `query:"SnapshotCopyCompletionDurationMinutes"`
}

func (s *Server) copyImage(c *call, in *copyImageInput) (*imageIDOutput, error) {
	return repeatable(c, in.ClientToken, func() (*imageIDOutput, error) { return s.copyImageOnce(c, in) })
}

func (s *Server) copyImageOnce(c *call, in *copyImageInput) (*imageIDOutput, error) {
	src, err := s.copySource(c, in)
	if err != nil {
		return nil, err
	}
	if err := c.checkImageName(in.Name); err != nil {
		return nil, err
	}
	if m := in.Minutes; m != nil && (*m < 15 || *m > 48*60 || *m%15 != 0) {
		return nil, refuse("InvalidParameterValue", "Value (%d) for parameter snapshotCopyCompletionDurationMinutes is invalid. It must be a multiple of 15 between 15 and 2880.", *m)
	}
	tags, err := in.forTypes("image", "snapshot")
	if err != nil {
		return nil, err
	}
	key, err := c.copyKey(src, in)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	img := c.addCopy(src, in, key, tags)
	if isTrue(in.CopyTags) {
		c.place().setTags(img.id, s.ec2Place(c.caller.account, in.SourceRegion).tags[src.id])
		c.place().setTags(img.id, tags["image"])
	}
	return &imageIDOutput{img.id}, nil
}

func (s *Server) copySource(c *call, in *copyImageInput) (*image, error) {
	if in.SourceRegion == "" {
		return nil, missing("SourceRegion")
	}
	if !slices.Contains(s.regions, in.SourceRegion) {
		return nil, refuse("InvalidParameterValue", "Invalid value '%s' for sourceRegion.", in.SourceRegion)
	}
	from := *c
	from.region = in.SourceRegion
	src, err := from.findImage(in.SourceImageID)
	if err != nil {
		return nil, err
	}
	if src.state != "available" {
		return nil, refuse("InvalidAMIID.Unavailable", "The image ID '%s' is currently not available to be copied: %s", src.id, src.state)
	}
	return src, c.checkStorage(src, in.SourceRegion)
}

// copyKey is the key that encrypts the copy; empty for a plain one. A key without a name, as amazon-ebs sends it with
// every copy, is none.
func (c *call) copyKey(src *image, in *copyImageInput) (string, error) {
	if valueOr(in.KMSKeyID, "") == "" {
		in.KMSKeyID = nil
	}
	if in.KMSKeyID != nil && !isTrue(in.Encrypted) {
		return "", refuse("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
	}
	encrypted := isTrue(in.Encrypted) || c.place().encryptByDefault
	for _, d := range src.devices {
		encrypted = encrypted || d.EBS != nil && isTrue(d.EBS.Encrypted)
	}
	if !encrypted {
		return "", nil
	}
	key, problem := c.volumeKey(valueOr(in.KMSKeyID, c.place().ebsKey()))
	if problem != "" {
		return "", refuse("InvalidKmsKeyId.NotFound", "The KMS key %s cannot be used: %s", valueOr(in.KMSKeyID, ""), problem)
	}
	return key, nil
}

// addCopy makes the pending copy and its snapshots in the caller's region.
func (c *call) addCopy(src *image, in *copyImageInput, key string, tags map[string]map[string]string) *image {
	s, p := c.server, c.place()
	img := *src
	img.id, img.owner, img.region, img.state, img.created = newID("ami"), p.account, p.region, "pending", c.now
	img.name, img.sourceImage, img.sourceFrom = in.Name, src.id, in.SourceRegion
	img.public, img.launchers, img.deprecated, img.protection = false, nil, time.Time{}, ""
	img.lastLaunched, img.sourceInstance = time.Time{}, ""
	img.description = valueOr(in.Description, "[Copied "+src.id+" from "+in.SourceRegion+"] "+src.description)
	img.description = strings.TrimSpace(img.description)
	img.devices = slices.Clone(src.devices)
	var snaps []*snapshot
	for n, d := range img.devices {
		if d.EBS == nil || d.EBS.SnapshotID == nil {
			continue
		}
		from := s.ec2Region(in.SourceRegion).snapshots[*d.EBS.SnapshotID]
		if from == nil {
			continue
		}
		snap := p.copyOf(from, key, "Copied for DestinationAmi "+img.id+" from SourceAmi "+src.id+" for SourceSnapshot "+from.id+". Task created on "+number(c.now.UnixMilli())+".")
		snap.expected, snap.minutes = c.now.Add(s.delays.CopyPending), valueOr(in.Minutes, 0)
		p.setTags(snap.id, tags["snapshot"])
		snaps = append(snaps, snap)
		ebs := *d.EBS
		ebs.SnapshotID, ebs.Encrypted = &snap.id, new(key != "")
		img.devices[n].EBS = &ebs
	}
	c.images().images[img.id] = &img
	p.setTags(img.id, tags["image"])
	s.changed(p.region, img.id, img.state)
	readable := c.readsStorage(src, in.SourceRegion)
	s.after(s.delays.CopyPending, func() {
		if !readable {
			img.fail(snaps, "Client.InvalidKMSKey", keyUnusable)
			s.changed(img.region, img.id, img.state)
			return
		}
		s.complete(&img, snaps)
	})
	return &img
}

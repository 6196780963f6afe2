package localaws

import "slices"

type registerImageInput struct {
	dryRun
	tagSpecs
	Name           string        `query:"Name"`
	Description    string        `query:"Description"`
	Architecture   string        `query:"Architecture"`
	RootDevice     string        `query:"RootDeviceName"`
	Virtualization string        `query:"VirtualizationType"`
	ENA            *bool         `query:"EnaSupport"`
	SRIOV          string        `query:"SriovNetSupport"`
	BootMode       string        `query:"BootMode"`
	TPM            string        `query:"TpmSupport"`
	UEFIData       string        `query:"UefiData"`
	IMDS           string        `query:"ImdsSupport"`
	Devices        []blockDevice `query:"BlockDeviceMapping"`
}

// registerImage makes an image of snapshots that are there already, and so at once.
func (s *Server) registerImage(c *call, in *registerImageInput) (*imageIDOutput, error) {
	if err := c.checkImageName(in.Name); err != nil {
		return nil, err
	}
	if err := in.valid(); err != nil {
		return nil, err
	}
	root, err := c.registeredSnapshots(in)
	if err != nil {
		return nil, err
	}
	tags, err := in.forTypes("image")
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	img := &image{
		id: newID("ami"), owner: c.caller.account, region: c.region, name: in.Name, description: in.Description,
		architecture: in.Architecture, state: "available", created: c.now, rootDevice: in.RootDevice, devices: in.Devices,
		imdsSupport: in.IMDS, bootMode: in.BootMode, tpmSupport: in.TPM, uefiData: in.UEFIData, agent: c.images().hasAgent(root),
		hardware: hardware{paravirtual: in.Virtualization != "hvm", noENA: !isTrue(in.ENA), noSRIOV: in.SRIOV == ""},
	}
	if img.architecture == "" {
		img.architecture = "i386" // as EC2 has it
	}
	c.images().images[img.id] = img
	s.changed(img.region, img.id, img.state)
	c.place().setTags(img.id, tags["image"])
	return &imageIDOutput{img.id}, nil
}

func (in *registerImageInput) valid() error {
	one := func(name, value string, allowed ...string) error {
		if value == "" || slices.Contains(allowed, value) {
			return nil
		}
		return refuse("InvalidParameterValue", "Value (%s) for parameter %s is invalid.", value, name)
	}
	for _, err := range []error{
		one("architecture", in.Architecture, "i386", "x86_64", "arm64"),
		one("bootMode", in.BootMode, "legacy-bios", "uefi", "uefi-preferred"),
		one("tpmSupport", in.TPM, "v2.0"),
		one("imdsSupport", in.IMDS, "v2.0"),
		one("sriovNetSupport", in.SRIOV, "simple"),
		one("virtualizationType", in.Virtualization, "hvm", "paravirtual"),
	} {
		if err != nil {
			return err
		}
	}
	if in.TPM != "" && in.BootMode != "uefi" {
		return refuse("InvalidParameterCombination", "TpmSupport requires the boot mode uefi.")
	}
	return nil
}

// registeredSnapshots completes the mappings from their snapshots and returns the root's.
func (c *call) registeredSnapshots(in *registerImageInput) (*snapshot, error) {
	var root *snapshot
	for n, d := range in.Devices {
		if d.EBS == nil {
			continue
		}
		if d.EBS.SnapshotID == nil {
			continue
		}
		snap, err := c.ownSnapshot(*d.EBS.SnapshotID)
		switch {
		case err != nil:
			return nil, err
		case snap.state != "completed":
			return nil, refuse("InvalidParameterValue", "Snapshot %s is %s.", snap.id, snap.state)
		case d.EBS.Encrypted != nil:
			return nil, refuse("InvalidBlockDeviceMapping", "the encrypted flag cannot be specified since device %s has a snapshot specified.", d.DeviceName)
		}
		ebs := *d.EBS
		ebs.Encrypted = new(snap.kmsKey != "")
		if ebs.VolumeSize == nil {
			ebs.VolumeSize = &snap.sizeGiB
		}
		if ebs.VolumeType == nil {
			ebs.VolumeType = new("gp2")
		}
		in.Devices[n].EBS = &ebs
		if d.DeviceName == in.RootDevice {
			root = snap
		}
	}
	if root == nil {
		return nil, refuse("InvalidParameterCombination", "No root snapshot specified in device mapping")
	}
	return root, nil
}

// hasAgent says whether an image made of the snapshot before had the SSM agent inside.
func (r *ec2Region) hasAgent(snap *snapshot) bool {
	for _, img := range r.images {
		if slices.Contains(img.snapshotIDs(), snap.id) {
			return img.agent
		}
	}
	return true
}

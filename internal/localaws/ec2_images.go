package localaws

import (
	"slices"
	"strings"
	"time"
)

// An image is an AMI.
type image struct {
	id, owner, region       string
	name, description       string
	architecture            string
	state                   string // "pending", "available", "failed", "invalid", "disabled"
	stateCode, stateMessage string
	created, deprecated     time.Time
	lastLaunched            time.Time
	rootDevice              string
	devices                 []blockDevice
	public                  bool
	launchers               []launchPermission // whom it is shared with
	imdsSupport, bootMode   string
	tpmSupport, uefiData    string
	protection              string // "", "enabled-with-cooldown", "enabled-without-cooldown"
	protectionEnds          time.Time
	sourceInstance          string
	sourceImage, sourceFrom string // of a copy: the image and its region
	agent                   bool   // has the SSM agent inside
	hardware
}

type launchPermission struct {
	UserID string `query:"UserId" xml:"userId,omitempty"`
	Group  string `query:"Group" xml:"group,omitempty"`
	Org    string `query:"OrganizationArn" xml:"organizationArn,omitempty"`
	OU     string `query:"OrganizationalUnitArn" xml:"organizationalUnitArn,omitempty"`
}

// visible says whether an account may see and launch the image.
func (i *image) visible(account string) bool {
	return i.owner == account || i.public && i.state != "disabled" ||
		slices.ContainsFunc(i.launchers, func(l launchPermission) bool { return l.UserID == account })
}

func (i *image) snapshotIDs() []string {
	var ids []string
	for _, d := range i.devices {
		if d.EBS != nil && d.EBS.SnapshotID != nil {
			ids = append(ids, *d.EBS.SnapshotID)
		}
	}
	return ids
}

// findImage finds an image that the caller may see, by its id.
func (c *call) findImage(id string) (*image, error) {
	if !validID("ami", id) {
		return nil, refuse("InvalidAMIID.Malformed", "Invalid id: \"%s\" (expecting \"ami-...\")", id)
	}
	img := c.images().images[id]
	if img == nil || !img.visible(c.caller.account) || c.tooNew(img.created, img.owner, c.server.delays.ImageConsistency) {
		return nil, refuse("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
	}
	return img, nil
}

// usableImage finds an image to launch or to change; one that the caller has
// deregistered is told from one that there never was.
func (c *call) usableImage(id string) (*image, error) {
	img, err := c.findImage(id)
	if refusedWith(err, "InvalidAMIID.NotFound") && c.images().deregistered[id] == c.caller.account {
		return nil, refuse("InvalidAMIID.Unavailable", "The image id '[%s]' is no longer available", id)
	}
	return img, err
}

// lingers says whether the caller deregistered an image that instances still
// refer to: for so long Describe calls find nothing and refuse nothing.
func (c *call) lingers(id string) bool {
	if c.images().deregistered[id] != c.caller.account {
		return false
	}
	for _, i := range c.place().instances {
		if i.ImageID == id && i.State != "terminated" {
			return true
		}
	}
	return false
}

// ownImage finds an image that the caller owns.
func (c *call) ownImage(id string) (*image, error) {
	img, err := c.usableImage(id)
	if err != nil {
		return nil, err
	}
	if img.owner != c.caller.account {
		return nil, refuse("AuthFailure", "Not authorized for image:%s", id)
	}
	return img, nil
}

// tooNew says whether a resource of the caller's is so new that a Describe call may not know it yet.
func (c *call) tooNew(created time.Time, owner string, lag time.Duration) bool {
	return owner == c.caller.account && c.now.Before(created.Add(lag))
}

type describeImagesInput struct {
	dryRun
	page
	IDs        []string `query:"ImageId"`
	Owners     []string `query:"Owner"`
	Launchers  []string `query:"ExecutableBy"`
	Deprecated *bool    `query:"IncludeDeprecated"`
	Disabled   *bool    `query:"IncludeDisabled"`
	Filters    []filter `query:"Filter"`
}

type imageDescription struct {
	ID             string           `xml:"imageId"`
	Location       string           `xml:"imageLocation"`
	State          string           `xml:"imageState"`
	OwnerID        string           `xml:"imageOwnerId"`
	Created        string           `xml:"creationDate"`
	Public         bool             `xml:"isPublic"`
	ProductCodes   set[string]      `xml:"productCodes"`
	Architecture   string           `xml:"architecture"`
	Type           string           `xml:"imageType"`
	OwnerAlias     string           `xml:"imageOwnerAlias,omitempty"`
	RootType       string           `xml:"rootDeviceType"`
	RootDevice     string           `xml:"rootDeviceName"`
	Name           string           `xml:"name"`
	Description    string           `xml:"description,omitempty"`
	Devices        set[blockDevice] `xml:"blockDeviceMapping"`
	Virtualization string           `xml:"virtualizationType"`
	Tags           set[tag]         `xml:"tagSet"`
	Hypervisor     string           `xml:"hypervisor"`
	ENA            bool             `xml:"enaSupport"`
	SRIOV          string           `xml:"sriovNetSupport,omitempty"`
	Platform       string           `xml:"platformDetails"`
	Usage          string           `xml:"usageOperation"`
	BootMode       string           `xml:"bootMode,omitempty"`
	TPM            string           `xml:"tpmSupport,omitempty"`
	Deprecation    string           `xml:"deprecationTime,omitempty"`
	IMDS           string           `xml:"imdsSupport,omitempty"`
	SourceInstance string           `xml:"sourceInstanceId,omitempty"`
	SourceImage    string           `xml:"sourceImageId,omitempty"`
	SourceRegion   string           `xml:"sourceImageRegion,omitempty"`
	Protection     string           `xml:"deregistrationProtection,omitempty"`
	LastLaunched   string           `xml:"lastLaunchedTime,omitempty"`
	FreeTier       bool             `xml:"freeTierEligible"`
	Reason         *stateReason     `xml:"stateReason"`
}

type stateReason struct {
	Code    string `xml:"code"`
	Message string `xml:"message"`
}

func (i *image) ownerAlias() string {
	if i.owner == amazonAccount {
		return "amazon"
	}
	return ""
}

func (p *ec2Place) describeImage(i *image) imageDescription {
	d := imageDescription{
		ID: i.id, State: i.state, OwnerID: i.owner, Created: ec2Time(i.created), Public: i.public, Architecture: i.architecture,
		Type: "machine", OwnerAlias: i.ownerAlias(), RootType: "ebs", RootDevice: i.rootDevice, Name: i.name,
		Description: i.description, Devices: setOf(i.devices), Virtualization: i.virtualization(), Tags: p.tagSet(i.id), Hypervisor: "xen",
		ENA: i.ena(), SRIOV: i.sriov(), Platform: "Linux/UNIX", Usage: "RunInstances", BootMode: i.bootMode, TPM: i.tpmSupport,
		Deprecation: ec2Time(i.deprecated), IMDS: i.imdsSupport, SourceInstance: i.sourceInstance,
		SourceImage: i.sourceImage, SourceRegion: i.sourceFrom, FreeTier: true,
	}
	d.Location = i.owner + "/" + i.name
	if alias := i.ownerAlias(); alias != "" {
		d.Location = alias + "/" + i.name
	}
	if i.owner == p.account {
		d.LastLaunched = ec2Time(i.lastLaunched)
		d.Protection = "disabled"
		if i.protection != "" {
			d.Protection = i.protection
		}
	}
	if i.stateCode != "" {
		d.Reason = &stateReason{i.stateCode, i.stateMessage}
	}
	return d
}

type describeImagesOutput struct {
	Images    set[imageDescription] `xml:"imagesSet"`
	NextToken string                `xml:"nextToken,omitempty"`
}

func (s *Server) describeImages(c *call, in *describeImagesInput) (*describeImagesOutput, error) {
	p := c.place()
	if err := in.notBoth(in.IDs, "imagesSet"); err != nil {
		return nil, err
	}
	all, err := c.imagesAsked(in)
	if err != nil {
		return nil, err
	}
	all, err = imageFilters.keep(in.Filters, func(i *image) map[string]string { return p.tags[i.id] }, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 1, 1000, all)
	return &describeImagesOutput{setFrom(part, p.describeImage), next}, err
}

// unknownImages refuses with all the ids that the caller can't see.
func (c *call) unknownImages(ids []string) error {
	var unknown []string
	for _, id := range ids {
		if _, err := c.findImage(id); refusedWith(err, "InvalidAMIID.NotFound") {
			unknown = append(unknown, id)
		} else if err != nil {
			return err
		}
	}
	if len(unknown) == 1 {
		return refuse("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", unknown[0])
	}
	return refuse("InvalidAMIID.NotFound", "The image ids '[%s]' do not exist", strings.Join(unknown, ", "))
}

// imagesAsked are the images that ids, owners and launchers select and the caller may see.
func (c *call) imagesAsked(in *describeImagesInput) ([]*image, error) {
	ids := slices.DeleteFunc(slices.Clone(in.IDs), c.lingers)
	if len(ids) == 0 && len(in.IDs) > 0 {
		return nil, nil
	}
	all, err := byID(ids, c.images().images, c.findImage)
	if refusedWith(err, "InvalidAMIID.NotFound") && len(ids) > 1 {
		err = c.unknownImages(ids)
	}
	if err != nil {
		return nil, err
	}
	for _, owner := range in.Owners {
		if !knownOwner(owner) {
			return nil, refuse("InvalidUserID.Malformed", "Invalid user id: \"%s\"", owner)
		}
	}
	if err := publishersElsewhere(in.Owners); err != nil {
		return nil, err
	}
	for _, who := range in.Launchers {
		if who != "self" && who != "all" && !accountPattern.MatchString(who) {
			return nil, refuse("InvalidUserID.Malformed", "Invalid user id: \"%s\"", who)
		}
	}
	account := c.caller.account
	return slices.DeleteFunc(all, func(i *image) bool {
		switch {
		case !i.visible(account) || c.tooNew(i.created, i.owner, c.server.delays.ImageConsistency):
			return true
		case len(in.Owners) > 0 && !slices.ContainsFunc(in.Owners, func(o string) bool { return i.ownedBy(o, account) }):
			return true
		case len(in.Launchers) > 0 && !slices.ContainsFunc(in.Launchers, func(l string) bool { return i.launchedBy(l, account) }):
			return true
		case len(in.IDs) > 0:
			return false
		case i.state == "disabled":
			return !isTrue(in.Disabled)
		}
		old := !i.deprecated.IsZero() && !c.now.Before(i.deprecated)
		return old && i.owner != account && !isTrue(in.Deprecated)
	}), nil
}

// publishers are accounts whose public images are in every region of AWS's, and not here.
var publishers = map[string]string{
	"013907871322": "SUSE", "099720109477": "Canonical", "125523088429": "Fedora", "136693071363": "Debian", "309956199498": "Red Hat",
	"679593333241": "AWS Marketplace", "782442783595": "FreeBSD", "792107900819": "Rocky Linux", "801119661308": "Microsoft Windows",
	"aws-marketplace": "AWS Marketplace",
}

// publishersElsewhere refuses to look among the images of such accounts alone: finding nothing would be no answer of AWS's.
func publishersElsewhere(owners []string) error {
	for _, owner := range owners {
		if publishers[owner] == "" {
			return nil
		}
	}
	if len(owners) == 0 {
		return nil
	}
	return notHere("the images of %s", publishers[owners[0]])
}

// ownerAliases stand for accounts of AWS's own and of sellers.
var ownerAliases = []string{"self", "amazon", "aws-marketplace", "aws-backup-vault"}

func knownOwner(owner string) bool {
	return slices.Contains(ownerAliases, owner) || len(owner) == 12 && strings.Trim(owner, "0123456789") == ""
}

func (i *image) ownedBy(owner, self string) bool {
	return owner == i.owner || owner == "self" && i.owner == self || owner == i.ownerAlias()
}

// launchedBy says whether the image can be launched by "self", by "all" or by an account, through a permission.
func (i *image) launchedBy(who, self string) bool {
	if who == "all" {
		return i.public
	}
	if who == "self" {
		who = self
	}
	return slices.ContainsFunc(i.launchers, func(l launchPermission) bool { return l.UserID == who })
}

var imageFilters = filterTable[*image]{
	"architecture":         one(func(i *image) string { return i.architecture }),
	"boot-mode":            one(func(i *image) string { return i.bootMode }),
	"creation-date":        one(func(i *image) string { return ec2Time(i.created) }),
	"description":          one(func(i *image) string { return i.description }),
	"ena-support":          one(func(i *image) string { return boolWord(i.ena()) }),
	"free-tier-eligible":   one(func(*image) string { return "true" }),
	"hypervisor":           one(func(*image) string { return "xen" }),
	"image-allowed":        one(func(*image) string { return "true" }),
	"image-id":             one(func(i *image) string { return i.id }),
	"image-type":           one(func(*image) string { return "machine" }),
	"imds-support":         one(func(i *image) string { return i.imdsSupport }),
	"is-public":            one(func(i *image) string { return boolWord(i.public) }),
	"kernel-id":            func(*image) []string { return nil },
	"manifest-location":    one(func(i *image) string { return i.owner + "/" + i.name }),
	"name":                 one(func(i *image) string { return i.name }),
	"owner-alias":          one((*image).ownerAlias),
	"owner-id":             one(func(i *image) string { return i.owner }),
	"platform":             func(*image) []string { return nil },
	"product-code":         func(*image) []string { return nil },
	"product-code.type":    func(*image) []string { return nil },
	"ramdisk-id":           func(*image) []string { return nil },
	"root-device-name":     one(func(i *image) string { return i.rootDevice }),
	"root-device-type":     one(func(*image) string { return "ebs" }),
	"source-image-id":      one(func(i *image) string { return i.sourceImage }),
	"source-image-region":  one(func(i *image) string { return i.sourceFrom }),
	"source-instance-id":   one(func(i *image) string { return i.sourceInstance }),
	"sriov-net-support":    one(func(i *image) string { return i.sriov() }),
	"state":                one(func(i *image) string { return i.state }),
	"state-reason-code":    one(func(i *image) string { return i.stateCode }),
	"state-reason-message": one(func(i *image) string { return i.stateMessage }),
	"virtualization-type":  one(func(i *image) string { return i.virtualization() }),
	"block-device-mapping.device-name": func(i *image) []string {
		return nonEmpty(i.devices, func(d blockDevice) string { return d.DeviceName })
	},
	"block-device-mapping.snapshot-id":           func(i *image) []string { return i.snapshotIDs() },
	"block-device-mapping.volume-type":           ofImageEBS(func(e *blockEBS) string { return valueOr(e.VolumeType, "") }),
	"block-device-mapping.volume-size":           ofImageEBS(func(e *blockEBS) string { return number(valueOr(e.VolumeSize, 0)) }),
	"block-device-mapping.encrypted":             ofImageEBS(func(e *blockEBS) string { return boolWord(isTrue(e.Encrypted)) }),
	"block-device-mapping.delete-on-termination": ofImageEBS(func(e *blockEBS) string { return boolWord(isTrue(e.DeleteOnTermination)) }),
}

func ofImageEBS(f func(*blockEBS) string) func(*image) []string {
	return func(i *image) []string {
		return nonEmpty(i.devices, func(d blockDevice) string {
			if d.EBS == nil {
				return ""
			}
			return f(d.EBS)
		})
	}
}

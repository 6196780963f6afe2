package localaws

import (
	"slices"
	"strings"
	"time"
)

type textValue struct {
	Value string `query:"Value" xml:"value"`
}

type modifyImageInput struct {
	dryRun
	ImageID     string        `query:"ImageId"`
	Attribute   string        `query:"Attribute"`
	Value       *string       `query:"Value"`
	Description *textValue    `query:"Description"`
	IMDS        *textValue    `query:"ImdsSupport"`
	Operation   string        `query:"OperationType"`
	UserIDs     []string      `query:"UserId"`
	Groups      []string      `query:"UserGroup"`
	Orgs        []string      `query:"OrganizationArn"`
	OUs         []string      `query:"OrganizationalUnitArn"`
	Change      *launchChange `query:"LaunchPermission"`
}

type launchChange struct {
	Add    []launchPermission `query:"Add"`
	Remove []launchPermission `query:"Remove"`
}

func (s *Server) modifyImageAttribute(c *call, in *modifyImageInput) (*done, error) {
	img, err := c.ownImage(in.ImageID)
	if err != nil {
		return nil, err
	}
	attribute, value := in.asked()
	if attribute == "" {
		return nil, refuse("InvalidParameterCombination", "Exactly one attribute must be specified")
	}
	change, err := in.launchChange()
	if err != nil {
		return nil, err
	}
	if err := img.checkChange(c, attribute, value, change); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	switch attribute {
	case "description":
		img.description = value
	case "imdsSupport":
		img.imdsSupport = "v2.0"
	default:
		img.share(change)
	}
	return succeeded, nil
}

// asked is the one attribute that a request changes, or none when there are more.
func (in *modifyImageInput) asked() (attribute, value string) {
	count := 0
	pick := func(name, v string) { attribute, value, count = name, v, count+1 }
	if in.Description != nil {
		pick("description", in.Description.Value)
	}
	if in.IMDS != nil {
		pick("imdsSupport", in.IMDS.Value)
	}
	if in.Change != nil || len(in.UserIDs)+len(in.Groups)+len(in.Orgs)+len(in.OUs) > 0 {
		pick("launchPermission", "")
	}
	if in.Attribute != "" && in.Attribute != attribute {
		pick(in.Attribute, valueOr(in.Value, ""))
	}
	if count != 1 {
		return "", ""
	}
	return attribute, value
}

func (in *modifyImageInput) launchChange() (launchChange, error) {
	var change launchChange
	if in.Change != nil {
		change = *in.Change
	}
	var listed []launchPermission
	for _, v := range in.UserIDs {
		listed = append(listed, launchPermission{UserID: v})
	}
	for _, v := range in.Groups {
		listed = append(listed, launchPermission{Group: v})
	}
	for _, v := range in.Orgs {
		listed = append(listed, launchPermission{Org: v})
	}
	for _, v := range in.OUs {
		listed = append(listed, launchPermission{OU: v})
	}
	switch {
	case len(listed) > 0 && in.Operation == "add":
		change.Add = append(change.Add, listed...)
	case len(listed) > 0 && in.Operation == "remove":
		change.Remove = append(change.Remove, listed...)
	case len(listed) > 0 && in.Change == nil: // amazon-ebs says the same twice, here without the operation
		return change, missing("operationType")
	}
	for _, l := range slices.Concat(change.Add, change.Remove) {
		if err := l.check(); err != nil {
			return change, err
		}
	}
	return change, nil
}

func (l launchPermission) check() error {
	switch {
	case l.UserID != "" && (len(l.UserID) != 12 || !isDigits(l.UserID)):
		return refuse("InvalidAMIAttributeItemValue", "Invalid attribute item value \"%s\" for userId item type.", l.UserID)
	case l.Group != "" && l.Group != "all":
		return refuse("InvalidAMIAttributeItemValue", "Invalid attribute item value \"%s\" for group item type.", l.Group)
	case l.Org != "" && !strings.HasPrefix(l.Org, "arn:aws:organizations::"):
		return refuse("InvalidAMIAttributeItemValue", "Invalid attribute item value \"%s\" for organizationArn item type.", l.Org)
	case l.OU != "" && !strings.HasPrefix(l.OU, "arn:aws:organizations::"):
		return refuse("InvalidAMIAttributeItemValue", "Invalid attribute item value \"%s\" for organizationalUnitArn item type.", l.OU)
	}
	return nil
}

func (i *image) checkChange(c *call, attribute, value string, change launchChange) error {
	switch attribute {
	case "description":
		if len(value) > 255 {
			return refuse("InvalidParameterValue", "The description has more than 255 characters.")
		}
	case "imdsSupport":
		if value != "v2.0" {
			return refuse("InvalidParameterValue", "Value (%s) for parameter imdsSupport is invalid. The only valid value is v2.0.", value)
		}
	case "launchPermission":
		return i.checkSharing(c, change)
	default:
		return refuse("InvalidParameterValue", "Invalid value '%s' for attribute.", attribute)
	}
	return nil
}

// checkSharing refuses to share what the other account couldn't decrypt, or what the account blocks.
func (i *image) checkSharing(c *call, change launchChange) error {
	if len(change.Add) == 0 {
		return nil
	}
	if i.state != "available" {
		return refuse("InvalidAMIID.Unavailable", "The image ID '%s' is currently not available: %s", i.id, i.state)
	}
	public := slices.ContainsFunc(change.Add, func(l launchPermission) bool { return l.Group == "all" })
	if public && c.place().imageBlock != "" {
		return refuse("OperationNotPermitted", "You can’t publicly share this image because block public access for AMIs is enabled for your account in this Region.")
	}
	for _, id := range i.snapshotIDs() {
		snap := c.images().snapshots[id]
		if snap == nil || snap.kmsKey == "" {
			continue
		}
		if isDefaultKey(snap.kmsKey, c) {
			return refuse("InvalidParameter", "Snapshots encrypted with the AWS Managed CMK can't be shared. Specify another snapshot.")
		}
		if public {
			return refuse("InvalidParameter", "AMIs with encrypted snapshots can't be made public.")
		}
	}
	return nil
}

func (i *image) share(change launchChange) {
	for _, l := range change.Add {
		if l.Group == "all" {
			i.public = true
		} else if !slices.Contains(i.launchers, l) {
			i.launchers = append(i.launchers, l)
		}
	}
	for _, l := range change.Remove {
		if l.Group == "all" {
			i.public = false
		}
		i.launchers = slices.DeleteFunc(i.launchers, func(have launchPermission) bool { return have == l })
	}
}

type imageAttributeInput struct {
	dryRun
	ImageID   string `query:"ImageId"`
	Attribute string `query:"Attribute"`
}

type imageAttributeOutput struct {
	ImageID      string                 `xml:"imageId"`
	Description  *textValue             `xml:"description"`
	Launch       *set[launchPermission] `xml:"launchPermission"`
	ProductCodes *set[string]           `xml:"productCodes"`
	Devices      *set[blockDevice]      `xml:"blockDeviceMapping"`
	BootMode     *textValue             `xml:"bootMode"`
	SRIOV        *textValue             `xml:"sriovNetSupport"`
	LastLaunched *textValue             `xml:"lastLaunchedTime"`
	IMDS         *textValue             `xml:"imdsSupport"`
	Protection   *textValue             `xml:"deregistrationProtection"`
	UEFI         *textValue             `xml:"uefiData"`
	TPM          *textValue             `xml:"tpmSupport"`
}

func (s *Server) describeImageAttribute(c *call, in *imageAttributeInput) (*imageAttributeOutput, error) {
	img, err := c.ownImage(in.ImageID)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	out := &imageAttributeOutput{ImageID: img.id}
	switch in.Attribute {
	case "description":
		out.Description = &textValue{img.description}
	case "launchPermission":
		all := setOf(slices.Clone(img.launchers))
		if img.public {
			all.Items = append(all.Items, launchPermission{Group: "all"})
		}
		out.Launch = &all
	case "productCodes":
		out.ProductCodes = &set[string]{}
	case "blockDeviceMapping":
		all := setOf(img.devices)
		out.Devices = &all
	case "bootMode":
		out.BootMode = &textValue{img.bootMode}
	case "uefiData":
		out.UEFI = &textValue{img.uefiData}
	case "tpmSupport":
		out.TPM = &textValue{img.tpmSupport}
	case "sriovNetSupport":
		out.SRIOV = &textValue{img.sriov()}
	case "lastLaunchedTime":
		out.LastLaunched = &textValue{ec2Time(img.lastLaunched)}
	case "imdsSupport":
		out.IMDS = &textValue{img.imdsSupport}
	case "deregistrationProtection":
		out.Protection = &textValue{c.place().describeImage(img).Protection}
	default:
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter attribute is invalid. Unknown attribute.", in.Attribute)
	}
	return out, nil
}

func (s *Server) resetImageAttribute(c *call, in *imageAttributeInput) (*done, error) {
	img, err := c.ownImage(in.ImageID)
	if err != nil {
		return nil, err
	}
	if in.Attribute != "launchPermission" {
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter attribute is invalid. Only launchPermission can be reset.", in.Attribute)
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	img.public, img.launchers = false, nil
	return succeeded, nil
}

type deprecateInput struct {
	dryRun
	ImageID     string    `query:"ImageId"`
	DeprecateAt time.Time `query:"DeprecateAt"`
}

func (s *Server) enableImageDeprecation(c *call, in *deprecateInput) (*done, error) {
	img, err := c.ownImage(in.ImageID)
	if err != nil {
		return nil, err
	}
	switch at := in.DeprecateAt; {
	case at.IsZero():
		return nil, missing("DeprecateAt")
	case at.Before(c.now):
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter DeprecateAt is invalid. DeprecateAt must be in the future.", ec2Time(at))
	case at.After(c.now.AddDate(10, 0, 0)):
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter DeprecateAt is invalid. DeprecateAt must be within 10 years.", ec2Time(at))
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	img.deprecated = in.DeprecateAt.UTC().Round(time.Minute)
	return succeeded, nil
}

type imageInput struct {
	dryRun
	ImageID string `query:"ImageId"`
}

// changeImage makes an operation that changes an image of the caller's.
func changeImage(change func(*image) error) func(*call, *imageInput) (*done, error) {
	return func(c *call, in *imageInput) (*done, error) {
		img, err := c.ownImage(in.ImageID)
		if err != nil {
			return nil, err
		}
		if err := in.check(); err != nil {
			return nil, err
		}
		return succeeded, change(img)
	}
}

func disableImageDeprecation(i *image) error {
	i.deprecated = time.Time{}
	return nil
}

func disableImage(i *image) error {
	if i.state != "available" {
		return refuse("IncorrectState", "Image %s is %s.", i.id, i.state)
	}
	i.state, i.public, i.launchers = "disabled", false, nil
	return nil
}

func enableImage(i *image) error {
	if i.state != "disabled" {
		return refuse("IncorrectState", "Image %s is %s.", i.id, i.state)
	}
	i.state = "available"
	return nil
}

type protectInput struct {
	dryRun
	ImageID      string `query:"ImageId"`
	WithCooldown *bool  `query:"WithCooldown"`
}

type protectOutput struct {
	Return string `xml:"return"`
}

func (s *Server) enableImageProtection(c *call, in *protectInput) (*protectOutput, error) {
	img, err := c.ownImage(in.ImageID)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	img.protection = "enabled-without-cooldown"
	if isTrue(in.WithCooldown) {
		img.protection = "enabled-with-cooldown"
	}
	return &protectOutput{img.protection}, nil
}

// disableImageProtection takes effect at once, or a day later where a cooldown was asked for.
func (s *Server) disableImageProtection(c *call, in *imageInput) (*protectOutput, error) {
	img, err := c.ownImage(in.ImageID)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	if img.protection == "enabled-with-cooldown" {
		img.protectionEnds = c.now.Add(24 * time.Hour)
	}
	img.protection = ""
	return &protectOutput{"disabled"}, nil
}

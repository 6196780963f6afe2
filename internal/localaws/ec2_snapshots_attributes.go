package localaws

import (
	"slices"
)

type volumePermission struct {
	UserID string `query:"UserId" xml:"userId,omitempty"`
	Group  string `query:"Group" xml:"group,omitempty"`
}

type modifySnapshotInput struct {
	dryRun
	SnapshotID string            `query:"SnapshotId"`
	Attribute  string            `query:"Attribute"`
	Operation  string            `query:"OperationType"`
	UserIDs    []string          `query:"UserId"`
	Groups     []string          `query:"UserGroup"`
	Change     *permissionChange `query:"CreateVolumePermission"`
}

type permissionChange struct {
	Add    []volumePermission `query:"Add"`
	Remove []volumePermission `query:"Remove"`
}

func (s *Server) modifySnapshotAttribute(c *call, in *modifySnapshotInput) (*done, error) {
	snap, err := c.ownSnapshot(in.SnapshotID)
	if err != nil {
		return nil, err
	}
	if in.Attribute != "" && in.Attribute != "createVolumePermission" {
		return nil, refuse("InvalidParameterValue", "Invalid snapshot attribute: %s", in.Attribute)
	}
	change, err := in.change()
	if err != nil {
		return nil, err
	}
	if snap.kmsKey != "" && isDefaultKey(snap.kmsKey, c) {
		return nil, refuse("InvalidParameter", "Snapshots encrypted with the AWS Managed CMK can’t be shared. Specify another snapshot.")
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	for _, add := range change.Add {
		snap.public = snap.public || add.Group == "all"
		if add.UserID != "" && !slices.Contains(snap.users, add.UserID) {
			snap.users = append(snap.users, add.UserID)
		}
	}
	for _, remove := range change.Remove {
		snap.public = snap.public && remove.Group != "all"
		snap.users = slices.DeleteFunc(snap.users, func(u string) bool { return u == remove.UserID })
	}
	return succeeded, nil
}

// change is what the request's older and newer form ask for.
func (in *modifySnapshotInput) change() (permissionChange, error) {
	var change permissionChange
	if in.Change != nil {
		change = *in.Change
	}
	var listed []volumePermission
	for _, u := range in.UserIDs {
		listed = append(listed, volumePermission{UserID: u})
	}
	for _, g := range in.Groups {
		listed = append(listed, volumePermission{Group: g})
	}
	switch {
	case len(listed) > 0 && in.Operation == "add":
		change.Add = append(change.Add, listed...)
	case len(listed) > 0 && in.Operation == "remove":
		change.Remove = append(change.Remove, listed...)
	case len(listed) > 0 && in.Change == nil: // amazon-ebs says the same twice, here without the operation
		return change, missing("operationType")
	}
	if len(change.Add)+len(change.Remove) == 0 {
		return change, missing("createVolumePermission")
	}
	for _, p := range slices.Concat(change.Add, change.Remove) {
		if p.UserID != "" && (len(p.UserID) != 12 || !isDigits(p.UserID)) {
			return change, refuse("InvalidUserID.Malformed", "Invalid user id: \"%s\"", p.UserID)
		}
		if p.Group != "" && p.Group != "all" {
			return change, refuse("InvalidParameterValue", "Invalid group: %s", p.Group)
		}
	}
	return change, nil
}

func isDigits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != ""
}

type describeSnapshotAttributeInput struct {
	dryRun
	SnapshotID string `query:"SnapshotId"`
	Attribute  string `query:"Attribute"`
}

type describeSnapshotAttributeOutput struct {
	SnapshotID   string                 `xml:"snapshotId"`
	Permissions  *set[volumePermission] `xml:"createVolumePermission"`
	ProductCodes *set[string]           `xml:"productCodes"`
}

func (s *Server) describeSnapshotAttribute(c *call, in *describeSnapshotAttributeInput) (*describeSnapshotAttributeOutput, error) {
	snap, err := c.ownSnapshot(in.SnapshotID)
	if err != nil {
		return nil, err
	}
	out := &describeSnapshotAttributeOutput{SnapshotID: snap.id}
	switch in.Attribute {
	case "createVolumePermission":
		all := setFrom(snap.users, func(u string) volumePermission { return volumePermission{UserID: u} })
		if snap.public {
			all.Items = append(all.Items, volumePermission{Group: "all"})
		}
		out.Permissions = &all
	case "productCodes":
		out.ProductCodes = &set[string]{}
	default:
		return nil, refuse("InvalidParameterValue", "Invalid snapshot attribute: %s", in.Attribute)
	}
	return out, in.check()
}

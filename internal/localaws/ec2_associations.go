package localaws

import (
	"slices"
	"time"
)

// A profileAssociation is an instance profile on an instance, made by a launch or later.
type profileAssociation struct {
	id      string
	started time.Time
}

type associateProfileInput struct {
	InstanceID string         `query:"InstanceId"`
	Profile    profileRequest `query:"IamInstanceProfile"`
}

type associationDescription struct {
	ID         string             `xml:"associationId"`
	InstanceID string             `xml:"instanceId"`
	Profile    profileDescription `xml:"iamInstanceProfile"`
	State      string             `xml:"state"`
	Timestamp  string             `xml:"timestamp"`
}

type associationOutput struct {
	Association associationDescription `xml:"iamInstanceProfileAssociation"`
}

// profileSet puts a profile on the instance, or with nil takes it away.
func (i *instance) profileSet(p *instanceProfile, now time.Time) {
	i.ProfileARN, i.profileID, i.association = "", "", profileAssociation{}
	if p != nil {
		i.ProfileARN, i.profileID, i.association = p.arn, p.id, profileAssociation{newID("iip-assoc"), now}
	}
}

func (i *instance) describeAssociation(state string) associationDescription {
	return associationDescription{
		ID: i.association.id, InstanceID: i.ID, Profile: profileDescription{i.ProfileARN, i.profileID}, State: state, Timestamp: ec2Time(i.association.started),
	}
}

// askedProfile finds the profile that a request names, in the words of a launch.
func (c *call) askedProfile(r profileRequest) (*instanceProfile, error) {
	if r == (profileRequest{}) {
		return nil, missing("IamInstanceProfile")
	}
	plan, in := &launchPlan{}, &runInput{}
	in.Profile = &r
	err := plan.decideProfile(c, in)
	return plan.profile, err
}

func (s *Server) associateProfile(c *call, in *associateProfileInput) (*associationOutput, error) {
	i, err := c.findInstance(in.InstanceID)
	if err != nil {
		return nil, err
	}
	profile, err := c.askedProfile(in.Profile)
	if err != nil {
		return nil, err
	}
	switch {
	case i.State != "running" && i.State != "stopped" && i.State != "pending" && i.State != "stopping":
		return nil, refuse("IncorrectInstanceState", "The instance '%s' is not in the 'running' or 'stopped' states", i.ID)
	case i.ProfileARN != "":
		return nil, refuse("IncorrectState", "There is an existing association for instance %s", i.ID)
	}
	i.profileSet(profile, c.now)
	return &associationOutput{i.describeAssociation("associating")}, nil
}

// associated finds the instance of an association.
func (p *ec2Place) associated(id string) (*instance, error) {
	if !validID("iip-assoc", id) {
		return nil, refuse("InvalidParameterValue", "Invalid value for associationId.")
	}
	for _, i := range p.instances {
		if i.association.id == id {
			return i, nil
		}
	}
	return nil, refuse("NoSuchAssociation", "The association '%s' does not exist", id)
}

type associationIDInput struct {
	ID string `query:"AssociationId"`
}

func (s *Server) disassociateProfile(c *call, in *associationIDInput) (*associationOutput, error) {
	i, err := c.place().associated(in.ID)
	if err != nil {
		return nil, err
	}
	out := &associationOutput{i.describeAssociation("disassociating")}
	i.profileSet(nil, c.now)
	return out, nil
}

type replaceProfileInput struct {
	ID      string         `query:"AssociationId"`
	Profile profileRequest `query:"IamInstanceProfile"`
}

func (s *Server) replaceProfile(c *call, in *replaceProfileInput) (*associationOutput, error) {
	i, err := c.place().associated(in.ID)
	if err != nil {
		return nil, err
	}
	profile, err := c.askedProfile(in.Profile)
	if err != nil {
		return nil, err
	}
	if i.State != "running" {
		return nil, refuse("IncorrectState", "The association %s is not the active association", in.ID)
	}
	i.profileSet(profile, c.now)
	return &associationOutput{i.describeAssociation("associating")}, nil
}

type describeAssociationsInput struct {
	page
	IDs     []string `query:"AssociationId"`
	Filters []filter `query:"Filter"`
}

type describeAssociationsOutput struct {
	Associations set[associationDescription] `xml:"iamInstanceProfileAssociationSet"`
	NextToken    string                      `xml:"nextToken,omitempty"`
}

var associationFilters = filterTable[associationDescription]{
	"instance-id": one(func(a associationDescription) string { return a.InstanceID }),
	"state":       one(func(a associationDescription) string { return a.State }),
}

func (s *Server) describeAssociations(c *call, in *describeAssociationsInput) (*describeAssociationsOutput, error) {
	p := c.place()
	for _, id := range in.IDs {
		if _, err := p.associated(id); err != nil {
			return nil, err
		}
	}
	var all []associationDescription
	for i := range s.instances(p.account, p.region) {
		if i.association.id != "" && i.State != "terminated" && (len(in.IDs) == 0 || slices.Contains(in.IDs, i.association.id)) {
			all = append(all, i.describeAssociation("associated"))
		}
	}
	all, err := associationFilters.keep(in.Filters, nil, all)
	if err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &describeAssociationsOutput{setOf(part), next}, err
}

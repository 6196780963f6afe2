package localaws

import (
	"strconv"
	"time"
)

// A spotRequest is what stands behind a spot instance; every one here is one-time and fulfilled at once.
type spotRequest struct {
	id, instanceID, price string
	state, status         string
	message               string
	created               time.Time
	kind, imageID         string
	keyName, subnetID     string
	groupIDs              []string
	monitoring            bool
	zone                  availabilityZone
}

func (p *ec2Place) addSpotRequest(i *instance, plan *launchPlan) {
	r := &spotRequest{
		id: newID("sir"), instanceID: i.ID, price: plan.kind.spotPrice(0), state: "active", status: "fulfilled",
		message: "Your Spot request is fulfilled.", created: i.created, kind: i.kind.name, imageID: i.ImageID, zone: i.zone,
		keyName: i.keyName, subnetID: plan.subnet.id, groupIDs: plan.groupIDs, monitoring: i.monitoring,
	}
	if s := plan.data.Market.Spot; s != nil && s.MaxPrice != "" {
		price, _ := strconv.ParseFloat(s.MaxPrice, 64) // the plan is checked
		r.price = strconv.FormatFloat(price, 'f', 6, 64)
	}
	i.spotRequestID = r.id
	p.spotRequests[r.id] = r
	p.setTags(r.id, plan.tags["spot-instances-request"])
}

func (p *ec2Place) endSpotRequest(i *instance) {
	r := p.spotRequests[i.spotRequestID]
	if r == nil {
		return
	}
	if r.state == "active" {
		r.state, r.status = "closed", "instance-terminated-by-user"
		r.message = "Spot Instance terminated due to user-initiated termination."
	}
	p.server.after(p.server.delays.TerminatedVisible, func() {
		delete(p.spotRequests, r.id)
		delete(p.tags, r.id)
	})
}

// InterruptSpot ends a spot instance as AWS does when it needs the capacity
// back; it says whether there was such an instance.
func (s *Server) InterruptSpot(instanceID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.ec2.places {
		i := p.instances[instanceID]
		if i == nil || i.spotRequestID == "" || i.State != "running" {
			continue
		}
		r := p.spotRequests[i.spotRequestID]
		r.state, r.status, r.message = "closed", "instance-terminated-no-capacity", "Your Spot Instance was terminated because there is no Spot capacity available."
		i.terminate("Server.SpotInstanceTermination", "Server.SpotInstanceTermination: Spot instance termination", "Server.SpotInstanceTermination")
		return true
	}
	return false
}

type describeSpotInput struct {
	dryRun
	page
	IDs     []string `query:"SpotInstanceRequestId"`
	Filters []filter `query:"Filter"`
}

type spotDescription struct {
	ID           string     `xml:"spotInstanceRequestId"`
	Price        string     `xml:"spotPrice"`
	Type         string     `xml:"type"`
	State        string     `xml:"state"`
	Status       spotStatus `xml:"status"`
	Spec         spotLaunch `xml:"launchSpecification"`
	InstanceID   string     `xml:"instanceId"`
	Created      string     `xml:"createTime"`
	Product      string     `xml:"productDescription"`
	Zone         string     `xml:"launchedAvailabilityZone"`
	ZoneID       string     `xml:"launchedAvailabilityZoneId"`
	Interruption string     `xml:"instanceInterruptionBehavior"`
	Tags         set[tag]   `xml:"tagSet"`
}

type spotStatus struct {
	Code    string `xml:"code"`
	Message string `xml:"message"`
}

type spotLaunch struct {
	ImageID    string            `xml:"imageId"`
	Type       string            `xml:"instanceType"`
	KeyName    string            `xml:"keyName,omitempty"`
	SubnetID   string            `xml:"subnetId"`
	Groups     set[groupName]    `xml:"groupSet"`
	Placement  placementRequest  `xml:"placement"`
	Monitoring monitoringRequest `xml:"monitoring"`
}

type describeSpotOutput struct {
	Requests  set[spotDescription] `xml:"spotInstanceRequestSet"`
	NextToken string               `xml:"nextToken,omitempty"`
}

var spotFilters = filterTable[*spotRequest]{
	"instance-id":              one(func(r *spotRequest) string { return r.instanceID }),
	"spot-instance-request-id": one(func(r *spotRequest) string { return r.id }),
	"state":                    one(func(r *spotRequest) string { return r.state }),
	"status-code":              one(func(r *spotRequest) string { return r.status }),
	"type":                     one(func(*spotRequest) string { return "one-time" }),
}

func (p *ec2Place) findSpotRequest(id string) (*spotRequest, error) {
	if r := p.spotRequests[id]; r != nil {
		return r, nil
	}
	return nil, refuse("InvalidSpotInstanceRequestID.NotFound", "The spot instance request ID '%s' does not exist", id)
}

func (p *ec2Place) describeSpot(r *spotRequest) spotDescription {
	spec := spotLaunch{
		r.imageID, r.kind, r.keyName, r.subnetID, p.groupNames(r.groupIDs), placementRequest{Zone: r.zone.name}, monitoringRequest{&r.monitoring},
	}
	return spotDescription{
		ID: r.id, Price: r.price, Type: "one-time", State: r.state, Status: spotStatus{r.status, r.message},
		Spec: spec, InstanceID: r.instanceID, Created: ec2Time(r.created), Product: "Linux/UNIX",
		Zone: r.zone.name, ZoneID: r.zone.id, Interruption: "terminate", Tags: p.tagSet(r.id),
	}
}

func (s *Server) describeSpotRequests(c *call, in *describeSpotInput) (*describeSpotOutput, error) {
	p := c.place()
	all, err := byID(in.IDs, p.spotRequests, p.findSpotRequest)
	if err != nil {
		return nil, err
	}
	all, err = spotFilters.keep(in.Filters, func(r *spotRequest) map[string]string { return p.tags[r.id] }, all)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &describeSpotOutput{setFrom(part, p.describeSpot), next}, err
}

type cancelSpotInput struct {
	dryRun
	IDs []string `query:"SpotInstanceRequestId"`
}

type cancelledSpot struct {
	ID    string `xml:"spotInstanceRequestId"`
	State string `xml:"state"`
}

type cancelSpotOutput struct {
	Requests set[cancelledSpot] `xml:"spotInstanceRequestSet"`
}

// cancelSpotRequests leaves the instances running, as AWS does.
func (s *Server) cancelSpotRequests(c *call, in *cancelSpotInput) (*cancelSpotOutput, error) {
	p := c.place()
	if len(in.IDs) == 0 {
		return nil, missing("SpotInstanceRequestId")
	}
	all, err := byID(in.IDs, p.spotRequests, p.findSpotRequest)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	return &cancelSpotOutput{setFrom(all, func(r *spotRequest) cancelledSpot {
		if r.state == "active" {
			r.state, r.status = "cancelled", "request-canceled-and-instance-running"
		}
		return cancelledSpot{r.id, r.state}
	})}, nil
}

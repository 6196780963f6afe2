package localaws

import "time"

type describeStatusInput struct {
	dryRun
	page
	IDs     []string `query:"InstanceId"`
	All     *bool    `query:"IncludeAllInstances"`
	Managed *bool    `query:"IncludeManagedResources"`
	Filters []filter `query:"Filter"`
}

type statusDetail struct {
	Name   string `xml:"name"`
	Status string `xml:"status"`
}

type statusSummary struct {
	Status  string            `xml:"status"`
	Details set[statusDetail] `xml:"details"`
}

type instanceStatus struct {
	ID       string        `xml:"instanceId"`
	Zone     string        `xml:"availabilityZone"`
	ZoneID   string        `xml:"availabilityZoneId"`
	Events   set[string]   `xml:"eventsSet"`
	State    instanceState `xml:"instanceState"`
	System   statusSummary `xml:"systemStatus"`
	Instance statusSummary `xml:"instanceStatus"`
	EBS      statusSummary `xml:"attachedEbsStatus"`
}

type describeStatusOutput struct {
	Statuses  set[instanceStatus] `xml:"instanceStatusSet"`
	NextToken string              `xml:"nextToken,omitempty"`
}

func checked(status string) statusSummary {
	s := statusSummary{Status: status}
	if status != "not-applicable" {
		detail := map[string]string{"ok": "passed", "initializing": "initializing"}[status]
		s.Details = setOf([]statusDetail{{"reachability", detail}})
	}
	return s
}

// health is what the status checks say: they take a while after each start.
func (i *instance) health(now time.Time) string {
	switch {
	case i.State != "running":
		return "not-applicable"
	case i.BootID == "" || now.Before(i.LaunchTime.Add(4*i.place.server.delays.InstancePending)):
		return "initializing"
	default:
		return "ok"
	}
}

func (s *Server) describeInstanceStatus(c *call, in *describeStatusInput) (*describeStatusOutput, error) {
	if err := in.notBoth(in.IDs, "instancesSet"); err != nil {
		return nil, err
	}
	found, err := c.instancesAsked(in.IDs, nil)
	if err != nil {
		return nil, err
	}
	var all []instanceStatus
	for _, i := range found {
		if i.State != "running" && !isTrue(in.All) || i.State == "terminated" && len(in.IDs) == 0 {
			continue
		}
		health := checked(i.health(c.now))
		all = append(all, instanceStatus{i.ID, i.zone.name, i.zone.id, set[string]{}, stateOf(i.State), health, health, health})
	}
	filters := filterTable[instanceStatus]{
		"availability-zone":            one(func(st instanceStatus) string { return st.Zone }),
		"availability-zone-id":         one(func(st instanceStatus) string { return st.ZoneID }),
		"instance-state-name":          one(func(st instanceStatus) string { return st.State.Name }),
		"instance-state-code":          one(func(st instanceStatus) string { return number(st.State.Code) }),
		"instance-status.status":       one(func(st instanceStatus) string { return st.Instance.Status }),
		"instance-status.reachability": one(func(st instanceStatus) string { return st.Instance.reachability() }),
		"system-status.status":         one(func(st instanceStatus) string { return st.System.Status }),
		"system-status.reachability":   one(func(st instanceStatus) string { return st.System.reachability() }),
		"attached-ebs-status.status":   one(func(st instanceStatus) string { return st.EBS.Status }),
		"event.code":                   func(instanceStatus) []string { return nil },
	}
	tags := c.place().tags
	if all, err = filters.keep(in.Filters, func(st instanceStatus) map[string]string { return tags[st.ID] }, all); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &describeStatusOutput{setOf(part), next}, err
}

func (s statusSummary) reachability() string {
	if len(s.Details.Items) == 0 {
		return ""
	}
	return s.Details.Items[0].Status
}

type describeCreditsInput struct {
	dryRun
	page
	IDs     []string `query:"InstanceId"`
	Filters []filter `query:"Filter"`
}

type creditDescription struct {
	ID      string `xml:"instanceId"`
	Credits string `xml:"cpuCredits"`
}

type describeCreditsOutput struct {
	Credits   set[creditDescription] `xml:"instanceCreditSpecificationSet"`
	NextToken string                 `xml:"nextToken,omitempty"`
}

var creditFilters = filterTable[creditDescription]{
	"instance-id": one(func(d creditDescription) string { return d.ID }),
}

// describeCredits lists, without ids, only the instances with unlimited credits.
func (s *Server) describeCredits(c *call, in *describeCreditsInput) (*describeCreditsOutput, error) {
	if err := in.notBoth(in.IDs, "instancesSet"); err != nil {
		return nil, err
	}
	found, err := c.instancesAsked(in.IDs, nil)
	if err != nil {
		return nil, err
	}
	var all []creditDescription
	for _, i := range found {
		switch {
		case len(in.IDs) > 0 && i.credits == "":
			return nil, refuse("InvalidParameterCombination", "The instance '%s' is not a burstable performance instance.", i.ID)
		case len(in.IDs) > 0 || i.credits == "unlimited" && i.State != "terminated":
			all = append(all, creditDescription{i.ID, i.credits})
		}
	}
	if all, err = creditFilters.keep(in.Filters, nil, all); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &describeCreditsOutput{setOf(part), next}, err
}

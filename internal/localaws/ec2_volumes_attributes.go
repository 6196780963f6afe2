package localaws

type volumeAttributeInput struct {
	dryRun
	VolumeID  string `query:"VolumeId"`
	Attribute string `query:"Attribute"`
}

type volumeAttributeOutput struct {
	VolumeID     string       `xml:"volumeId"`
	AutoEnableIO *boolValue   `xml:"autoEnableIO"`
	ProductCodes *set[string] `xml:"productCodes"`
}

func (s *Server) describeVolumeAttribute(c *call, in *volumeAttributeInput) (*volumeAttributeOutput, error) {
	v, err := c.place().findVolume(in.VolumeID)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	out := &volumeAttributeOutput{VolumeID: v.id}
	if in.Attribute == "productCodes" {
		out.ProductCodes = &set[string]{}
	} else {
		out.AutoEnableIO = &boolValue{&v.autoEnableIO}
	}
	return out, nil
}

type modifyVolumeAttributeInput struct {
	dryRun
	VolumeID     string     `query:"VolumeId"`
	AutoEnableIO *boolValue `query:"AutoEnableIO"`
}

func (s *Server) modifyVolumeAttribute(c *call, in *modifyVolumeAttributeInput) (*done, error) {
	v, err := c.place().findVolume(in.VolumeID)
	if err != nil {
		return nil, err
	}
	if in.AutoEnableIO == nil {
		return nil, missing("AutoEnableIO")
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	v.autoEnableIO = isTrue(in.AutoEnableIO.Value)
	return succeeded, nil
}

type volumeStatusInput struct {
	dryRun
	page
	IDs     []string `query:"VolumeId"`
	Filters []filter `query:"Filter"`
}

type volumeStatus struct {
	VolumeID string              `xml:"volumeId"`
	Zone     string              `xml:"availabilityZone"`
	ZoneID   string              `xml:"availabilityZoneId"`
	Info     volumeStatusInfo    `xml:"volumeStatus"`
	Events   set[string]         `xml:"eventsSet"`
	Actions  set[string]         `xml:"actionsSet"`
	Attached set[volumeAttached] `xml:"attachmentStatuses"`
}

type volumeStatusInfo struct {
	Status  string                  `xml:"status"`
	Details set[volumeStatusDetail] `xml:"details"`
}

type volumeStatusDetail struct {
	Name   string `xml:"name"`
	Status string `xml:"status"`
}

type volumeAttached struct {
	InstanceID    string `xml:"instanceId"`
	IOPerformance string `xml:"ioPerformance"`
}

type volumeStatusOutput struct {
	Statuses  set[volumeStatus] `xml:"volumeStatusSet"`
	NextToken string            `xml:"nextToken,omitempty"`
}

var volumeStatusFilters = filterTable[volumeStatus]{
	"availability-zone":    one(func(v volumeStatus) string { return v.Zone }),
	"volume-status.status": one(func(v volumeStatus) string { return v.Info.Status }),
}

func (s *Server) describeVolumeStatus(c *call, in *volumeStatusInput) (*volumeStatusOutput, error) {
	p := c.place()
	if err := in.notBoth(in.IDs, "volumeIds"); err != nil {
		return nil, err
	}
	volumes, err := byID(in.IDs, p.volumes, p.findVolume)
	if err != nil {
		return nil, err
	}
	var all []volumeStatus
	for _, v := range volumes {
		all = append(all, v.status())
	}
	if all, err = volumeStatusFilters.keep(in.Filters, nil, all); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	part, next, err := paged(in.page, 5, 1000, all)
	return &volumeStatusOutput{setOf(part), next}, err
}

func (v *volume) status() volumeStatus {
	performance := "not-applicable"
	if volumeKinds[v.kind].iops && v.kind != "gp3" {
		performance = "normal"
	}
	status := volumeStatus{VolumeID: v.id, Zone: v.zone.name, ZoneID: v.zone.id, Info: volumeStatusInfo{"ok", setOf([]volumeStatusDetail{
		{"io-enabled", "passed"}, {"io-performance", performance},
	})}}
	if v.instanceID != "" {
		status.Attached = setOf([]volumeAttached{{v.instanceID, performance}})
	}
	return status
}

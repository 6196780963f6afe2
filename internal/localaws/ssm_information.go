package localaws

import (
	"slices"
	"strings"
)

func ssmAgentOperations() map[string]operation {
	return map[string]operation{
		"DescribeInstanceInformation": jsonOp(describeInstanceInformation),
		"GetConnectionStatus":         jsonOp(getConnectionStatus),
	}
}

type describeInstanceInformationIn struct {
	InstanceInformationFilterList []struct {
		Key    string   `json:"key" required:"true"`
		Values []string `json:"valueSet" required:"true"`
	} `json:"InstanceInformationFilterList"`
	Filters []struct {
		Key    string   `json:"Key" required:"true"`
		Values []string `json:"Values" required:"true"`
	} `json:"Filters"`
	MaxResults *int64  `json:"MaxResults"`
	NextToken  *string `json:"NextToken"`
}

type describeInstanceInformationOut struct {
	List      []instanceInformation `json:"InstanceInformationList"`
	NextToken *string               `json:"NextToken,omitempty"`
}

type instanceInformation struct {
	InstanceID       string       `json:"InstanceId"`
	PingStatus       string       `json:"PingStatus"`
	LastPing         epochSeconds `json:"LastPingDateTime"`
	AgentVersion     string       `json:"AgentVersion"`
	IsLatestVersion  bool         `json:"IsLatestVersion"`
	PlatformType     string       `json:"PlatformType"`
	PlatformName     string       `json:"PlatformName"`
	PlatformVersion  string       `json:"PlatformVersion"`
	RegistrationDate epochSeconds `json:"RegistrationDate,omitzero"`
	ResourceType     string       `json:"ResourceType"`
	IPAddress        string       `json:"IPAddress,omitempty"`
	ComputerName     string       `json:"ComputerName"`
	SourceID         string       `json:"SourceId"`
	SourceType       string       `json:"SourceType"`
	role             string
}

// informationFilters are the keys of both styles of filter, and what they look at; nil is a key that never matches here.
var informationFilters = map[string]func(i instanceInformation) string{
	"InstanceIds":       func(i instanceInformation) string { return i.InstanceID },
	"AgentVersion":      func(i instanceInformation) string { return i.AgentVersion },
	"PingStatus":        func(i instanceInformation) string { return i.PingStatus },
	"PlatformTypes":     func(i instanceInformation) string { return i.PlatformType },
	"IamRole":           func(i instanceInformation) string { return i.role },
	"ResourceType":      func(i instanceInformation) string { return i.ResourceType },
	"ActivationIds":     nil,
	"AssociationStatus": nil,
	"SourceIds":         func(i instanceInformation) string { return i.SourceID },
	"SourceTypes":       func(i instanceInformation) string { return i.SourceType },
}

// An informationFilter is a filter of either style.
type informationFilter struct {
	key    string
	values []string
}

func describeInstanceInformation(c *call, in *describeInstanceInformationIn) (*describeInstanceInformationOut, error) {
	if len(in.InstanceInformationFilterList) > 0 && len(in.Filters) > 0 {
		return nil, refuse("ValidationException", "Filters and InstanceInformationFilterList can't be used together")
	}
	filters, err := informationFiltersOf(c, in)
	if err != nil {
		return nil, err
	}
	all := []instanceInformation{}
	for _, a := range sortedValues(c.ssm().agents) {
		if !a.known() {
			continue
		}
		if info := c.information(a); info.matches(c, filters) {
			all = append(all, info)
		}
	}
	size := int64(10)
	if in.MaxResults != nil {
		size = *in.MaxResults
	}
	page, next, err := paginate(c, all, &size, in.NextToken, 5, 50)
	return &describeInstanceInformationOut{page, next}, err
}

func informationFiltersOf(c *call, in *describeInstanceInformationIn) ([]informationFilter, error) {
	var filters []informationFilter
	for _, f := range in.InstanceInformationFilterList {
		if _, ok := informationFilters[f.Key]; !ok || strings.HasPrefix(f.Key, "Source") {
			return nil, c.unfit("Value '%s' at 'instanceInformationFilterList.1.member.key' failed to satisfy constraint: Member must satisfy enum value set: "+
				"[InstanceIds, AgentVersion, PingStatus, PlatformTypes, ActivationIds, IamRole, ResourceType, AssociationStatus]", f.Key)
		}
		filters = append(filters, informationFilter{f.Key, f.Values})
	}
	for _, f := range in.Filters {
		if _, ok := informationFilters[f.Key]; !ok && !strings.HasPrefix(f.Key, "tag:") && f.Key != "tag-key" {
			return nil, refuse("InvalidFilterKey", "%s is not a valid filter key", f.Key)
		}
		filters = append(filters, informationFilter{f.Key, f.Values})
	}
	for _, f := range filters {
		if err := f.check(); err != nil {
			return nil, err
		}
	}
	return filters, nil
}

func (f informationFilter) check() error {
	if len(f.values) == 0 || len(f.values) > 100 {
		return refuse("InvalidInstanceInformationFilterValue", "%d values for %s; there must be 1 to 100", len(f.values), f.key)
	}
	allowed := map[string][]string{
		"PingStatus":    {"Online", "ConnectionLost", "Inactive"},
		"PlatformTypes": {"Linux", "Windows", "MacOS"},
		"ResourceType":  {"EC2Instance", "ManagedInstance"},
	}[f.key]
	for _, value := range f.values {
		if allowed != nil && !slices.Contains(allowed, value) {
			return refuse("InvalidInstanceInformationFilterValue", "%s is not a valid value of %s", value, f.key)
		}
		if f.key == "InstanceIds" && !managedPattern.MatchString(value) {
			return refuse("InvalidInstanceId", "%s is not a valid instance id", value)
		}
	}
	return nil
}

func (i instanceInformation) matches(c *call, filters []informationFilter) bool {
	return !slices.ContainsFunc(filters, func(f informationFilter) bool {
		if look := informationFilters[f.key]; look != nil {
			return !slices.Contains(f.values, look(i))
		}
		return !c.server.taggedAs(c.ssm().agents[i.InstanceID].instance, f.key, f.values)
	})
}

func (c *call) information(a *ssmAgent) instanceInformation {
	i := a.instance
	last := a.lastPing
	if a.connected {
		last = last.Add(c.now.Sub(last) / heartbeat * heartbeat)
	}
	return instanceInformation{
		InstanceID: i.ID, PingStatus: a.ping(), LastPing: epochSeconds(last), AgentVersion: a.platform.agentVersion(), IsLatestVersion: true,
		PlatformType: "Linux", PlatformName: a.platform.name, PlatformVersion: a.platform.version, ResourceType: "EC2Instance",
		IPAddress: c.server.privateIP(i), ComputerName: a.platform.hostname, SourceID: i.ID, SourceType: "AWS::EC2::Instance", role: a.role,
	}
}

type getConnectionStatusIn struct {
	Target string `json:"Target" required:"true"`
}

type getConnectionStatusOut struct {
	Target string `json:"Target"`
	Status string `json:"Status"`
}

func getConnectionStatus(c *call, in *getConnectionStatusIn) (*getConnectionStatusOut, error) {
	status := "notconnected"
	if a := c.ssm().agents[in.Target]; a.known() && a.connected {
		status = "connected"
	}
	return &getConnectionStatusOut{in.Target, status}, nil
}

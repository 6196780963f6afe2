package localaws

import (
	"maps"
	"slices"
)

// launchData is what RunInstances and a launch template have in common.
type launchData struct {
	tagSpecs
	ImageID      string              `query:"ImageId" xml:"imageId,omitempty"`
	Type         string              `query:"InstanceType" xml:"instanceType,omitempty"`
	KeyName      string              `query:"KeyName" xml:"keyName,omitempty"`
	UserData     *string             `query:"UserData" xml:"userData"`
	GroupIDs     []string            `query:"SecurityGroupId" xml:"securityGroupIdSet>item,omitempty"`
	GroupNames   []string            `query:"SecurityGroup" xml:"securityGroupSet>item,omitempty"`
	Devices      []blockDevice       `query:"BlockDeviceMapping" xml:"blockDeviceMappingSet>item,omitempty"`
	Interfaces   []interfaceRequest  `query:"NetworkInterface" xml:"networkInterfaceSet>item,omitempty"`
	Profile      *profileRequest     `query:"IamInstanceProfile" xml:"iamInstanceProfile"`
	Metadata     *metadataRequest    `query:"MetadataOptions" xml:"metadataOptions"`
	Shutdown     *string             `query:"InstanceInitiatedShutdownBehavior" xml:"instanceInitiatedShutdownBehavior"`
	KeepAlive    *bool               `query:"DisableApiTermination" xml:"disableApiTermination"`
	KeepRunning  *bool               `query:"DisableApiStop" xml:"disableApiStop"`
	EBSOptimized *bool               `query:"EbsOptimized" xml:"ebsOptimized"`
	Monitoring   *monitoringRequest  `query:"Monitoring" xml:"monitoring"`
	Credits      *creditRequest      `query:"CreditSpecification" xml:"creditSpecification"`
	Placement    *placementRequest   `query:"Placement" xml:"placement"`
	Market       *marketRequest      `query:"InstanceMarketOptions" xml:"instanceMarketOptions"`
	Capacity     *capacityRequest    `query:"CapacityReservationSpecification" xml:"capacityReservationSpecification"`
	Enclave      *monitoringRequest  `query:"EnclaveOptions" xml:"enclaveOptions"`
	Hibernation  *hibernationRequest `query:"HibernationOptions" xml:"hibernationOptions"`
	CPU          *cpuRequest         `query:"CpuOptions" xml:"cpuOptions"`
	Licenses     []licenseRequest    `query:"LicenseSpecification" xml:"licenseSet>item,omitempty"`
	Maintenance  *maintenanceRequest `query:"MaintenanceOptions" xml:"maintenanceOptions"`
	PrivateDNS   *privateDNSRequest  `query:"PrivateDnsNameOptions" xml:"privateDnsNameOptions"`
}

type profileRequest struct {
	ARN  string `query:"Arn" xml:"arn,omitempty"`
	Name string `query:"Name" xml:"name,omitempty"`
}

type metadataRequest struct {
	Tokens   *string `query:"HttpTokens" xml:"httpTokens"`
	HopLimit *int64  `query:"HttpPutResponseHopLimit" xml:"httpPutResponseHopLimit"`
	Endpoint *string `query:"HttpEndpoint" xml:"httpEndpoint"`
	IPv6     *string `query:"HttpProtocolIpv6" xml:"httpProtocolIpv6"`
	Tags     *string `query:"InstanceMetadataTags" xml:"instanceMetadataTags"`
}

type monitoringRequest struct {
	Enabled *bool `query:"Enabled" xml:"enabled"`
}

type hibernationRequest struct {
	Configured *bool `query:"Configured" xml:"configured"`
}

type creditRequest struct {
	CPUCredits string `query:"CpuCredits" xml:"cpuCredits"`
}

type cpuRequest struct {
	Cores   *int64 `query:"CoreCount" xml:"coreCount"`
	Threads *int64 `query:"ThreadsPerCore" xml:"threadsPerCore"`
}

type licenseRequest struct {
	ARN string `query:"LicenseConfigurationArn" xml:"licenseConfigurationArn"`
}

type maintenanceRequest struct {
	AutoRecovery *string `query:"AutoRecovery" xml:"autoRecovery"`
}

type privateDNSRequest struct {
	HostnameType *string `query:"HostnameType" xml:"hostnameType"`
	ARecord      *bool   `query:"EnableResourceNameDnsARecord" xml:"enableResourceNameDnsARecord"`
	AAAARecord   *bool   `query:"EnableResourceNameDnsAAAARecord" xml:"enableResourceNameDnsAAAARecord"`
}

type placementRequest struct {
	Zone         string `query:"AvailabilityZone" xml:"availabilityZone,omitempty"`
	ZoneID       string `query:"AvailabilityZoneId" xml:"availabilityZoneId,omitempty"`
	Tenancy      string `query:"Tenancy" xml:"tenancy,omitempty"`
	GroupName    string `query:"GroupName" xml:"groupName,omitempty"`
	HostID       string `query:"HostId" xml:"hostId,omitempty"`
	HostGroupARN string `query:"HostResourceGroupArn" xml:"hostResourceGroupArn,omitempty"`
}

type marketRequest struct {
	Type string       `query:"MarketType" xml:"marketType,omitempty"`
	Spot *spotOptions `query:"SpotOptions" xml:"spotOptions"`
}

type spotOptions struct {
	MaxPrice     string `query:"MaxPrice" xml:"maxPrice,omitempty"`
	Type         string `query:"SpotInstanceType" xml:"spotInstanceType,omitempty"`
	Interruption string `query:"InstanceInterruptionBehavior" xml:"instanceInterruptionBehavior,omitempty"`
	ValidUntil   string `query:"ValidUntil" xml:"validUntil,omitempty"`
}

type capacityRequest struct {
	Preference string          `query:"CapacityReservationPreference" xml:"capacityReservationPreference,omitempty"`
	Target     *capacityTarget `query:"CapacityReservationTarget" xml:"capacityReservationTarget"`
}

type capacityTarget struct {
	ID       string `query:"CapacityReservationId" xml:"capacityReservationId,omitempty"`
	GroupARN string `query:"CapacityReservationResourceGroupArn" xml:"capacityReservationResourceGroupArn,omitempty"`
}

type interfaceRequest struct {
	DeviceIndex         *int64   `query:"DeviceIndex" xml:"deviceIndex"`
	InterfaceID         string   `query:"NetworkInterfaceId" xml:"networkInterfaceId,omitempty"`
	SubnetID            string   `query:"SubnetId" xml:"subnetId,omitempty"`
	GroupIDs            []string `query:"SecurityGroupId" xml:"groupSet>groupId,omitempty"`
	PublicIP            *bool    `query:"AssociatePublicIpAddress" xml:"associatePublicIpAddress"`
	PrivateIP           string   `query:"PrivateIpAddress" xml:"privateIpAddress,omitempty"`
	Description         string   `query:"Description" xml:"description,omitempty"`
	DeleteOnTermination *bool    `query:"DeleteOnTermination" xml:"deleteOnTermination"`
	Kind                string   `query:"InterfaceType" xml:"interfaceType,omitempty"`
	CardIndex           *int64   `query:"NetworkCardIndex" xml:"networkCardIndex"`
}

type runInput struct {
	dryRun
	launchData
	MinCount    *int64           `query:"MinCount"`
	MaxCount    *int64           `query:"MaxCount"`
	SubnetID    string           `query:"SubnetId"`
	PrivateIP   string           `query:"PrivateIpAddress"`
	ClientToken *string          `query:"ClientToken"`
	Template    *templateRequest `query:"LaunchTemplate"`
}

type templateRequest struct {
	ID      string  `query:"LaunchTemplateId" xml:"launchTemplateId,omitempty"`
	Name    string  `query:"LaunchTemplateName" xml:"launchTemplateName,omitempty"`
	Version *string `query:"Version" xml:"version"`
}

// under is the template's data with what a request sets laid over it. Lists of
// a request take the template's place, but for its block devices and its tags by kind.
func (d launchData) under(r launchData) launchData {
	text := func(what *string, by string) {
		if by != "" {
			*what = by
		}
	}
	text(&d.ImageID, r.ImageID)
	text(&d.Type, r.Type)
	text(&d.KeyName, r.KeyName)
	override(&d.UserData, r.UserData)
	override(&d.Profile, r.Profile)
	override(&d.Metadata, r.Metadata)
	override(&d.Shutdown, r.Shutdown)
	override(&d.KeepAlive, r.KeepAlive)
	override(&d.KeepRunning, r.KeepRunning)
	override(&d.EBSOptimized, r.EBSOptimized)
	override(&d.Monitoring, r.Monitoring)
	override(&d.Credits, r.Credits)
	override(&d.Placement, r.Placement)
	override(&d.Market, r.Market)
	override(&d.Capacity, r.Capacity)
	override(&d.Enclave, r.Enclave)
	override(&d.Hibernation, r.Hibernation)
	override(&d.CPU, r.CPU)
	override(&d.Maintenance, r.Maintenance)
	override(&d.PrivateDNS, r.PrivateDNS)
	if len(r.Licenses) > 0 {
		d.Licenses = r.Licenses
	}
	if len(r.GroupIDs)+len(r.GroupNames) > 0 {
		d.GroupIDs, d.GroupNames = r.GroupIDs, r.GroupNames
	}
	if len(r.Interfaces) > 0 {
		d.Interfaces = r.Interfaces
	}
	if merged, err := mergeDevices(d.Devices, r.Devices); err == nil {
		d.Devices = merged
	} else {
		d.Devices = r.Devices // the launch refuses them
	}
	d.TagSpecifications = mergeTagSpecs(d.TagSpecifications, r.TagSpecifications)
	return d
}

func mergeTagSpecs(base, by []tagSpec) []tagSpec {
	merged := map[string]map[string]string{}
	for _, spec := range slices.Concat(base, by) {
		if merged[spec.ResourceType] == nil {
			merged[spec.ResourceType] = map[string]string{}
		}
		for _, t := range spec.Tags {
			merged[spec.ResourceType][t.Key] = t.Value
		}
	}
	var specs []tagSpec
	for _, kind := range slices.Sorted(maps.Keys(merged)) {
		spec := tagSpec{ResourceType: kind}
		for _, k := range slices.Sorted(maps.Keys(merged[kind])) {
			spec.Tags = append(spec.Tags, tag{k, merged[kind][k]})
		}
		specs = append(specs, spec)
	}
	return specs
}

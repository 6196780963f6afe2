package localaws

import (
	"encoding/base64"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A launchPlan is a launch decided on: everything checked, nothing made.
type launchPlan struct {
	data      *launchData
	count     int64
	token     string
	image     *image
	kind      *instanceType
	volumes   []*volumePlan
	subnet    *subnet
	privateIP netip.Addr // zero: any
	groupIDs  []string
	publicIP  bool
	network   interfaceRequest
	profile   *instanceProfile
	userData  []byte
	metadata  metadataOptions
	tags      map[string]map[string]string
	credits   string
	spot      bool
	options   launchOptions
}

func (s *Server) runInstances(c *call, in *runInput) (*reservationDescription, error) {
	p := c.place()
	if err := c.applyTemplate(in); err != nil {
		return nil, err
	}
	plan, err := c.planLaunch(in)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	started, err := repeatable(c, in.ClientToken, func() ([]*instance, error) { return p.launch(plan) })
	if err != nil {
		return nil, err
	}
	r := p.describeReservation(started)
	return &r, nil
}

// applyTemplate lays the request over the launch template that it names.
func (c *call) applyTemplate(in *runInput) error {
	if in.Template == nil {
		return nil
	}
	v, err := c.place().findTemplateVersion(in.Template)
	if err != nil {
		return err
	}
	in.launchData = v.data.under(in.launchData)
	if in.SubnetID != "" && len(in.Interfaces) > 0 && in.Interfaces[0].SubnetID == "" {
		in.Interfaces = slices.Clone(in.Interfaces)
		in.Interfaces[0].SubnetID, in.SubnetID = in.SubnetID, ""
	}
	return nil
}

// planLaunch checks a launch as EC2 does before it makes anything.
func (c *call) planLaunch(in *runInput) (*launchPlan, error) {
	plan := &launchPlan{data: &in.launchData, token: valueOr(in.ClientToken, "")}
	for _, decide := range []func(*call, *runInput) error{
		plan.decideCount, plan.decideImage, plan.decideType, plan.decideNetwork, plan.decideOptions,
		plan.decideOthers, plan.decideProfile, plan.decideVolumes, plan.decideHibernation, plan.decideLimits,
	} {
		if err := decide(c, in); err != nil {
			return nil, err
		}
	}
	var err error
	plan.tags, err = in.forTypes("instance", "volume", "network-interface", "spot-instances-request", "elastic-gpu")
	return plan, err
}

func (l *launchPlan) decideCount(_ *call, in *runInput) error {
	switch {
	case in.MinCount == nil:
		return missing("MinCount")
	case in.MaxCount == nil:
		return missing("MaxCount")
	case *in.MinCount < 1:
		return refuse("InvalidParameterValue", "Value (%d) for parameter minCount is invalid. Minimum number of instances must be greater than zero", *in.MinCount)
	case *in.MaxCount < *in.MinCount:
		return refuse("InvalidParameterValue", "Value (%d) for parameter minCount is invalid. MinCount is greater than MaxCount.", *in.MinCount)
	}
	l.count = *in.MaxCount
	return nil
}

func (l *launchPlan) decideImage(c *call, in *runInput) error {
	if in.ImageID == "" {
		return missing("ImageId")
	}
	id := in.ImageID
	if name, ok := strings.CutPrefix(id, "resolve:ssm:"); ok {
		parameter, err := c.parameter(name, false)
		if err != nil || parameter.Type != "String" {
			return refuse("InvalidParameterValue", "Value (%s) for parameter ImageId is invalid. The parameter %s does not exist.", id, name)
		}
		id = parameter.Value
	}
	var err error
	if l.image, err = c.usableImage(id); err != nil {
		return err
	}
	if l.image.state != "available" {
		return refuse("InvalidAMIID.Unavailable", "The image ID '%s' is not available", id)
	}
	return nil
}

func (l *launchPlan) decideType(_ *call, in *runInput) error {
	name := in.Type
	if name == "" {
		name = "m1.small"
	}
	l.kind = instanceTypes()[name]
	if l.kind == nil {
		return refuse("InvalidParameterValue", "Invalid value '%s' for InstanceType.", name)
	}
	if !l.kind.runs(l.image.architecture) {
		return refuse("InvalidParameterValue", "The architecture '%s' of the specified instance type does not match the architecture '%s' of the specified AMI. "+
			"Specify an instance type and an AMI that have matching architectures, and try again. "+
			"You can use 'describe-instance-types' or 'describe-images' to discover the architecture of the instance type or AMI.",
			strings.Join(l.kind.architectures(), ","), l.image.architecture)
	}
	return l.kind.boots(l.image)
}

func (l *launchPlan) decideOptions(c *call, in *runInput) error {
	if in.KeyName != "" && c.place().keyPairs[in.KeyName] == nil {
		return refuse("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", in.KeyName)
	}
	if s := valueOr(in.Shutdown, "stop"); s != "stop" && s != "terminate" {
		return refuse("InvalidParameterValue", "Value (%s) for parameter instanceInitiatedShutdownBehavior is invalid. Unknown instance-initiated shutdown behavior.", s)
	}
	if err := l.decideUserData(in); err != nil {
		return err
	}
	if isTrue(in.EBSOptimized) && l.kind.text("ebsoptimized") == "unsupported" {
		return refuse("InvalidParameterCombination", "EBS-optimized instances are not supported for instance type %s.", l.kind.name)
	}
	if err := l.decideReserved(c, in); err != nil {
		return err
	}
	if isTrueIn(in.Enclave) && l.kind.text("enclaves") != "supported" {
		return refuse("InvalidParameterCombination", "Enclaves are not supported on instance type %s.", l.kind.name)
	}
	if err := l.decideCredits(in); err != nil {
		return err
	}
	if err := l.decideMarket(c, in); err != nil {
		return err
	}
	return l.decideMetadata(in)
}

func isTrueIn(r *monitoringRequest) bool { return r != nil && isTrue(r.Enabled) }

// maxUserData is the largest user data, in bytes before its encoding.
const maxUserData = 16384

func (l *launchPlan) decideUserData(in *runInput) error {
	data, err := decodeUserData(valueOr(in.UserData, ""))
	l.userData = data
	return err
}

func decodeUserData(encoded string) ([]byte, error) {
	clean := strings.NewReplacer("\n", "", "\r", "").Replace(encoded)
	data, err := base64.StdEncoding.DecodeString(clean)
	if err != nil {
		return nil, refuse("InvalidParameterValue", "Invalid BASE64 encoding of user data.")
	}
	if len(data) > maxUserData {
		return nil, refuse("InvalidParameterValue", "User data is limited to %d bytes", maxUserData)
	}
	return data, nil
}

func (l *launchPlan) decideCredits(in *runInput) error {
	if !l.kind.yes("burstable") {
		if in.Credits != nil {
			return refuse("InvalidParameterCombination", "The CPU credit option is not supported for instance type %s.", l.kind.name)
		}
		return nil
	}
	l.credits = "unlimited"
	if l.kind.family() == "t2" {
		l.credits = "standard"
	}
	if in.Credits != nil {
		l.credits = in.Credits.CPUCredits
	}
	if l.credits != "standard" && l.credits != "unlimited" {
		return refuse("InvalidParameterValue", "Value (%s) for parameter CpuCredits is invalid. Valid values: standard, unlimited.", l.credits)
	}
	return nil
}

func (l *launchPlan) decideMarket(_ *call, in *runInput) error {
	if in.Market == nil || in.Market.Type == "" {
		return nil
	}
	if in.Market.Type != "spot" {
		return refuse("InvalidParameterValue", "Value (%s) for parameter MarketType is invalid.", in.Market.Type)
	}
	l.spot = true
	if in.Market.Spot == nil || in.Market.Spot.MaxPrice == "" {
		return nil
	}
	most, err := strconv.ParseFloat(in.Market.Spot.MaxPrice, 64)
	if err != nil || most <= 0 {
		return refuse("InvalidParameterValue", "Invalid value '%s' for maxPrice.", in.Market.Spot.MaxPrice)
	}
	price := l.kind.spotPrice(0)
	if least, err := strconv.ParseFloat(price, 64); err == nil && most < least {
		return refuse("SpotMaxPriceTooLow", "Your Spot request price of %s is lower than the minimum required Spot request fulfillment price of %s.", in.Market.Spot.MaxPrice, price)
	}
	return nil
}

func (l *launchPlan) decideMetadata(in *runInput) error {
	l.metadata = metadataOptions{Tokens: "optional", HopLimit: 1, Endpoint: "enabled", IPv6: "disabled", Tags: "disabled"}
	if l.image.imdsSupport == "v2.0" {
		l.metadata.Tokens, l.metadata.HopLimit = "required", 2
	}
	if in.Metadata == nil {
		return nil
	}
	return l.metadata.change(in.Metadata)
}

func (m *metadataOptions) change(r *metadataRequest) error {
	for _, o := range []struct {
		name  string
		to    *string
		what  *string
		valid []string
	}{
		{"HttpTokens", r.Tokens, &m.Tokens, []string{"optional", "required"}},
		{"HttpEndpoint", r.Endpoint, &m.Endpoint, []string{"enabled", "disabled"}},
		{"HttpProtocolIpv6", r.IPv6, &m.IPv6, []string{"enabled", "disabled"}},
		{"InstanceMetadataTags", r.Tags, &m.Tags, []string{"enabled", "disabled"}},
	} {
		if o.to == nil {
			continue
		}
		if !slices.Contains(o.valid, *o.to) {
			return refuse("InvalidParameterValue", "Value (%s) for parameter %s is invalid. Valid values: %s.", *o.to, o.name, strings.Join(o.valid, ", "))
		}
		*o.what = *o.to
	}
	if r.HopLimit == nil {
		return nil
	}
	if *r.HopLimit < 1 || *r.HopLimit > 64 {
		return refuse("InvalidParameterValue", "Value (%d) for parameter HttpPutResponseHopLimit is invalid. It must be between 1 and 64.", *r.HopLimit)
	}
	m.HopLimit = *r.HopLimit
	return nil
}

// decideProfile finds the instance profile as EC2 sees it, which is later than IAM.
func (l *launchPlan) decideProfile(c *call, in *runInput) error {
	r := in.Profile
	if r == nil || r.Name == "" && r.ARN == "" {
		return nil
	}
	if r.Name != "" && r.ARN != "" {
		return refuse("InvalidParameterCombination", "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'")
	}
	account := c.caller.account
	l.profile = c.server.instanceProfile(account, r.Name+r.ARN)
	if l.profile != nil && (r.ARN == "") == (l.profile.arn != r.Name) {
		return nil
	}
	if p := c.server.iam.profileAs(account, r.Name+r.ARN); p != nil && p.role == nil && !c.now.Before(p.visibleAt) {
		return refuse("InvalidParameterValue", "IAM Instance Profile \"%s\" has no associated IAM Roles", p.arn)
	}
	if r.ARN != "" {
		return refuse("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.arn is invalid. Invalid IAM Instance Profile ARN", r.ARN)
	}
	return refuse("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", r.Name)
}

func (l *launchPlan) decideVolumes(c *call, in *runInput) error {
	var err error
	l.volumes, err = c.planVolumes(l.image, in.Devices)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(l.volumes, func(v *volumePlan) bool { return v.device == l.image.rootDevice }) {
		return refuse("InvalidBlockDeviceMapping", "The root device %s can't be left out.", l.image.rootDevice)
	}
	return nil
}

// maxVCPUs is the quota of running on-demand instances.
const maxVCPUs = 512

func (l *launchPlan) decideLimits(c *call, in *runInput) error {
	used := int64(0)
	for _, i := range c.place().instances {
		if i.State == "pending" || i.State == "running" {
			used += i.kind.number("vcpus")
		}
	}
	if used+*in.MinCount*l.kind.number("vcpus") > maxVCPUs {
		return refuse("VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of %d allows for the instance bucket "+
			"that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.", maxVCPUs)
	}
	l.count = min(l.count, (maxVCPUs-used)/max(1, l.kind.number("vcpus")))
	if free := int64(c.place().freeAddresses(l.subnet)); free < *in.MinCount {
		return refuse("InsufficientFreeAddressesInSubnet", "There are not enough free addresses in subnet '%s' to satisfy the requested number of instances.", l.subnet.id)
	}
	return nil
}

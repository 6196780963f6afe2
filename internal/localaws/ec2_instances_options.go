package localaws

import "slices"

// launchOptions are the parts of a launch that show on the instance and do little else here.
type launchOptions struct {
	cpu         cpuDescription
	hibernation bool
	enclave     bool
	recovery    string // "default" or "disabled"
	names       privateDNSName
	group       *placementGroup
}

// decideOthers checks what has no larger part of the launch to itself.
func (l *launchPlan) decideOthers(c *call, in *runInput) error {
	if !l.spot && in.Template == nil && slices.ContainsFunc(in.TagSpecifications, func(spec tagSpec) bool { return spec.ResourceType == "spot-instances-request" }) {
		return refuse("InvalidParameterValue", "'spot-instances-request' is not a valid taggable resource type for this operation.")
	}
	if len(in.Licenses) > 0 {
		return notHere("license configurations, which LicenseSpecification names")
	}
	l.options = launchOptions{cpu: l.kind.cpu(), recovery: "default", names: privateDNSName{HostnameType: "ip-name"}}
	l.options.enclave = isTrueIn(in.Enclave)
	if m := in.Maintenance; m != nil {
		l.options.recovery = valueOr(m.AutoRecovery, "default")
	}
	if n := in.PrivateDNS; n != nil {
		l.options.names = privateDNSName{valueOr(n.HostnameType, "ip-name"), isTrue(n.ARecord), isTrue(n.AAAARecord)}
	}
	if err := l.decideCPU(in.CPU); err != nil {
		return err
	}
	if err := l.decideSpotOptions(in.Market); err != nil {
		return err
	}
	return l.decideGroup(c, in.Placement)
}

// cpu is what an instance of the type has unless a launch asks for less.
func (t *instanceType) cpu() cpuDescription {
	threads := max(1, t.number("threads"))
	cores := t.number("cores")
	if cores == 0 {
		cores = t.number("vcpus") / threads
	}
	return cpuDescription{cores, threads}
}

func (l *launchPlan) decideCPU(r *cpuRequest) error {
	if r == nil {
		return nil
	}
	most := l.options.cpu
	switch {
	case r.Cores == nil || r.Threads == nil:
		return refuse("InvalidParameterCombination", "CpuOptions needs both CoreCount and ThreadsPerCore.")
	case *r.Cores < 1 || *r.Cores > most.Cores:
		return refuse("InvalidParameterValue", "Value (%d) for parameter CoreCount is invalid. The instance type %s has at most %d cores.", *r.Cores, l.kind.name, most.Cores)
	case *r.Threads < 1 || *r.Threads > most.Threads:
		return refuse("InvalidParameterValue", "Value (%d) for parameter ThreadsPerCore is invalid. The instance type %s has at most %d threads per core.", *r.Threads, l.kind.name, most.Threads)
	}
	l.options.cpu = cpuDescription{*r.Cores, *r.Threads}
	return nil
}

// decideHibernation stands after the volumes: hibernation writes the memory to an encrypted root volume.
func (l *launchPlan) decideHibernation(_ *call, in *runInput) error {
	if in.Hibernation == nil || !isTrue(in.Hibernation.Configured) {
		return nil
	}
	i := slices.IndexFunc(l.volumes, func(v *volumePlan) bool { return v.device == l.image.rootDevice })
	switch root := l.volumes[i]; {
	case !l.kind.yes("hibernation"):
		return refuse("UnsupportedHibernationConfiguration", "The instance type %s does not support hibernation.", l.kind.name)
	case !root.encrypted:
		return refuse("UnsupportedHibernationConfiguration", "The root volume must be encrypted to allow storing memory contents to the root volume. Either enable encryption by default or specify encryption for the root volume.")
	case root.sizeGiB*1024 < l.kind.number("memory"):
		return refuse("UnsupportedHibernationConfiguration", "The root volume is too small to store the memory of the instance type %s.", l.kind.name)
	}
	l.options.hibernation = true
	return nil
}

func (l *launchPlan) decideSpotOptions(m *marketRequest) error {
	if !l.spot || m.Spot == nil {
		return nil
	}
	if m.Spot.Type == "persistent" {
		return notHere("persistent spot requests")
	}
	if b := m.Spot.Interruption; b != "" && b != "terminate" {
		return refuse("InvalidParameterCombination", "The instance interruption behavior '%s' needs a persistent spot request.", b)
	}
	if m.Spot.ValidUntil != "" {
		return refuse("InvalidParameterCombination", "ValidUntil is for persistent spot requests only.")
	}
	return nil
}

func (l *launchPlan) decideGroup(c *call, r *placementRequest) error {
	if r == nil || r.GroupName == "" {
		return nil
	}
	g, err := c.place().placementGroup(r.GroupName)
	if err != nil {
		return err
	}
	if g.strategy == "cluster" && l.kind.yes("burstable") {
		return refuse("InvalidParameterCombination", "Cluster placement groups are not supported by the '%s' instance type. "+
			"Specify a supported instance type or change the placement group strategy, and try again.", l.kind.name)
	}
	l.options.group = g
	return nil
}

package localaws

// checkOptions refuses what only fleets of other types have, and what would need more than one pool.
func (in *createFleetInput) checkOptions() error {
	switch {
	case in.Excess != nil:
		return refuse("InvalidParameterCombination", "ExcessCapacityTerminationPolicy is not supported for fleets of type instant.")
	case isTrue(in.Replace):
		return refuse("InvalidParameterCombination", "ReplaceUnhealthyInstances is not supported for fleets of type instant.")
	}
	for _, o := range []*fleetOptions{in.Spot, in.OnDemand} {
		switch {
		case o == nil:
		case valueOr(o.Interruption, "terminate") != "terminate":
			return refuse("InvalidParameterCombination", "The instance interruption behavior '%s' is not supported for fleets of type instant.", *o.Interruption)
		case o.Pools != nil && valueOr(o.Allocation, "lowest-price") != "lowest-price":
			return refuse("InvalidParameterCombination", "InstancePoolsToUseCount is for the allocation strategy lowest-price.")
		case o.Pools != nil && *o.Pools != 1:
			return notHere("fleets that use more than one pool")
		case o.MinTarget != nil && !isTrue(o.SingleType) && !isTrue(o.SingleZone):
			return refuse("InvalidParameterCombination", "MinTargetCapacity needs SingleAvailabilityZone or SingleInstanceType.")
		case o.MinTarget != nil && *o.MinTarget > *in.Capacity.Total:
			return refuse("InvalidParameterValue", "MinTargetCapacity is more than the total target capacity.")
		}
	}
	for _, config := range in.Configs {
		for _, o := range config.Overrides {
			if o.Weight != nil && *o.Weight != 1 {
				return notHere("weighted capacities of fleets")
			}
		}
	}
	return nil
}

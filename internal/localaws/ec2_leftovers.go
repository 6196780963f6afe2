package localaws

import (
	"maps"
	"slices"
	"strings"
)

// ec2Leftovers is what stands beside what an account finds at the start.
func (s *Server) ec2Leftovers() []string {
	var left []string
	for _, p := range s.ec2.places {
		left = append(left, p.leftovers()...)
	}
	for region, r := range s.ec2.regions {
		for id, img := range r.images {
			if img.owner != amazonAccount {
				left = append(left, "ec2 image "+region+" "+id+" "+img.name+" "+img.state)
			}
		}
		for id, snap := range r.snapshots {
			if snap.owner != amazonAccount {
				left = append(left, "ec2 snapshot "+region+" "+id+" "+snap.state)
			}
		}
	}
	slices.Sort(left)
	return left
}

func (p *ec2Place) leftovers() []string {
	var left []string
	add := func(kind, id string, more ...string) {
		left = append(left, strings.Join(append([]string{"ec2", kind, p.region, id}, more...), " "))
	}
	for id, i := range p.instances {
		if !p.ending(id) {
			add("instance", id, i.State)
		}
	}
	for id, v := range p.volumes {
		if v.state != "deleting" && (!v.deleteOnTermination || !p.ending(v.instanceID)) {
			add("volume", id, v.state)
		}
	}
	for id, g := range p.groups {
		if g.name != "default" {
			add("security group", id, g.name)
		}
	}
	for id, v := range p.vpcs {
		if !v.isDefault {
			add("vpc", id)
		}
	}
	for id, g := range p.natGateways {
		if g.state != "deleted" {
			add("nat gateway", id, g.state)
		}
	}
	for id, n := range p.interfaces {
		if !n.deleteOnTermination || !p.ending(n.instanceID) {
			add("network interface", id)
		}
	}
	for name, g := range p.placementGroups {
		add("placement group", g.id, name)
	}
	for id, t := range p.launchTemplates {
		add("launch template", id, t.name)
	}
	for kind, ids := range map[string][]string{
		"key pair":     slices.Collect(maps.Keys(p.keyPairs)),
		"vpc endpoint": slices.Collect(maps.Keys(p.endpoints)),
		"elastic ip":   slices.Collect(maps.Keys(p.addresses)),
		"fleet":        slices.Collect(maps.Keys(p.fleets)),
	} {
		for _, id := range ids {
			add(kind, id)
		}
	}
	return left
}

// ending says whether an instance is terminated or can't but become so; what
// goes with it is as good as gone.
func (p *ec2Place) ending(instanceID string) bool {
	i := p.instances[instanceID]
	return i != nil && (i.State == "terminated" || i.State == "shutting-down")
}

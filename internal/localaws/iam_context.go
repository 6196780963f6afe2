package localaws

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

var (
	ec2TagPattern = regexp.MustCompile(`^Tag\.\d+\.Key$`)
	iamTagPattern = regexp.MustCompile(`^Tags\.member\.\d+\.Key$`)
)

// contextOfCall is the condition keys of one call: the caller's, the region,
// the tags it sends, and the few that are one service's own. Server.mu is held.
func (s *Server) contextOfCall(c *call) map[string][]string {
	context := contextOf(c.caller, c.now)
	context["aws:requestedregion"] = []string{c.region}
	if c.service == "ec2" {
		context["ec2:region"] = []string{c.region}
	}
	maps.Copy(context, c.requestTags())
	if c.form.Has("InstanceType") {
		context["ec2:instancetype"] = []string{c.form.Get("InstanceType")}
	}
	if c.form.Has("PermissionsBoundary") {
		context["iam:permissionsboundary"] = []string{c.form.Get("PermissionsBoundary")}
	}
	if c.form.Has("PolicyArn") {
		context["iam:policyarn"] = []string{c.form.Get("PolicyArn")}
	}
	switch c.action {
	case "RunInstances", "AssociateIamInstanceProfile", "ReplaceIamInstanceProfileAssociation", "AddRoleToInstanceProfile":
		context["iam:passedtoservice"] = []string{"ec2.amazonaws.com"}
	case "StartSession":
		context["ssm:sessiondocumentaccesscheck"] = []string{"true"}
	}
	if c.service == "ec2" && c.action != "CreateTags" && len(c.tagPermissions()) > 0 {
		context["ec2:createaction"] = []string{c.action}
	}
	return context
}

// requestTags are aws:RequestTag/key and aws:TagKeys of a query call. Those of
// a tag specification belong to one kind of resource: needsOf sees to them.
func (c *call) requestTags() map[string][]string {
	tags := map[string][]string{}
	var keys []string
	for name, values := range c.form {
		if !ec2TagPattern.MatchString(name) && !iamTagPattern.MatchString(name) {
			continue
		}
		value := c.form.Get(strings.TrimSuffix(name, "Key") + "Value")
		tags["aws:requesttag/"+strings.ToLower(values[0])] = []string{value}
		keys = append(keys, values[0])
	}
	if len(keys) > 0 {
		slices.Sort(keys)
		tags["aws:tagkeys"] = slices.Compact(keys)
	}
	return tags
}

// resourceKeys are the condition keys of the resource that an ARN names: its
// tags (aws:ResourceTag/key and the service's own) and what it is. Server.mu is held.
func (s *Server) resourceKeys(c *call, arn string) map[string][]string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 {
		return nil
	}
	keys := map[string][]string{}
	add := func(key, value string) {
		for _, prefix := range []string{"aws", parts[2], c.service} {
			keys[prefix+":resourcetag/"+strings.ToLower(key)] = []string{value}
		}
	}
	switch {
	case parts[2] == "ec2":
		p := s.ec2Place(c.caller.account, c.region)
		for key, value := range p.tags[p.taggedAs(nameOf(arn))] {
			add(key, value)
		}
		for key, value := range c.ec2Keys(nameOf(arn)) {
			keys[strings.ToLower(key)] = []string{value}
		}
	case parts[2] == "iam" && strings.HasPrefix(parts[5], "role/"):
		if role := s.iam.roleWith(arn); role != nil {
			for _, tag := range role.tags {
				add(tag.Key, tag.Value)
			}
		}
	case parts[2] == "ssm" && strings.HasPrefix(parts[5], "session/"):
		if session := s.ssmPlace(c.caller.account, c.region).sessions[nameOf(arn)]; session != nil {
			keys["ssm:resourcetag/aws:ssmmessages:session-id"] = []string{session.ownerID}
			keys["ssm:resourcetag/aws:ssmmessages:target-id"] = []string{session.target}
		}
	}
	return keys
}

// taggedAs is the id under which a resource's tags are kept: its own, but for key pairs, which ARNs name.
func (p *ec2Place) taggedAs(id string) string {
	if k := p.keyPairs[id]; k != nil {
		return k.id
	}
	return id
}

// ec2Keys are EC2's own condition keys of a resource that is there.
func (c *call) ec2Keys(id string) map[string]string {
	p := c.place()
	if i := p.instances[id]; i != nil {
		return map[string]string{"ec2:InstanceType": i.kind.name, "ec2:AvailabilityZone": i.zone.name, "ec2:Tenancy": i.tenancy, "ec2:RootDeviceType": "ebs", "ec2:InstanceID": id}
	}
	if v := p.volumes[id]; v != nil {
		return map[string]string{"ec2:VolumeID": id, "ec2:AvailabilityZone": v.zone.name, "ec2:Encrypted": boolWord(v.kmsKey != "")}
	}
	if sub := p.subnets[id]; sub != nil {
		return map[string]string{"ec2:SubnetID": id, "ec2:AvailabilityZone": sub.zone.name, "ec2:Vpc": c.ec2ARN("vpc", sub.vpcID)}
	}
	if g := p.groups[id]; g != nil {
		return map[string]string{"ec2:SecurityGroupID": id, "ec2:Vpc": c.ec2ARN("vpc", g.vpcID)}
	}
	if img := c.images().images[id]; img != nil {
		owner := img.owner
		if alias := img.ownerAlias(); alias != "" {
			owner = alias
		}
		return map[string]string{"ec2:ImageID": id, "ec2:Owner": owner, "ec2:Public": boolWord(img.public), "ec2:ImageType": "machine", "ec2:RootDeviceType": "ebs"}
	}
	if snap := c.images().snapshots[id]; snap != nil {
		return map[string]string{"ec2:SnapshotID": id, "ec2:Owner": snap.owner, "ec2:VolumeSize": number(snap.sizeGiB)}
	}
	return nil
}

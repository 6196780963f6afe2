package localaws

import (
	"slices"
	"strings"
)

// A need is a permission that a call needs, with the condition keys of the
// resource as they are in this call.
type need struct {
	Permission
	keys map[string][]string // in lower case
}

// launchNeeds are the permissions of RunInstances: on every resource that the
// launch uses or makes, those of the launch template and the defaults of the
// account among them. ok is false when the launch is one that EC2 refuses
// anyhow, so that nothing is known of it.
func (s *Server) launchNeeds(c *call) (needs []need, ok bool) {
	look := *c // the plan may not count as the call's own
	var in runInput
	if decodeQuery(&look, &in) != nil {
		return nil, false
	}
	sent := in.launchData
	if look.applyTemplate(&in) != nil {
		return nil, false
	}
	plan, err := look.planLaunch(&in)
	if err != nil {
		return nil, false
	}
	l := &launchQuestions{c: c, in: &in, sent: sent, plan: plan}
	l.used()
	l.made()
	for kind, tags := range plan.tags {
		l.add("ec2:CreateTags", c.ec2ARN(kind, "*"), requestTagKeys(tags), map[string]string{"ec2:CreateAction": "RunInstances"})
	}
	if plan.profile != nil && plan.profile.role != nil {
		l.add("iam:PassRole", plan.profile.role.arn, map[string]string{"iam:PassedToService": "ec2.amazonaws.com"})
	}
	if name, from := strings.CutPrefix(in.ImageID, "resolve:ssm:"); from {
		l.add("ssm:GetParameters", c.ownParameterARN(name))
	}
	slices.SortStableFunc(l.needs, func(a, b need) int { return comparePermissions(a.Permission, b.Permission) })
	return l.needs, true
}

type launchQuestions struct {
	c     *call
	in    *runInput
	sent  launchData // without the template's
	plan  *launchPlan
	needs []need
}

func (l *launchQuestions) add(action, resource string, keys ...map[string]string) {
	n := need{Permission{action, resource}, map[string][]string{}}
	for _, some := range keys {
		n.set(some)
	}
	l.needs = append(l.needs, n)
}

// set adds condition keys; empty values are keys that the request does not have.
func (n need) set(keys map[string]string) {
	for key, value := range keys {
		tag, isTag := strings.CutPrefix(key, requestTag)
		if value == "" && !isTag {
			continue
		}
		n.keys[strings.ToLower(key)] = []string{value}
		if isTag {
			n.keys["aws:tagkeys"] = append(n.keys["aws:tagkeys"], tag)
		}
	}
}

// run adds ec2:RunInstances on a resource. fromTemplate says that it is the
// launch template that names it.
func (l *launchQuestions) run(kind, id string, fromTemplate bool, keys ...map[string]string) {
	common := map[string]string{"ec2:Region": l.c.region}
	if t := l.in.Template; t != nil {
		common["ec2:IsLaunchTemplateResource"] = boolWord(fromTemplate)
		if lt, err := l.c.place().template(t.ID, t.Name); err == nil {
			common["ec2:LaunchTemplate"] = l.c.ec2ARN("launch-template", lt.id)
		}
	}
	l.add("ec2:RunInstances", l.c.ec2ARN(kind, id), append(keys, common)...)
}

// used are the resources that are there before the launch.
func (l *launchQuestions) used() {
	c, plan, p := l.c, l.plan, l.c.place()
	owner := plan.image.owner
	if alias := plan.image.ownerAlias(); alias != "" {
		owner = alias
	}
	l.run("image", plan.image.id, l.sent.ImageID == "", map[string]string{
		"ec2:ImageID": plan.image.id, "ec2:ImageType": "machine", "ec2:Owner": owner, "ec2:Public": boolWord(plan.image.public), "ec2:RootDeviceType": "ebs",
	})
	vpc := c.ec2ARN("vpc", plan.subnet.vpcID)
	l.run("subnet", plan.subnet.id, l.in.SubnetID == "" && len(l.sent.Interfaces) == 0, map[string]string{
		"ec2:AvailabilityZone": plan.subnet.zone.name, "ec2:SubnetID": plan.subnet.id, "ec2:Vpc": vpc,
	})
	for _, id := range plan.groupIDs {
		l.run("security-group", id, len(l.sent.GroupIDs)+len(l.sent.GroupNames)+len(l.sent.Interfaces) == 0,
			map[string]string{"ec2:SecurityGroupID": id, "ec2:Vpc": vpc})
	}
	if l.in.KeyName != "" {
		l.run("key-pair", l.in.KeyName, l.sent.KeyName == "", map[string]string{"ec2:KeyPairName": l.in.KeyName})
	}
	if t := l.in.Template; t != nil {
		if lt, err := p.template(t.ID, t.Name); err == nil {
			l.run("launch-template", lt.id, false)
		}
	}
	for _, v := range plan.volumes {
		if v.snapshot != nil && !slices.Contains(plan.image.snapshotIDs(), v.snapshot.id) {
			l.run("snapshot", v.snapshot.id, false, map[string]string{"ec2:SnapshotID": v.snapshot.id, "ec2:Owner": v.snapshot.owner})
		}
	}
	if g := l.in.Placement; g != nil && g.GroupName != "" {
		l.run("placement-group", g.GroupName, false, map[string]string{"ec2:PlacementGroupName": g.GroupName})
	}
}

// made are the resources that the launch makes, one question for each volume.
func (l *launchQuestions) made() {
	c, plan := l.c, l.plan
	zone, vpc := plan.subnet.zone.name, c.ec2ARN("vpc", plan.subnet.vpcID)
	l.run("instance", "*", false, l.instanceKeys(), requestTagKeys(plan.tags["instance"]))
	l.run("network-interface", "*", false, map[string]string{
		"ec2:AvailabilityZone": zone, "ec2:Subnet": c.ec2ARN("subnet", plan.subnet.id), "ec2:Vpc": vpc, "ec2:AssociatePublicIpAddress": boolWord(plan.publicIP),
	}, requestTagKeys(plan.tags["network-interface"]))
	for _, v := range plan.volumes {
		keys := map[string]string{
			"ec2:AvailabilityZone": zone, "ec2:VolumeType": v.kind, "ec2:VolumeSize": number(v.sizeGiB), "ec2:Encrypted": boolWord(v.encrypted), "ec2:KmsKeyId": v.kmsKey,
		}
		if v.iops > 0 {
			keys["ec2:VolumeIops"] = number(v.iops)
		}
		if v.throughput > 0 {
			keys["ec2:VolumeThroughput"] = number(v.throughput)
		}
		if v.snapshot != nil {
			keys["ec2:ParentSnapshot"] = c.ec2ARN("snapshot", v.snapshot.id)
		}
		l.run("volume", "*", false, keys, requestTagKeys(plan.tags["volume"]))
	}
	if plan.spot && plan.tags["spot-instances-request"] != nil {
		l.run("spot-instances-request", "*", false, requestTagKeys(plan.tags["spot-instances-request"]))
	}
}

func (l *launchQuestions) instanceKeys() map[string]string {
	plan := l.plan
	keys := map[string]string{
		"ec2:AvailabilityZone": plan.subnet.zone.name, "ec2:InstanceType": plan.kind.name, "ec2:RootDeviceType": "ebs",
		"ec2:EbsOptimized": boolWord(isTrue(l.in.EBSOptimized)), "ec2:Tenancy": "default", "ec2:InstanceMarketType": "on-demand",
		"ec2:MetadataHttpTokens": plan.metadata.Tokens, "ec2:MetadataHttpEndpoint": plan.metadata.Endpoint,
		"ec2:MetadataHttpPutResponseHopLimit": number(plan.metadata.HopLimit), "ec2:InstanceMetadataTags": plan.metadata.Tags,
	}
	if plan.spot {
		keys["ec2:InstanceMarketType"] = "spot"
	}
	if plan.profile != nil {
		keys["ec2:InstanceProfile"] = plan.profile.arn
	}
	if place := l.in.Placement; place != nil {
		if place.Tenancy != "" {
			keys["ec2:Tenancy"] = place.Tenancy
		}
		if place.GroupName != "" {
			keys["ec2:PlacementGroup"] = l.c.ec2ARN("placement-group", place.GroupName)
		}
	}
	return keys
}

const requestTag = "aws:RequestTag/"

// requestTagKeys are the condition keys of the tags that a call sets on one kind of resource.
func requestTagKeys(tags map[string]string) map[string]string {
	keys := map[string]string{}
	for key, value := range tags {
		keys[requestTag+key] = value
	}
	return keys
}

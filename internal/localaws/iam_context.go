package localaws

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

var (
	ec2TagPattern = regexp.MustCompile(`^(?:TagSpecification\.\d+\.)?Tag\.(\d+)\.Key$`)
	iamTagPattern = regexp.MustCompile(`^Tags\.member\.\d+\.Key$`)
)

// contextOfCall is the condition keys of one call: the caller's, the region,
// the tags it sends, and the few that are one service's own. Server.mu is held.
func (s *Server) contextOfCall(c *call) map[string][]string {
	context := contextOf(c.caller, c.now)
	context["aws:requestedregion"] = []string{c.region}
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
	case "RunInstances", "AddRoleToInstanceProfile":
		context["iam:passedtoservice"] = []string{"ec2.amazonaws.com"}
	case "StartSession":
		context["ssm:sessiondocumentaccesscheck"] = []string{"true"}
	}
	if c.service == "ec2" && c.action != "CreateTags" && len(c.tagPermissions()) > 0 {
		context["ec2:createaction"] = []string{c.action}
	}
	return context
}

// requestTags are aws:RequestTag/key and aws:TagKeys of a query call.
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

// resourceTags are the tags of the resource that an ARN names, as condition
// keys: aws:ResourceTag/key and the service's own. Server.mu is held.
func (s *Server) resourceTags(c *call, arn string) map[string][]string {
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
		for key, value := range s.ec2Place(c.caller.account, c.region).tags[nameOf(arn)] {
			add(key, value)
		}
	case parts[2] == "iam" && strings.HasPrefix(parts[5], "role/"):
		if role := s.iam.roleWith(arn); role != nil {
			for _, tag := range role.tags {
				add(tag.Key, tag.Value)
			}
		}
	}
	return keys
}

package localaws

import (
	"regexp"
	"slices"
	"strings"
)

// permissionsOf is what a call needs to be allowed. Server.mu is held.
func (s *Server) permissionsOf(c *call) []Permission {
	action := c.service + ":" + c.action
	switch c.service {
	case "ec2":
		return s.ec2Permissions(c, action)
	case "iam":
		return c.withTags(s.iamPermissions(c, action))
	case "ssm":
		return ssmPermissions(c, action)
	case "sts":
		return stsPermissions(c, action)
	case "kms":
		return s.kmsPermissions(c, action)
	default:
		return []Permission{{action, "*"}}
	}
}

// needsOf is what a call needs to be allowed, with the condition keys that
// depend on the resource: tags that it sets are those of the kind of resource
// that they are set on. Server.mu is held.
func (s *Server) needsOf(c *call) []need {
	if c.service == "ec2" && c.action == "RunInstances" {
		if needs, ok := s.launchNeeds(c); ok {
			return needs
		}
	}
	var tags map[string]map[string]string
	if c.service == "ec2" {
		tags = c.tagsByKind()
	}
	var needs []need
	for _, p := range s.permissionsOf(c) {
		n := need{p, map[string][]string{}}
		if kind, made := strings.CutSuffix(p.Resource[strings.LastIndexByte(p.Resource, ':')+1:], "/*"); made {
			n.set(requestTagKeys(tags[kind]))
		}
		needs = append(needs, n)
	}
	return needs
}

var tagSpecificationPattern = regexp.MustCompile(`^(TagSpecifications?\.\d+\.)Tag\.\d+\.Key$`)

// tagsByKind are the tags of the call's tag specifications.
func (c *call) tagsByKind() map[string]map[string]string {
	tags := map[string]map[string]string{}
	for name, values := range c.form {
		if !strings.HasPrefix(name, "TagSpecification") {
			continue
		}
		m := tagSpecificationPattern.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		kind := c.form.Get(m[1] + "ResourceType")
		if tags[kind] == nil {
			tags[kind] = map[string]string{}
		}
		tags[kind][values[0]] = c.form.Get(strings.TrimSuffix(name, "Key") + "Value")
	}
	return tags
}

var ec2IDPattern = regexp.MustCompile(`^(i|ami|snap|vol|sg|subnet|vpc|eni|lt|fleet|rtb|igw)-[0-9a-zA-Z]+$`)

// ec2Kinds are the resource types of ids in ARNs.
var ec2Kinds = map[string]string{
	"i": "instance", "ami": "image", "snap": "snapshot", "vol": "volume", "sg": "security-group",
	"subnet": "subnet", "vpc": "vpc", "eni": "network-interface", "lt": "launch-template",
	"fleet": "fleet", "rtb": "route-table", "igw": "internet-gateway",
}

// ec2Creates are the types of the resources that a call makes: policies are
// asked about them with * for the id.
var ec2Creates = map[string][]string{
	"RunInstances":         {"instance", "network-interface", "volume"},
	"CreateImage":          {"image", "snapshot"},
	"CopyImage":            {"image", "snapshot"},
	"RegisterImage":        {"image"},
	"CreateSnapshot":       {"snapshot"},
	"CopySnapshot":         {"snapshot"},
	"CreateVolume":         {"volume"},
	"CreateSecurityGroup":  {"security-group"},
	"CreateKeyPair":        {"key-pair"},
	"ImportKeyPair":        {"key-pair"},
	"CreateLaunchTemplate": {"launch-template"},
	"CreateFleet":          {"fleet", "instance"},
}

// ec2Permissions is the action on every resource that the call names or makes,
// the right to tag what it tags, and iam:PassRole for a profile it passes.
func (s *Server) ec2Permissions(c *call, action string) []Permission {
	if isRead(c.action) {
		return []Permission{{action, "*"}}
	}
	var needed []Permission
	for name, values := range c.form {
		if strings.HasPrefix(name, "Filter.") || strings.Contains(name, "Tag") {
			continue
		}
		for _, id := range values {
			if !strings.Contains(id, "-") {
				continue
			}
			if m := ec2IDPattern.FindStringSubmatch(id); m != nil {
				needed = append(needed, Permission{action, c.ec2ARN(ec2Kinds[m[1]], id)})
			}
		}
	}
	for _, kind := range ec2Creates[c.action] {
		needed = append(needed, Permission{action, c.ec2ARN(kind, "*")})
	}
	if len(needed) == 0 {
		needed = []Permission{{action, "*"}}
	}
	needed = slices.Concat(needed, c.tagPermissions(), s.passRole(c))
	slices.SortFunc(needed, comparePermissions)
	return slices.Compact(needed)
}

func comparePermissions(a, b Permission) int {
	return strings.Compare(a.Action+" "+a.Resource, b.Action+" "+b.Resource)
}

// ec2ARN is the ARN of a resource; images and snapshots belong to no account there.
func (c *call) ec2ARN(kind, id string) string {
	account := c.caller.account
	if kind == "image" || kind == "snapshot" {
		account = ""
	}
	return "arn:aws:ec2:" + c.region + ":" + account + ":" + kind + "/" + id
}

// tagPermissions is ec2:CreateTags for every kind that is tagged at creation.
func (c *call) tagPermissions() []Permission {
	var needed []Permission
	for name, values := range c.form {
		if strings.HasPrefix(name, "TagSpecification") && strings.HasSuffix(name, ".ResourceType") {
			needed = append(needed, Permission{"ec2:CreateTags", c.ec2ARN(values[0], "*")})
		}
	}
	return needed
}

// passRole is iam:PassRole on the role of the profile that the call passes to
// EC2. A profile that is not there is EC2's to refuse.
func (s *Server) passRole(c *call) []Permission {
	for _, name := range []string{"IamInstanceProfile.Name", "IamInstanceProfile.Arn"} {
		if profile := s.iam.profileAs(c.caller.account, c.form.Get(name)); profile != nil && profile.role != nil {
			return []Permission{{"iam:PassRole", profile.role.arn}}
		}
	}
	return nil
}

// profileAs finds a profile by name or ARN, visible to EC2 or not.
func (st *iamState) profileAs(account, nameOrARN string) *instanceProfile {
	for _, p := range st.accounts[account].profiles {
		if nameOrARN != "" && (p.name == nameOrARN || p.arn == nameOrARN) {
			return p
		}
	}
	return nil
}

// iamPermissions is the action on the role, profile, policy or user that the
// call names, and iam:PassRole for a role put in a profile.
func (s *Server) iamPermissions(c *call, action string) []Permission {
	a := c.account()
	path := c.form.Get("Path")
	if path == "" {
		path = "/"
	}
	arn := func(kind, path, name string) string { return "arn:aws:iam::" + a.id + ":" + kind + path + name }
	roleARN := func() string {
		if role := a.role(c.form.Get("RoleName")); role != nil {
			return role.arn
		}
		return arn("role", path, c.form.Get("RoleName"))
	}
	switch {
	case c.action == "AddRoleToInstanceProfile":
		return []Permission{{action, a.profileARN(c.form.Get("InstanceProfileName"), path)}, {"iam:PassRole", roleARN()}}
	case c.form.Has("InstanceProfileName"):
		return []Permission{{action, a.profileARN(c.form.Get("InstanceProfileName"), path)}}
	case c.form.Has("RoleName"):
		return []Permission{{action, roleARN()}}
	case c.form.Has("PolicyArn"):
		return []Permission{{action, c.form.Get("PolicyArn")}}
	case c.form.Has("PolicySourceArn"):
		return []Permission{{action, c.form.Get("PolicySourceArn")}}
	case c.action == "CreatePolicy":
		return []Permission{{action, arn("policy", path, c.form.Get("PolicyName"))}}
	case c.form.Has("UserName"):
		return []Permission{{action, arn("user", "/", c.form.Get("UserName"))}}
	case c.action == "GetUser":
		return []Permission{{action, c.caller.arn}}
	}
	return []Permission{{action, "*"}}
}

// iamTagActions are what else a call needs that sets tags on what it makes.
var iamTagActions = map[string]string{
	"CreateRole":            "iam:TagRole",
	"CreateInstanceProfile": "iam:TagInstanceProfile",
	"CreatePolicy":          "iam:TagPolicy",
}

func (c *call) withTags(needed []Permission) []Permission {
	if action := iamTagActions[c.action]; action != "" && c.form.Has("Tags.member.1.Key") {
		needed = append(needed, Permission{action, needed[0].Resource})
	}
	return needed
}

func (a *iamAccount) profileARN(name, path string) string {
	if profile := a.profile(name); profile != nil {
		return profile.arn
	}
	return "arn:aws:iam::" + a.id + ":instance-profile" + path + name
}

// stsPermissions: who one is, and a session of one's own, need no permission.
func stsPermissions(c *call, action string) []Permission {
	switch c.action {
	case "GetCallerIdentity", "GetSessionToken":
		return nil
	case "AssumeRole":
		return nil // the trust policy decides as well: assumeRole asks both
	default:
		return []Permission{{action, "*"}}
	}
}

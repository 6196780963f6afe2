package localaws

import (
	"slices"
	"strings"
)

type assumeRoleIn struct {
	RoleARN           string   `query:"RoleArn,required"`
	RoleSessionName   string   `query:"RoleSessionName,required"`
	DurationSeconds   *int64   `query:"DurationSeconds"`
	ExternalID        string   `query:"ExternalId"`
	Policy            string   `query:"Policy"`
	PolicyArns        []arnIn  `query:"PolicyArns"`
	Tags              []iamTag `query:"Tags"`
	TransitiveTagKeys []string `query:"TransitiveTagKeys"`
	SourceIdentity    string   `query:"SourceIdentity"`
	SerialNumber      string   `query:"SerialNumber"`
	TokenCode         string   `query:"TokenCode"`
}

type arnIn struct {
	ARN string `query:"arn,required"`
}

type assumedRole struct {
	AssumedRoleID string `xml:"AssumedRoleId"`
	Arn           string
}

type assumeRoleOut struct {
	Credentials      credentialsView
	AssumedRoleUser  assumedRole
	PackedPolicySize int64  `xml:",omitempty"`
	SourceIdentity   string `xml:",omitempty"`
}

// assumeRole gives the credentials of a role to a caller whom the role's trust
// policy and the caller's own policies let have them.
func assumeRole(c *call, in *assumeRoleIn) (*assumeRoleOut, error) {
	if !sessionNamePattern.MatchString(in.RoleSessionName) {
		return nil, c.unfit("Value '%s' at 'roleSessionName' failed to satisfy constraint: "+
			`Member must satisfy regular expression pattern: [\w+=,.@-]*`, in.RoleSessionName)
	}
	life, err := c.duration(in.DurationSeconds, 3600, 900, 43200)
	if err != nil {
		return nil, err
	}
	role, err := c.assumable(in)
	if err != nil {
		return nil, err
	}
	if err := c.checkSessionLife(role, int64(life.Seconds())); err != nil {
		return nil, err
	}
	sessions, err := c.sessionPolicies(in)
	if err != nil {
		return nil, err
	}
	who := principal{
		account:  role.account,
		arn:      "arn:aws:sts::" + role.account + ":assumed-role/" + role.name + "/" + in.RoleSessionName,
		userID:   role.id + ":" + in.RoleSessionName,
		role:     role.name,
		sessions: sessions,
	}
	if who.tags, err = c.sessionTags(in); err != nil {
		return nil, err
	}
	who.transitive = slices.Concat(c.caller.transitive, in.TransitiveTagKeys)
	return &assumeRoleOut{
		Credentials:      c.issue(who, life),
		AssumedRoleUser:  assumedRole{who.userID, who.arn},
		PackedPolicySize: packedSize(in),
		SourceIdentity:   in.SourceIdentity,
	}, nil
}

// assumable is the role, if its trust policy and the caller's policies agree.
// A role that is not there, or too new, is refused in the same words.
func (c *call) assumable(in *assumeRoleIn) (*iamRole, error) {
	need := Permission{"sts:AssumeRole", in.RoleARN}
	c.needed = []Permission{need}
	q := question{action: need.Action, resource: in.RoleARN, context: contextOf(c.caller, c.now)}
	role := c.server.iam.roleWith(in.RoleARN)
	if role == nil || c.now.Before(role.visibleAt) {
		return nil, c.deny(q, "")
	}
	if in.ExternalID != "" {
		q.context["sts:externalid"] = []string{in.ExternalID}
	}
	q.context["sts:rolesessionname"] = []string{in.RoleSessionName}
	if !role.trusts(q, trustPrincipal(c.caller)) {
		return nil, c.deny(q, "")
	}
	if len(in.Tags) > 0 {
		tag := q
		tag.action = "sts:TagSession"
		if !role.trusts(tag, trustPrincipal(c.caller)) {
			return nil, c.deny(tag, "")
		}
	}
	why := c.server.iam.decide(c.caller, q, c.now)
	if byName := role.account == c.caller.account && role.trustsByName(c.caller); byName && !strings.Contains(why, "explicit deny") {
		return role, nil
	}
	if why != "" {
		return nil, c.deny(q, why)
	}
	return role, nil
}

// trustsByName says whether the trust has the caller's own ARN: within an
// account that is as good as a policy of the caller's.
func (r *iamRole) trustsByName(who principal) bool {
	return slices.ContainsFunc(r.trust.Statement, func(st statement) bool {
		return st.Effect == "Allow" && (st.Principal.names(who.arn) || who.role != "" && st.Principal.names(roleARN(who)))
	})
}

func (st *iamState) roleWith(arn string) *iamRole {
	for _, account := range st.accounts {
		for _, role := range account.roles {
			if role.arn == arn {
				return role
			}
		}
	}
	return nil
}

func (c *call) checkSessionLife(role *iamRole, seconds int64) error {
	if c.caller.role != "" && seconds > 3600 {
		return refuse("ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	}
	if seconds > role.maxSession {
		return refuse("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return nil
}

func (c *call) sessionPolicies(in *assumeRoleIn) ([]*policyDocument, error) {
	var docs []*policyDocument
	if in.Policy != "" {
		doc, err := parsePolicy(in.Policy)
		if err != nil {
			return nil, err
		}
		if err := doc.checkIdentity(); err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	for _, ref := range in.PolicyArns {
		policy := c.server.iam.policy(ref.ARN)
		if policy == nil {
			return nil, noSuchEntity("Policy %s does not exist or is not attachable.", ref.ARN)
		}
		docs = append(docs, policy.doc)
	}
	return docs, nil
}

// sessionTags are the session's tags, with the transitive ones of the caller's session.
func (c *call) sessionTags(in *assumeRoleIn) (map[string][]string, error) {
	if _, err := c.checkTags(nil, in.Tags); err != nil {
		return nil, err
	}
	tags := map[string][]string{}
	for _, key := range c.caller.transitive {
		tags[key] = c.caller.tags[key]
	}
	for _, tag := range in.Tags {
		if slices.Contains(c.caller.transitive, tag.Key) {
			return nil, refuse("InvalidParameterValue", "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
		tags[tag.Key] = []string{tag.Value}
	}
	for _, key := range in.TransitiveTagKeys {
		if tags[key] == nil {
			return nil, c.unfit("Value '%s' at 'transitiveTagKeys' failed to satisfy constraint: Member must be the key of a session tag", key)
		}
	}
	return tags, nil
}

// packedSize is how much of a session's limit its policy and tags take, in percent.
func packedSize(in *assumeRoleIn) int64 {
	size := len(in.Policy)
	for _, tag := range in.Tags {
		size += len(tag.Key) + len(tag.Value)
	}
	return int64((size*100 + 2047) / 2048)
}

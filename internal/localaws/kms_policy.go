package localaws

import (
	"slices"
	"strings"
)

// kmsKeyByARN finds a key of any account and region by its ARN.
func (s *Server) kmsKeyByARN(arn string) *kmsKey {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 {
		return nil
	}
	return s.kmsKey(parts[4], parts[3], arn)
}

// lets says whether the key's policy lets a principal of another account do
// what it asks. The policy that a key has from the start, which trusts its own
// account alone, lets nobody.
func (k *kmsKey) lets(q question, who principal) bool {
	if k.policy == nil {
		return false
	}
	result := false
	for i := range k.policy.Statement {
		st := &k.policy.Statement[i]
		if !st.Principal.includes(trustPrincipal(who)) || st.NotPrincipal != nil && st.NotPrincipal.includes(trustPrincipal(who)) || !st.applies(q) {
			continue
		}
		if st.Effect == "Deny" {
			return false
		}
		result = true
	}
	return result
}

// keptFrom says whether a key's own policy keeps it from the caller of KMS,
// whatever the caller's policies say: AWS's keys let users read and services
// alone use them, those of another account whom their policy names.
func (s *Server) keptFrom(c *call, q question) bool {
	key := s.kmsKeyByARN(q.resource)
	switch {
	case c.service != "kms" || key == nil:
		return false
	case key.Account != c.caller.account:
		return !key.lets(q, c.caller) && !s.granted(c, q)
	case key.manager == "AWS":
		return c.action != "RevokeGrant" && !slices.ContainsFunc([]string{"Describe", "Get", "List"}, func(verb string) bool {
			return strings.HasPrefix(c.action, verb)
		})
	}
	return false
}

// setPolicy gives the key a policy of its user's.
func (k *kmsKey) setPolicy(text string) error {
	doc, err := parsePolicy(text)
	if err != nil || len(doc.Statement) == 0 {
		return refuse("MalformedPolicyDocumentException", "The new key policy is malformed.")
	}
	k.policy, k.policyText = doc, text
	return nil
}

// policyOrDefault is the key's policy as GetKeyPolicy tells it.
func (k *kmsKey) policyOrDefault() string {
	if k.policyText != "" {
		return k.policyText
	}
	return `{"Version":"2012-10-17","Id":"key-default-1","Statement":[{"Sid":"Enable IAM User Permissions","Effect":"Allow",` +
		`"Principal":{"AWS":"arn:aws:iam::` + k.Account + `:root"},"Action":"kms:*","Resource":"*"}]}`
}

type putKeyPolicyIn struct {
	KeyID                          string `json:"KeyId" required:"true"`
	PolicyName                     string
	Policy                         string `required:"true"`
	BypassPolicyLockoutSafetyCheck *bool
}

func putKeyPolicy(c *call, in *putKeyPolicyIn) (*struct{}, error) {
	key, err := c.ownKey(in.KeyID)
	if err != nil {
		return nil, err
	}
	if err := checkPolicyName(in.PolicyName); err != nil {
		return nil, err
	}
	return nil, key.setPolicy(in.Policy)
}

type getKeyPolicyIn struct {
	KeyID      string `json:"KeyId" required:"true"`
	PolicyName string
}

type getKeyPolicyOut struct {
	Policy     string
	PolicyName string
}

func getKeyPolicy(c *call, in *getKeyPolicyIn) (*getKeyPolicyOut, error) {
	key, err := c.ownKey(in.KeyID)
	if err != nil {
		return nil, err
	}
	if err := checkPolicyName(in.PolicyName); err != nil {
		return nil, err
	}
	return &getKeyPolicyOut{key.policyOrDefault(), "default"}, nil
}

// checkPolicyName refuses any but the only name that a key's policy can have.
func checkPolicyName(name string) error {
	if name != "" && name != "default" {
		return refuse("NotFoundException", "No such policy exists")
	}
	return nil
}

// ownKey finds a key of the caller's account whose policy is to be read or
// written. AWS's own keys let nobody.
func (c *call) ownKey(name string) (*kmsKey, error) {
	key, err := c.keyNamed(name)
	if err != nil {
		return nil, err
	}
	if key.Account != c.caller.account || strings.HasPrefix(name, "alias/") {
		return nil, refuse("NotFoundException", "Invalid keyId '%s'", name)
	}
	return key, nil
}

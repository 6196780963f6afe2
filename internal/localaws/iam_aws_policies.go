package localaws

import (
	_ "embed"
	"encoding/json"
	"sync"
	"time"
)

// awsPolicyPrefix begins the ARN of every policy that AWS manages.
const awsPolicyPrefix = "arn:aws:iam::aws:policy/"

//go:embed iam_aws_policies.json
var awsPolicyText []byte

// awsPolicies are the policies that AWS manages, by ARN, with AWS's documents;
// those that builds of images attach.
var awsPolicies = sync.OnceValue(func() map[string]*managedPolicy {
	var raw map[string]struct {
		Created  time.Time       `json:"created"`
		Document json.RawMessage `json:"document"`
	}
	if err := json.Unmarshal(awsPolicyText, &raw); err != nil {
		panic("localaws: managed policies: " + err.Error())
	}
	policies := map[string]*managedPolicy{}
	for arn, r := range raw {
		doc, err := parsePolicy(string(r.Document))
		if err != nil {
			panic("localaws: managed policy " + arn + ": " + err.Error())
		}
		policy := &managedPolicy{
			account: "aws",
			name:    nameOf(arn),
			path:    awsPolicyPath(arn),
			arn:     arn,
			id:      "ANPA" + awsPolicyID(arn),
			created: r.Created,
			text:    string(r.Document),
			doc:     doc,
			aws:     true,
		}
		policy.begin()
		policies[arn] = policy
	}
	return policies
})

func awsPolicyPath(arn string) string {
	full := arn[len(awsPolicyPrefix)-1:]
	return full[:len(full)-len(nameOf(arn))]
}

// awsPolicyID is the same for a policy in every server.
func awsPolicyID(arn string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	sum := hmacSHA256([]byte("policy"), arn)
	id := make([]byte, 17)
	for i := range id {
		id[i] = letters[sum[i]%32]
	}
	return string(id)
}

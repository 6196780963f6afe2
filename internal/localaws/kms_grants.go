package localaws

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A kmsGrant lets a principal use a key until somebody retires or revokes it.
// Those that EC2 makes for the volumes of an instance, and retires with them, are
// its own affair and are not kept: a client can neither make nor lose one.
type kmsGrant struct {
	ID, name          string
	grantee, retiring string // ARNs; retiring may be empty
	issuer            string // the account that made it
	operations        []string
	constraints       *grantConstraints
	created           time.Time
	tokens            []string
}

// grantConstraints is the encryption context that a grant demands.
type grantConstraints struct {
	EncryptionContextSubset map[string]string `json:",omitempty"`
	EncryptionContextEquals map[string]string `json:",omitempty"`
}

// grantableOperations are those that a grant on a symmetric key for encryption can have.
var grantableOperations = []string{
	"Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo", "CreateGrant",
	"RetireGrant", "DescribeKey", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext",
}

// noContextOperations take no encryption context, so that no constraint can be asked of them.
var noContextOperations = []string{"CreateGrant", "RetireGrant", "DescribeKey"}

type createGrantIn struct {
	KeyID             string   `json:"KeyId" required:"true"`
	GranteePrincipal  string   `required:"true"`
	Operations        []string `required:"true"`
	RetiringPrincipal string
	Constraints       *grantConstraints
	GrantTokens       []string
	Name              string
	DryRun            *bool
}

type createGrantOut struct {
	GrantToken string
	GrantID    string `json:"GrantId"`
}

func createGrant(c *call, in *createGrantIn) (*createGrantOut, error) {
	if _, err := c.keyByID(in.KeyID); err != nil {
		return nil, err
	}
	key, err := c.usableKey(in.KeyID)
	if err != nil {
		return nil, err
	}
	if err := in.check(c); err != nil {
		return nil, err
	}
	if isTrue(in.DryRun) {
		return nil, dryRunSucceeds()
	}
	made := in.grant(c)
	grant := key.sameGrant(made)
	if grant == nil {
		grant = made
		key.grants = append(key.grants, grant)
	}
	token := newSecret(64)
	grant.tokens = append(grant.tokens, token)
	return &createGrantOut{token, grant.ID}, nil
}

func (in *createGrantIn) check(c *call) error {
	for _, arn := range []string{in.GranteePrincipal, in.RetiringPrincipal} {
		if arn == "" {
			continue // the other is always there
		}
		if strings.Count(arn, ":") < 5 || !(*principalSet)(nil).known(c.server.iam, "AWS", arn) {
			return refuse("InvalidArnException", "ARN does not refer to a valid principal: %s", arn)
		}
	}
	for _, op := range in.Operations {
		if !slices.Contains(grantableOperations, op) {
			return refuse("ValidationException", "Grant operation %s is not valid for a key with key usage ENCRYPT_DECRYPT", op)
		}
	}
	if in.Constraints != nil && !slices.ContainsFunc(in.Operations, func(op string) bool { return !slices.Contains(noContextOperations, op) }) {
		return refuse("ValidationException", "A grant with an encryption context constraint must have an operation that takes an encryption context")
	}
	return nil
}

func (in *createGrantIn) grant(c *call) *kmsGrant {
	id := strings.ReplaceAll(uuid.NewString()+uuid.NewString(), "-", "")
	return &kmsGrant{
		ID: id, name: in.Name, grantee: in.GranteePrincipal, retiring: in.RetiringPrincipal, issuer: c.caller.account,
		operations: slices.Compact(slices.Sorted(slices.Values(in.Operations))), constraints: in.Constraints, created: c.now,
	}
}

// sameGrant finds the grant of the same name and content: asking again for a
// named grant makes no second one.
func (k *kmsKey) sameGrant(as *kmsGrant) *kmsGrant {
	for _, g := range k.grants {
		if as.name != "" && g.name == as.name && g.grantee == as.grantee && g.retiring == as.retiring &&
			slices.Equal(g.operations, as.operations) && g.constraints.same(as.constraints) {
			return g
		}
	}
	return nil
}

func (g *grantConstraints) same(as *grantConstraints) bool {
	if g == nil || as == nil {
		return g == as
	}
	return maps.Equal(g.EncryptionContextEquals, as.EncryptionContextEquals) && maps.Equal(g.EncryptionContextSubset, as.EncryptionContextSubset)
}

// met says whether an encryption context is one that the constraints let through.
func (g *grantConstraints) met(context map[string]string) bool {
	if g == nil {
		return true
	}
	for key, value := range g.EncryptionContextSubset {
		if got, has := context[key]; !has || got != value {
			return false
		}
	}
	return g.EncryptionContextEquals == nil || maps.Equal(g.EncryptionContextEquals, context)
}

func dryRunSucceeds() error {
	return refuse("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
}

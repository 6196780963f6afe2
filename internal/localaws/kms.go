package localaws

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// kmsState is every account's keys; Server.mu guards it.
type kmsState struct {
	places map[kmsPlaceKey]*kmsPlace
}

type kmsPlaceKey struct{ account, region string }

type kmsPlace struct {
	keys    map[string]*kmsKey // by id
	aliases map[string]*kmsKey // by name: "alias/aws/ebs"
}

// A kmsKey is one symmetric key.
type kmsKey struct {
	ID, ARN, Account, Region string
	Enabled                  bool
	manager                  string // "AWS" or "CUSTOMER"
	description              string
	created                  time.Time
	deletion                 time.Time // zero unless it is pending
	secret                   [32]byte
	tags                     []kmsTag
	policy                   *policyDocument // nil for the one that every key has from the start
	policyText               string
	grants                   []*kmsGrant
}

func newKMSState() *kmsState { return &kmsState{places: map[kmsPlaceKey]*kmsPlace{}} }

// kmsPlace is what an account has in a region, from the start AWS's own key for EBS.
func (s *Server) kmsPlace(account, region string) *kmsPlace {
	key := kmsPlaceKey{account, region}
	if p := s.kms.places[key]; p != nil {
		return p
	}
	p := &kmsPlace{keys: map[string]*kmsKey{}, aliases: map[string]*kmsKey{}}
	s.kms.places[key] = p
	ebs := p.newKey(account, region, s.clock.Now())
	ebs.manager, ebs.description = "AWS", "Default key that protects my EBS volumes when no other key is defined"
	p.aliases["alias/aws/ebs"] = ebs
	return p
}

func (p *kmsPlace) newKey(account, region string, now time.Time) *kmsKey {
	k := &kmsKey{
		ID:      uuid.NewString(),
		Account: account,
		Region:  region,
		Enabled: true,
		manager: "CUSTOMER",
		created: now,
	}
	k.ARN = "arn:aws:kms:" + region + ":" + account + ":key/" + k.ID
	copy(k.secret[:], newSecret(32))
	p.keys[k.ID] = k
	return k
}

// kmsKey finds a key by its id, ARN, alias name or alias ARN, as account sees
// it in region; nil when there is none. Another account's key is found by its
// ARN alone. Server.mu is held.
func (s *Server) kmsKey(account, region, idOrARNOrAlias string) *kmsKey {
	name := idOrARNOrAlias
	if strings.HasPrefix(name, "arn:") {
		parts := strings.SplitN(name, ":", 6)
		if len(parts) != 6 || parts[2] != "kms" || parts[3] != region || s.iam.accounts[parts[4]] == nil {
			return nil
		}
		account, name = parts[4], strings.TrimPrefix(parts[5], "key/")
	}
	place := s.kmsPlace(account, region)
	if strings.HasPrefix(name, "alias/") {
		return place.aliases[name]
	}
	return place.keys[name]
}

// kmsLeftovers is the keys that somebody made and did not schedule for
// deletion, and the grants on them that nobody retired or revoked.
func (s *Server) kmsLeftovers() []string {
	var left []string
	for _, place := range s.kms.places {
		for _, key := range place.keys {
			if key.manager == "CUSTOMER" && key.deletion.IsZero() {
				left = append(left, "kms key "+key.ARN)
			}
			for _, g := range key.grants {
				if key.deletion.IsZero() {
					left = append(left, "kms grant "+key.ARN+" "+g.ID+" to "+g.grantee)
				}
			}
		}
	}
	slices.Sort(left)
	return left
}

// keyNamed finds the key that a call is about.
func (c *call) keyNamed(name string) (*kmsKey, error) {
	if key := c.server.kmsKey(c.caller.account, c.region, name); key != nil {
		return key, nil
	}
	if strings.Contains(name, "alias/") {
		arn := name
		if !strings.HasPrefix(name, "arn:") {
			arn = "arn:aws:kms:" + c.region + ":" + c.caller.account + ":" + name
		}
		return nil, refuse("NotFoundException", "Alias %s is not found.", arn)
	}
	if strings.HasPrefix(name, "arn:") {
		return nil, refuse("NotFoundException", "Key '%s' does not exist", name)
	}
	return nil, refuse("NotFoundException", "Key 'arn:aws:kms:%s:%s:key/%s' does not exist", c.region, c.caller.account, name)
}

// usableKey finds a key that may encrypt and decrypt.
func (c *call) usableKey(name string) (*kmsKey, error) {
	key, err := c.keyNamed(name)
	switch {
	case err != nil:
		return nil, err
	case !key.deletion.IsZero():
		return nil, refuse("KMSInvalidStateException", "%s is pending deletion.", key.ARN)
	case !key.Enabled:
		return nil, refuse("DisabledException", "%s is disabled.", key.ARN)
	}
	return key, nil
}

// aliasesOf lists a place's aliases in order.
func (p *kmsPlace) aliasNames() []string { return slices.Sorted(maps.Keys(p.aliases)) }

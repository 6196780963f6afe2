package localaws

import (
	"encoding/json"
	"slices"
	"strings"
)

type grantEntry struct {
	KeyID             string `json:"KeyId"`
	GrantID           string `json:"GrantId"`
	Name              string `json:",omitempty"`
	CreationDate      epochSeconds
	GranteePrincipal  string
	RetiringPrincipal string `json:",omitempty"`
	IssuingAccount    string
	Operations        []string
	Constraints       *grantConstraints `json:",omitempty"`
}

func (g *kmsGrant) entry(key *kmsKey) grantEntry {
	return grantEntry{
		key.ARN, g.ID, g.name, epochSeconds(g.created), g.grantee, g.retiring, "arn:aws:iam::" + g.issuer + ":root", g.operations, g.constraints,
	}
}

type listGrantsIn struct {
	KeyID            string `json:"KeyId" required:"true"`
	GrantID          string `json:"GrantId"`
	GranteePrincipal string
	Limit            *int64
	Marker           *string
}

type listGrantsOut struct {
	Grants     []grantEntry
	Truncated  bool
	NextMarker *string `json:",omitempty"`
}

func listGrants(c *call, in *listGrantsIn) (*listGrantsOut, error) {
	key, err := c.keyByID(in.KeyID)
	if err != nil {
		return nil, err
	}
	found := []grantEntry{}
	for _, g := range key.grants {
		if (in.GrantID == "" || g.ID == in.GrantID) && (in.GranteePrincipal == "" || g.grantee == in.GranteePrincipal) {
			found = append(found, g.entry(key))
		}
	}
	return grantPage(c, found, in.Limit, in.Marker)
}

func grantPage(c *call, found []grantEntry, limit *int64, marker *string) (*listGrantsOut, error) {
	if limit == nil {
		limit = new(int64(50))
	}
	page, next, err := paginate(c, found, limit, marker, 1, 100)
	return &listGrantsOut{page, next != nil, next}, err
}

type listRetirableGrantsIn struct {
	RetiringPrincipal string `required:"true"`
	Limit             *int64
	Marker            *string
}

func listRetirableGrants(c *call, in *listRetirableGrantsIn) (*listGrantsOut, error) {
	found := []grantEntry{}
	place := c.server.kmsPlace(c.caller.account, c.region)
	for _, id := range sortedKeys(place.keys) {
		for _, g := range place.keys[id].grants {
			if g.retiring == in.RetiringPrincipal {
				found = append(found, g.entry(place.keys[id]))
			}
		}
	}
	return grantPage(c, found, in.Limit, in.Marker)
}

type retireGrantIn struct {
	GrantToken string
	KeyID      string `json:"KeyId"`
	GrantID    string `json:"GrantId"`
	DryRun     *bool
}

func retireGrant(c *call, in *retireGrantIn) (*struct{}, error) {
	switch byID := in.KeyID != "" || in.GrantID != ""; {
	case byID == (in.GrantToken != ""), byID && (in.KeyID == "" || in.GrantID == ""):
		return nil, refuse("ValidationException", "Please specify either the grant token or the combination of key ID and grant ID.")
	case byID && !strings.HasPrefix(in.KeyID, "arn:"):
		return nil, refuse("InvalidArnException", "Invalid arn %s", in.KeyID)
	case byID:
		return nil, c.endGrant(in.KeyID, in.GrantID, in.DryRun)
	}
	key, grant := c.server.grantOf(c, in.GrantToken)
	if grant == nil {
		return nil, refuse("InvalidGrantTokenException", "The grant token is not valid.")
	}
	return nil, c.endGrant(key.ARN, grant.ID, in.DryRun)
}

// grantOf finds the grant that a token tells, in the region of the call.
func (s *Server) grantOf(c *call, token string) (*kmsKey, *kmsGrant) {
	for at, place := range s.kms.places {
		if at.region != c.region || token == "" {
			continue
		}
		for _, key := range place.keys {
			for _, g := range key.grants {
				if slices.Contains(g.tokens, token) {
					return key, g
				}
			}
		}
	}
	return nil, nil
}

type revokeGrantIn struct {
	KeyID   string `json:"KeyId" required:"true"`
	GrantID string `json:"GrantId" required:"true"`
	DryRun  *bool
}

func revokeGrant(c *call, in *revokeGrantIn) (*struct{}, error) {
	return nil, c.endGrant(in.KeyID, in.GrantID, in.DryRun)
}

func (c *call) endGrant(keyID, grantID string, dryRun *bool) error {
	key, err := c.keyByID(keyID)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(key.grants, func(g *kmsGrant) bool { return g.ID == grantID })
	switch {
	case at < 0:
		return refuse("NotFoundException", "Grant ID %s not found", grantID)
	case !key.deletion.IsZero():
		return refuse("KMSInvalidStateException", "%s is pending deletion.", key.ARN)
	case isTrue(dryRun):
		return dryRunSucceeds()
	}
	key.grants = slices.Delete(key.grants, at, at+1)
	return nil
}

// granted says whether a grant on the key lets the caller do what no policy
// allows it. Server.mu is held.
func (s *Server) granted(c *call, q question) bool {
	key := s.kmsKeyByARN(q.resource)
	if c.service != "kms" || key == nil {
		return false
	}
	var in struct{ EncryptionContext map[string]string }
	if err := json.Unmarshal(c.body, &in); err != nil {
		return false
	}
	return slices.ContainsFunc(key.grants, func(g *kmsGrant) bool {
		if c.action == "RetireGrant" {
			return g.isFor(c) && (c.caller.is(g.retiring) || c.caller.is(g.grantee) && slices.Contains(g.operations, "RetireGrant"))
		}
		return c.caller.is(g.grantee) && slices.Contains(g.operations, c.action) && g.constraints.met(in.EncryptionContext)
	})
}

// isFor says whether a call to RetireGrant is about the grant.
func (g *kmsGrant) isFor(c *call) bool {
	var in retireGrantIn
	return json.Unmarshal(c.body, &in) == nil && (in.GrantID == g.ID || slices.Contains(g.tokens, in.GrantToken))
}

// is says whether an ARN is the principal's own or that of its role.
func (p principal) is(arn string) bool {
	return arn != "" && (arn == p.arn || p.role != "" && isRoleOf(arn, p))
}

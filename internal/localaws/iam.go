package localaws

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// iamState is the identities of all accounts; Server.mu guards it.
type iamState struct {
	accounts    map[string]*iamAccount
	credentials map[string]*credential // by access key id
}

// An iamAccount is one account's users, roles, policies and instance profiles, by name.
type iamAccount struct {
	id       string
	users    map[string]*iamUser
	roles    map[string]*iamRole
	policies map[string]*managedPolicy // by ARN; AWS's own are in awsPolicies
	profiles map[string]*instanceProfile
}

// A credential is an access key and whom it stands for.
type credential struct {
	id, secret string
	token      string    // of temporary credentials
	expires    time.Time // zero: never
	who        principal
}

// grants is what a user or a role has been given.
type grants struct {
	inline   map[string]*inlinePolicy
	attached map[string]time.Time // by policy ARN, when
	boundary string               // ARN of a managed policy, or empty
}

type inlinePolicy struct {
	text  string
	doc   *policyDocument
	since time.Time
}

type iamUser struct {
	grants
	name, path, arn, id string
	created             time.Time
}

func newGrants() grants {
	return grants{inline: map[string]*inlinePolicy{}, attached: map[string]time.Time{}}
}

// newIAMState has a user builder in both accounts, and the role by which an
// organization's first account administers the others. builderPolicy is what
// builder of the first account may do; empty means everything.
func newIAMState(builderPolicy string, now time.Time) (*iamState, error) {
	st := &iamState{accounts: map[string]*iamAccount{}, credentials: map[string]*credential{}}
	for _, id := range []string{DefaultAccount, OtherAccount} {
		st.accounts[id] = &iamAccount{
			id:       id,
			users:    map[string]*iamUser{},
			roles:    map[string]*iamRole{},
			policies: map[string]*managedPolicy{},
			profiles: map[string]*instanceProfile{},
		}
		st.addBuilder(id, now)
	}
	if err := st.addOrganizationRole(now); err != nil {
		return nil, err
	}
	if builderPolicy == "" {
		return st, nil
	}
	doc, err := parsePolicy(builderPolicy)
	if err != nil {
		return nil, err
	}
	if err := doc.checkIdentity(); err != nil {
		return nil, err
	}
	builder := st.accounts[DefaultAccount].users[builderName]
	clear(builder.attached)
	builder.inline["caller"] = &inlinePolicy{text: builderPolicy, doc: doc}
	return st, nil
}

const (
	builderName      = "builder"
	organizationRole = "OrganizationAccountAccessRole"
)

func (st *iamState) addBuilder(account string, now time.Time) {
	u := &iamUser{
		grants:  newGrants(),
		name:    builderName,
		path:    "/",
		arn:     "arn:aws:iam::" + account + ":user/" + builderName,
		id:      newUniqueID("AIDA"),
		created: now,
	}
	u.attached[awsPolicyPrefix+"AdministratorAccess"] = now
	st.accounts[account].users[u.name] = u
	key := &credential{id: newUniqueID("AKIA")[:20], secret: newSecret(40)}
	key.who = principal{account: account, arn: u.arn, userID: u.id, accessKeyID: key.id, user: u.name}
	st.credentials[key.id] = key
}

func (st *iamState) addOrganizationRole(now time.Time) error {
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` +
		DefaultAccount + `:root"},"Action":"sts:AssumeRole"}]}`
	doc, err := parsePolicy(trust)
	if err != nil {
		return err
	}
	role := newRole(OtherAccount, organizationRole, "/", now)
	role.trustText, role.trust, role.visibleAt = trust, doc, now
	role.attached[awsPolicyPrefix+"AdministratorAccess"] = now
	st.accounts[OtherAccount].roles[role.name] = role
	return nil
}

func (st *iamState) credential(accessKeyID string) *credential { return st.credentials[accessKeyID] }

// keyOf is the long-lived credential of an account's builder.
func (st *iamState) keyOf(account string) *credential {
	for _, key := range st.credentials {
		if key.token == "" && key.who.account == account {
			return key
		}
	}
	return nil
}

// account is the caller's identities.
func (c *call) account() *iamAccount { return c.server.iam.accounts[c.caller.account] }

// newUniqueID is an IAM id: a prefix of four letters and 17 characters.
func newUniqueID(prefix string) string {
	var random [11]byte
	_, _ = rand.Read(random[:]) // never fails
	return prefix + base32.StdEncoding.EncodeToString(random[:])[:17]
}

// newSecret is n characters that nobody can guess.
func newSecret(n int) string {
	random := make([]byte, n)
	_, _ = rand.Read(random) // never fails
	return base64.StdEncoding.EncodeToString(random)[:n]
}

func noSuchEntity(format string, args ...any) *apiError {
	e := refuse("NoSuchEntity", format, args...)
	e.status = http.StatusNotFound
	return e
}

func conflict(code, format string, args ...any) *apiError {
	e := refuse(code, format, args...)
	e.status = http.StatusConflict
	return e
}

// iamLeftovers is what somebody has created and not deleted.
func (s *Server) iamLeftovers() []string {
	var left []string
	for _, account := range slices.Sorted(maps.Keys(s.iam.accounts)) {
		a := s.iam.accounts[account]
		for _, name := range slices.Sorted(maps.Keys(a.profiles)) {
			left = append(left, "iam instance profile "+a.profiles[name].arn)
		}
		for _, arn := range slices.Sorted(maps.Keys(a.policies)) {
			left = append(left, "iam policy "+arn)
		}
		for _, name := range slices.Sorted(maps.Keys(a.roles)) {
			if name != organizationRole {
				left = append(left, "iam role "+a.roles[name].arn)
			}
		}
	}
	return left
}

// nameOf is what follows the last slash or colon of an ARN.
func nameOf(arn string) string { return arn[strings.LastIndexAny(arn, "/:")+1:] }

package localaws

import (
	"strings"
	"time"
)

// kmsOperations is every action of KMS that this server answers.
func (s *Server) kmsOperations() map[string]operation {
	return map[string]operation{
		"CreateKey":                       jsonOp(createKey),
		"DescribeKey":                     jsonOp(describeKey),
		"ListKeys":                        jsonOp(listKeys),
		"PutKeyPolicy":                    jsonOp(putKeyPolicy),
		"GetKeyPolicy":                    jsonOp(getKeyPolicy),
		"EnableKey":                       jsonOp(enableKey),
		"DisableKey":                      jsonOp(disableKey),
		"CancelKeyDeletion":               jsonOp(cancelKeyDeletion),
		"ScheduleKeyDeletion":             jsonOp(scheduleKeyDeletion),
		"CreateAlias":                     jsonOp(createAlias),
		"DeleteAlias":                     jsonOp(deleteAlias),
		"ListAliases":                     jsonOp(listAliases),
		"CreateGrant":                     jsonOp(createGrant),
		"ListGrants":                      jsonOp(listGrants),
		"ListRetirableGrants":             jsonOp(listRetirableGrants),
		"RetireGrant":                     jsonOp(retireGrant),
		"RevokeGrant":                     jsonOp(revokeGrant),
		"GenerateDataKey":                 jsonOp(generateDataKey),
		"GenerateDataKeyWithoutPlaintext": jsonOp(generateDataKeyWithoutPlaintext),
		"Encrypt":                         jsonOp(kmsEncrypt),
		"Decrypt":                         jsonOp(kmsDecrypt),
	}
}

type kmsTag struct {
	TagKey   string `required:"true"`
	TagValue string
}

type keyMetadata struct {
	AWSAccountID          string `json:"AWSAccountId"`
	KeyID                 string `json:"KeyId"`
	Arn                   string
	CreationDate          epochSeconds
	Enabled               bool
	Description           string
	KeyUsage              string
	KeyState              string
	DeletionDate          *epochSeconds `json:",omitempty"`
	Origin                string
	KeyManager            string
	CustomerMasterKeySpec string
	KeySpec               string
	EncryptionAlgorithms  []string
	MultiRegion           bool
}

func (k *kmsKey) metadata() keyMetadata {
	m := keyMetadata{
		AWSAccountID:          k.Account,
		KeyID:                 k.ID,
		Arn:                   k.ARN,
		CreationDate:          epochSeconds(k.created),
		Enabled:               k.Enabled,
		Description:           k.description,
		KeyUsage:              "ENCRYPT_DECRYPT",
		KeyState:              "Enabled",
		Origin:                "AWS_KMS",
		KeyManager:            k.manager,
		CustomerMasterKeySpec: "SYMMETRIC_DEFAULT",
		KeySpec:               "SYMMETRIC_DEFAULT",
		EncryptionAlgorithms:  []string{"SYMMETRIC_DEFAULT"},
	}
	if !k.Enabled {
		m.KeyState = "Disabled"
	}
	if !k.deletion.IsZero() {
		date := epochSeconds(k.deletion)
		m.KeyState, m.DeletionDate = "PendingDeletion", &date
	}
	return m
}

type createKeyIn struct {
	Description string
	KeyUsage    string
	KeySpec     string
	Tags        []kmsTag
	Policy      string
}

type keyOut struct{ KeyMetadata keyMetadata }

func createKey(c *call, in *createKeyIn) (*keyOut, error) {
	if in.KeyUsage != "" && in.KeyUsage != "ENCRYPT_DECRYPT" || in.KeySpec != "" && in.KeySpec != "SYMMETRIC_DEFAULT" {
		return nil, refuse("UnsupportedOperationException", "only symmetric keys for encryption are served here")
	}
	key := c.server.kmsPlace(c.caller.account, c.region).newKey(c.caller.account, c.region, c.now)
	key.description, key.tags = in.Description, in.Tags
	if in.Policy != "" {
		if err := key.setPolicy(in.Policy); err != nil {
			delete(c.server.kmsPlace(c.caller.account, c.region).keys, key.ID)
			return nil, err
		}
	}
	return &keyOut{key.metadata()}, nil
}

type keyIDIn struct {
	KeyID string `json:"KeyId" required:"true"`
}

func describeKey(c *call, in *keyIDIn) (*keyOut, error) {
	key, err := c.keyNamed(in.KeyID)
	if err != nil {
		return nil, err
	}
	return &keyOut{key.metadata()}, nil
}

type listKeysIn struct {
	Limit  *int64
	Marker *string
}

type keyListEntry struct {
	KeyID  string `json:"KeyId"`
	KeyArn string
}

type listKeysOut struct {
	Keys       []keyListEntry
	Truncated  bool
	NextMarker *string `json:",omitempty"`
}

func listKeys(c *call, in *listKeysIn) (*listKeysOut, error) {
	all := []keyListEntry{}
	place := c.server.kmsPlace(c.caller.account, c.region)
	for _, id := range sortedKeys(place.keys) {
		all = append(all, keyListEntry{id, place.keys[id].ARN})
	}
	page, next, err := paginate(c, all, in.Limit, in.Marker, 1, 1000)
	return &listKeysOut{page, next != nil, next}, err
}

func enableKey(c *call, in *keyIDIn) (*struct{}, error)  { return nil, c.enable(in.KeyID, true) }
func disableKey(c *call, in *keyIDIn) (*struct{}, error) { return nil, c.enable(in.KeyID, false) }

func (c *call) enable(name string, on bool) error {
	key, err := c.keyByID(name)
	if err != nil {
		return err
	}
	if !key.deletion.IsZero() {
		return refuse("KMSInvalidStateException", "%s is pending deletion.", key.ARN)
	}
	key.Enabled = on
	return nil
}

type scheduleKeyDeletionIn struct {
	KeyID               string `json:"KeyId" required:"true"`
	PendingWindowInDays *int64
}

type scheduleKeyDeletionOut struct {
	KeyID               string `json:"KeyId"`
	DeletionDate        epochSeconds
	KeyState            string
	PendingWindowInDays int64
}

func scheduleKeyDeletion(c *call, in *scheduleKeyDeletionIn) (*scheduleKeyDeletionOut, error) {
	if _, err := c.keyByID(in.KeyID); err != nil {
		return nil, err
	}
	key, err := c.usableKey(in.KeyID)
	if err != nil {
		return nil, err
	}
	days := int64(30)
	if in.PendingWindowInDays != nil {
		days = *in.PendingWindowInDays
	}
	if days < 7 {
		return nil, c.unfit("Value '%d' at 'pendingWindowInDays' failed to satisfy constraint: Member must have value greater than or equal to 7", days)
	}
	if days > 30 {
		return nil, c.unfit("Value '%d' at 'pendingWindowInDays' failed to satisfy constraint: Member must have value less than or equal to 30", days)
	}
	key.deletion, key.Enabled = c.now.Add(time.Duration(days)*24*time.Hour), false
	return &scheduleKeyDeletionOut{key.ARN, epochSeconds(key.deletion), "PendingDeletion", days}, nil
}

// keyByID finds a key by its id or ARN: what changes a key takes no alias.
func (c *call) keyByID(name string) (*kmsKey, error) {
	if strings.Contains(name, "alias/") {
		return nil, refuse("NotFoundException", "Invalid keyId %s", name)
	}
	return c.keyNamed(name)
}

type cancelDeletionOut struct {
	KeyID string `json:"KeyId"`
}

// cancelKeyDeletion leaves the key disabled.
func cancelKeyDeletion(c *call, in *keyIDIn) (*cancelDeletionOut, error) {
	key, err := c.keyByID(in.KeyID)
	if err != nil {
		return nil, err
	}
	if key.deletion.IsZero() {
		return nil, refuse("KMSInvalidStateException", "%s is not pending deletion.", key.ARN)
	}
	key.deletion = time.Time{}
	return &cancelDeletionOut{key.ARN}, nil
}

func checkAliasName(name string) error {
	if !strings.HasPrefix(name, "alias/") {
		return refuse("ValidationException", "Alias must start with the prefix \"alias/\". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html")
	}
	return nil
}

type createAliasIn struct {
	AliasName   string `required:"true"`
	TargetKeyID string `json:"TargetKeyId" required:"true"`
}

func createAlias(c *call, in *createAliasIn) (*struct{}, error) {
	if err := checkAliasName(in.AliasName); err != nil {
		return nil, err
	}
	if strings.HasPrefix(in.AliasName, "alias/aws/") {
		return nil, refuse("NotAuthorizedException", "")
	}
	if strings.Contains(in.TargetKeyID, "alias/") {
		return nil, refuse("ValidationException", "Aliases must refer to keys. Not aliases")
	}
	key, err := c.keyNamed(in.TargetKeyID)
	if err != nil {
		return nil, err
	}
	place := c.server.kmsPlace(c.caller.account, c.region)
	if place.aliases[in.AliasName] != nil {
		return nil, refuse("AlreadyExistsException", "An alias with the name arn:aws:kms:%s:%s:%s already exists", c.region, c.caller.account, in.AliasName)
	}
	place.aliases[in.AliasName] = key
	return nil, nil
}

type deleteAliasIn struct {
	AliasName string `required:"true"`
}

func deleteAlias(c *call, in *deleteAliasIn) (*struct{}, error) {
	if err := checkAliasName(in.AliasName); err != nil {
		return nil, err
	}
	if _, err := c.keyNamed(in.AliasName); err != nil {
		return nil, err
	}
	delete(c.server.kmsPlace(c.caller.account, c.region).aliases, in.AliasName)
	return nil, nil
}

type listAliasesIn struct {
	KeyID  string `json:"KeyId"`
	Limit  *int64
	Marker *string
}

type aliasEntry struct {
	AliasName    string
	AliasArn     string
	TargetKeyID  string `json:"TargetKeyId"`
	CreationDate epochSeconds
}

type listAliasesOut struct {
	Aliases    []aliasEntry
	Truncated  bool
	NextMarker *string `json:",omitempty"`
}

func listAliases(c *call, in *listAliasesIn) (*listAliasesOut, error) {
	place := c.server.kmsPlace(c.caller.account, c.region)
	all := []aliasEntry{}
	for _, name := range place.aliasNames() {
		key := place.aliases[name]
		if in.KeyID != "" && in.KeyID != key.ID && in.KeyID != key.ARN {
			continue
		}
		arn := "arn:aws:kms:" + c.region + ":" + c.caller.account + ":" + name
		all = append(all, aliasEntry{name, arn, key.ID, epochSeconds(key.created)})
	}
	page, next, err := paginate(c, all, in.Limit, in.Marker, 1, 100)
	return &listAliasesOut{page, next != nil, next}, err
}

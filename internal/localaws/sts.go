package localaws

import (
	"regexp"
	"strings"
	"time"
)

// stsOperations is every action of STS that this server answers.
func (s *Server) stsOperations() map[string]operation {
	return map[string]operation{
		"GetCallerIdentity":          queryOp(getCallerIdentity),
		"GetAccessKeyInfo":           queryOp(getAccessKeyInfo),
		"AssumeRole":                 queryOp(assumeRole),
		"GetSessionToken":            queryOp(getSessionToken),
		"DecodeAuthorizationMessage": queryOp(decodeAuthorizationMessage),
	}
}

type callerIdentity struct {
	UserID  string `xml:"UserId"`
	Account string
	Arn     string
}

func getCallerIdentity(c *call, _ *struct{}) (*callerIdentity, error) {
	return &callerIdentity{c.caller.userID, c.caller.account, c.caller.arn}, nil
}

type getAccessKeyInfoIn struct {
	AccessKeyID string `query:"AccessKeyId,required"`
}

type getAccessKeyInfoOut struct{ Account string }

func getAccessKeyInfo(c *call, in *getAccessKeyInfoIn) (*getAccessKeyInfoOut, error) {
	key := c.server.iam.credential(in.AccessKeyID)
	if key == nil {
		return nil, c.unfit("Value '%s' at 'accessKeyId' failed to satisfy constraint: Member must be a known access key", in.AccessKeyID)
	}
	return &getAccessKeyInfoOut{key.who.account}, nil
}

type credentialsView struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      time.Time
}

// issue makes temporary credentials.
func (c *call) issue(who principal, life time.Duration) credentialsView {
	key := &credential{
		id:      newUniqueID("ASIA")[:20],
		secret:  newSecret(40),
		token:   newSecret(240),
		expires: c.now.Add(life).Truncate(time.Second),
		who:     who,
	}
	key.who.accessKeyID = key.id
	c.server.iam.credentials[key.id] = key
	return credentialsView{key.id, key.secret, key.token, key.expires}
}

type getSessionTokenIn struct {
	DurationSeconds *int64 `query:"DurationSeconds"`
	SerialNumber    string `query:"SerialNumber"`
	TokenCode       string `query:"TokenCode"`
}

type getSessionTokenOut struct{ Credentials credentialsView }

func getSessionToken(c *call, in *getSessionTokenIn) (*getSessionTokenOut, error) {
	if c.caller.user == "" || strings.HasPrefix(c.caller.accessKeyID, "ASIA") {
		return nil, stsDenied("Cannot call GetSessionToken with session credentials")
	}
	if in.SerialNumber != "" || in.TokenCode != "" {
		return nil, stsDenied("MultiFactorAuthentication failed with invalid MFA one time pass code. ")
	}
	life, err := c.duration(in.DurationSeconds, 43200, 900, 129600)
	if err != nil {
		return nil, err
	}
	return &getSessionTokenOut{c.issue(c.caller, life)}, nil
}

func stsDenied(message string) *apiError {
	return &apiError{code: "AccessDenied", message: message, status: 403}
}

// duration checks a session's length in seconds.
func (c *call) duration(asked *int64, usual, lo, hi int64) (time.Duration, error) {
	seconds := usual
	if asked != nil {
		seconds = *asked
	}
	if seconds < lo {
		return 0, c.unfit("Value '%d' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to %d", seconds, lo)
	}
	if seconds > hi {
		return 0, c.unfit("Value '%d' at 'durationSeconds' failed to satisfy constraint: Member must have value less than or equal to %d", seconds, hi)
	}
	return time.Duration(seconds) * time.Second, nil
}

type decodeAuthorizationIn struct {
	EncodedMessage string `query:"EncodedMessage,required"`
}

type decodeAuthorizationOut struct{ DecodedMessage string }

func decodeAuthorizationMessage(_ *call, in *decodeAuthorizationIn) (*decodeAuthorizationOut, error) {
	message, ok := unsealed(in.EncodedMessage)
	if !ok {
		return nil, refuse("InvalidAuthorizationMessageException", "Message is not valid")
	}
	return &decodeAuthorizationOut{message}, nil
}

var sessionNamePattern = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

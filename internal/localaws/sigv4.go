package localaws

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	sigAlgorithm  = "AWS4-HMAC-SHA256"
	sigTimeLayout = "20060102T150405Z"
	sigMaxSkew    = 5 * time.Minute
	sigMaxExpires = 7 * 24 * time.Hour
)

// A signature is what a request says about who signed it, from its
// Authorization header or from its query (a presigned URL).
type signature struct {
	accessKeyID   string
	date          string // YYYYMMDD of the credential scope
	region        string
	service       string
	signedHeaders []string // lower case, in the request's order
	hex           string

	time      time.Time
	timeText  string
	expires   time.Duration // 0 unless presigned
	token     string        // of temporary credentials
	presigned bool
}

// A sigFault is why a request's signature is not accepted. Each service has
// its own words for each (sigv4_refusal.go).
type sigFault struct {
	kind   sigFaultKind
	detail string
}

type sigFaultKind int

const (
	sigMissing    sigFaultKind = iota // not signed at all
	sigIncomplete                     // signed, but something that belongs to it is absent
	sigUnknownKey                     // no such access key, or not with this session token
	sigMismatch                       // signed with another secret, or changed on the way
	sigSkewed                         // the clock is off by more than five minutes
	sigExpired                        // the temporary credentials have run out
	sigElsewhere                      // meant for a region of AWS's that this server has not
	sigScope                          // the credential scope names another date, region or service
)

func (f *sigFault) Error() string { return f.detail }

func sigFaultf(kind sigFaultKind, format string, args ...any) *sigFault {
	return &sigFault{kind: kind, detail: fmt.Sprintf(format, args...)}
}

// verifySignature says who signed the request; its error is an *apiError in
// the words of the service. body is as it was sent. A websocket's upgrade is a
// request without a body.
func (s *Server) verifySignature(r *http.Request, body []byte, service string) (principal, error) {
	sig, fault := parseSignature(r)
	if fault == nil && sig.service != service {
		fault = sigFaultf(sigScope, "Credential should be scoped to correct service: '%s'.", service)
	}
	if fault == nil {
		var who principal
		if who, fault = s.authenticate(r, body, sig); fault == nil {
			return who, nil
		}
	}
	return principal{}, refuseSignature(service, fault)
}

// authenticate checks a parsed signature against the server's credentials,
// its clock and the request itself.
func (s *Server) authenticate(r *http.Request, body []byte, sig *signature) (principal, *sigFault) {
	now := s.clock.Now()
	s.mu.Lock()
	cred := s.iam.credential(sig.accessKeyID)
	s.mu.Unlock()
	if cred == nil {
		return principal{}, sigFaultf(sigUnknownKey, "The security token included in the request is invalid.")
	}
	if fault := s.checkScope(sig); fault != nil {
		return principal{}, fault
	}
	if fault := sig.checkTime(now); fault != nil {
		return principal{}, fault
	}
	if subtle.ConstantTimeCompare([]byte(cred.token), []byte(sig.token)) != 1 {
		return principal{}, sigFaultf(sigUnknownKey, "The security token included in the request is invalid.")
	}
	want := sig.compute(r, body, cred.secret)
	if subtle.ConstantTimeCompare([]byte(want), []byte(sig.hex)) != 1 {
		return principal{}, sigFaultf(sigMismatch, "The request signature we calculated does not match the signature "+
			"you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	if !cred.expires.IsZero() && !now.Before(cred.expires) {
		return principal{}, sigFaultf(sigExpired, "The security token included in the request is expired")
	}
	return cred.who, nil
}

func (s *Server) checkScope(sig *signature) *sigFault {
	global := sig.service == "iam" && sig.region == "us-east-1"
	if !global && !slices.Contains(s.regions, sig.region) {
		if _, known := regionZones[sig.region]; known {
			return sigFaultf(sigElsewhere, "localaws does not have the region %s; Options.Regions or localaws -regions adds it", sig.region)
		}
		return sigFaultf(sigScope, "Credential should be scoped to a valid region.")
	}
	if sig.date != sig.time.Format("20060102") {
		return sigFaultf(sigScope, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date "+
			"from HTTP: '%s' != '%s', from '%s'.", sig.date, sig.time.Format("20060102"), sig.timeText)
	}
	return nil
}

func (sig *signature) checkTime(now time.Time) *sigFault {
	text := func(t time.Time) string { return t.Format(sigTimeLayout) }
	if sig.presigned {
		if end := sig.time.Add(sig.expires); now.After(end) {
			return sigFaultf(sigSkewed, "Signature expired: %s is now earlier than %s (%s - %d min.)",
				text(sig.time), text(now.Add(-sig.expires)), text(now), int(sig.expires.Minutes()))
		}
	} else if now.Sub(sig.time) > sigMaxSkew {
		return sigFaultf(sigSkewed, "Signature expired: %s is now earlier than %s (%s - 5 min.)",
			text(sig.time), text(now.Add(-sigMaxSkew)), text(now))
	}
	if sig.time.Sub(now) > sigMaxSkew {
		return sigFaultf(sigSkewed, "Signature not yet current: %s is still later than %s (%s + 5 min.)",
			text(sig.time), text(now.Add(sigMaxSkew)), text(now))
	}
	return nil
}

// compute is the signature that the request should have.
func (sig *signature) compute(r *http.Request, body []byte, secret string) string {
	scope := strings.Join([]string{sig.date, sig.region, sig.service, "aws4_request"}, "/")
	toSign := strings.Join([]string{
		sigAlgorithm, sig.timeText, scope, hexSHA256([]byte(sig.canonicalRequest(r, body))),
	}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{sig.date, sig.region, sig.service, "aws4_request"} {
		key = hmacSHA256(key, part)
	}
	return hex.EncodeToString(hmacSHA256(key, toSign))
}

func (sig *signature) canonicalRequest(r *http.Request, body []byte) string {
	var headers strings.Builder
	for _, name := range sig.signedHeaders {
		headers.WriteString(name + ":" + canonicalHeader(r, name) + "\n")
	}
	return strings.Join([]string{
		r.Method,
		canonicalPath(r.URL),
		canonicalQuery(r.URL.Query()),
		headers.String(),
		strings.Join(sig.signedHeaders, ";"),
		hexSHA256(body),
	}, "\n")
}

// canonicalHeader is a header's values without needless spaces. net/http keeps
// the host, and some lengths, outside the header map.
func canonicalHeader(r *http.Request, name string) string {
	values := r.Header.Values(name)
	switch {
	case name == "host":
		values = []string{r.Host}
	case name == "content-length" && len(values) == 0:
		values = []string{fmt.Sprint(r.ContentLength)}
	}
	trimmed := make([]string, len(values))
	for i, value := range values {
		trimmed[i] = strings.Join(strings.Fields(value), " ")
	}
	return strings.Join(trimmed, ",")
}

// canonicalPath is the path as it was sent, each segment encoded once more, as
// every service but S3 has it.
func canonicalPath(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		return "/"
	}
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segments[i] = awsEscape(segment)
	}
	return strings.Join(segments, "/")
}

// canonicalQuery is the query in order of names and values, but for the
// signature itself.
func canonicalQuery(query url.Values) string {
	var pairs []string
	for name, values := range query {
		if name == "X-Amz-Signature" {
			continue
		}
		for _, value := range values {
			pairs = append(pairs, awsEscape(name)+"="+awsEscape(value))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// awsEscape percent-encodes all but RFC 3986's unreserved characters.
func awsEscape(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func hmacSHA256(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

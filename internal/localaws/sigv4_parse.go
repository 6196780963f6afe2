package localaws

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parseSignature reads a request's signature from its header or its query.
func parseSignature(r *http.Request) (*signature, *sigFault) {
	query := r.URL.Query()
	header := r.Header.Get("Authorization")
	switch {
	case header != "":
		return parseAuthorization(r, header)
	case query.Has("X-Amz-Algorithm") || query.Has("X-Amz-Signature"):
		return parsePresigned(query)
	default:
		return nil, sigFaultf(sigMissing, "Missing Authentication Token")
	}
}

func parseAuthorization(r *http.Request, header string) (*signature, *sigFault) {
	algorithm, rest, _ := strings.Cut(header, " ")
	if algorithm != sigAlgorithm {
		return nil, sigFaultf(sigIncomplete, "Unsupported AWS 'algorithm': '%s'.", algorithm)
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		parts[name] = value
	}
	for _, name := range []string{"Credential", "Signature", "SignedHeaders"} {
		if parts[name] == "" {
			return nil, sigFaultf(sigIncomplete, "Authorization header requires '%s' parameter.", name)
		}
	}
	sig := &signature{hex: parts["Signature"], token: r.Header.Get("X-Amz-Security-Token")}
	if fault := sig.setTime(headerTime(r)); fault != nil {
		return nil, fault
	}
	if fault := sig.setCredential(parts["Credential"]); fault != nil {
		return nil, fault
	}
	if fault := sig.setSignedHeaders(parts["SignedHeaders"]); fault != nil {
		return nil, fault
	}
	return sig, sig.checkSigned(r)
}

// headerTime is X-Amz-Date, or Date in the same form.
func headerTime(r *http.Request) string {
	if text := r.Header.Get("X-Amz-Date"); text != "" {
		return text
	}
	if t, err := http.ParseTime(r.Header.Get("Date")); err == nil {
		return t.UTC().Format(sigTimeLayout)
	}
	return r.Header.Get("Date")
}

func parsePresigned(query url.Values) (*signature, *sigFault) {
	for _, name := range []string{
		"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date",
	} {
		if query.Get(name) == "" {
			return nil, sigFaultf(sigIncomplete, "AWS query-string parameters must include '%s'. Re-examine the query-string parameters.", name)
		}
	}
	if a := query.Get("X-Amz-Algorithm"); a != sigAlgorithm {
		return nil, sigFaultf(sigIncomplete, "Unsupported AWS 'algorithm': '%s'.", a)
	}
	sig := &signature{
		presigned: true,
		hex:       query.Get("X-Amz-Signature"),
		token:     query.Get("X-Amz-Security-Token"),
		expires:   15 * time.Minute, // where X-Amz-Expires is optional
	}
	if text := query.Get("X-Amz-Expires"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 1 || time.Duration(seconds)*time.Second > sigMaxExpires {
			return nil, sigFaultf(sigIncomplete, "X-Amz-Expires must be between 1 and 604800 seconds")
		}
		sig.expires = time.Duration(seconds) * time.Second
	}
	if fault := sig.setTime(query.Get("X-Amz-Date")); fault != nil {
		return nil, fault
	}
	if fault := sig.setCredential(query.Get("X-Amz-Credential")); fault != nil {
		return nil, fault
	}
	return sig, sig.setSignedHeaders(query.Get("X-Amz-SignedHeaders"))
}

func (sig *signature) setTime(text string) *sigFault {
	if text == "" {
		return sigFaultf(sigIncomplete, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	t, err := time.Parse(sigTimeLayout, text)
	if err != nil {
		return sigFaultf(sigIncomplete, "Date must be in ISO-8601 'basic format'. Got '%s'.", text)
	}
	sig.time, sig.timeText = t, text
	return nil
}

func (sig *signature) setCredential(text string) *sigFault {
	parts := strings.Split(text, "/")
	if len(parts) != 5 {
		return sigFaultf(sigIncomplete, "Credential must have exactly 5 slash-delimited elements, "+
			"e.g. keyid/date/region/service/term, got '%s'", text)
	}
	if parts[4] != "aws4_request" {
		return sigFaultf(sigScope, "Credential should be scoped with a valid terminator: 'aws4_request', not '%s'.", parts[4])
	}
	sig.accessKeyID, sig.date, sig.region, sig.service = parts[0], parts[1], parts[2], parts[3]
	return nil
}

func (sig *signature) setSignedHeaders(text string) *sigFault {
	sig.signedHeaders = strings.Split(strings.ToLower(text), ";")
	if !slices.Contains(sig.signedHeaders, "host") {
		return sigFaultf(sigMismatch, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization header.")
	}
	if !slices.IsSorted(sig.signedHeaders) {
		return sigFaultf(sigMismatch, "SignedHeaders must be sorted")
	}
	return nil
}

// checkSigned wants every x-amz header that the request carries to be signed,
// so that none can be put in on the way.
func (sig *signature) checkSigned(r *http.Request) *sigFault {
	for name := range r.Header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "x-amz-") && !slices.Contains(sig.signedHeaders, name) {
			return sigFaultf(sigMismatch, "There were headers present in the request which were not signed: %s", name)
		}
	}
	return nil
}

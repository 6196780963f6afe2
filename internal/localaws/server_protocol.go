package localaws

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// How each service is spoken to: its API version or target prefix.
var (
	queryVersions = map[string]string{
		"ec2": "2016-11-15",
		"iam": "2010-05-08",
		"sts": "2011-06-15",
	}
	jsonTargets = map[string]string{
		"ssm": "AmazonSSM",
		"kms": "TrentService",
	}
)

// serviceOf guesses the service of a request before its signature is known to
// be good, so that a refusal can have the service's form.
func serviceOf(r *http.Request, raw []byte) string {
	if sig, fault := parseSignature(r); fault == nil && (queryVersions[sig.service] != "" || jsonTargets[sig.service] != "") {
		return sig.service
	}
	prefix, _, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	for service, target := range jsonTargets {
		if prefix == target {
			return service
		}
	}
	form, _ := url.ParseQuery(string(raw))
	for service, version := range queryVersions {
		if form.Get("Version") == version || r.URL.Query().Get("Version") == version {
			return service
		}
	}
	return "ec2"
}

// parse reads the action and its parameters in the service's protocol.
func (c *call) parse(r *http.Request, raw []byte) error {
	body, err := unzip(r, raw)
	if err != nil {
		return err
	}
	if r.URL.Path != "/" && r.URL.Path != "" {
		return &apiError{code: "UnknownOperationException", message: "There is nothing at " + r.URL.Path, status: http.StatusNotFound}
	}
	if prefix, ok := jsonTargets[c.service]; ok {
		return c.parseJSON(r, body, prefix)
	}
	return c.parseQuery(r, body)
}

func (c *call) parseJSON(r *http.Request, body []byte, prefix string) error {
	target, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if r.Method != http.MethodPost || target != prefix || action == "" {
		return refuse("UnknownOperationException", "")
	}
	c.action, c.body = action, json.RawMessage(body)
	return nil
}

func (c *call) parseQuery(r *http.Request, body []byte) error {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return refuse("MalformedQueryString", "The query string contains a syntax error")
	}
	for name, values := range r.URL.Query() {
		if !strings.HasPrefix(name, "X-Amz-") {
			form[name] = append(form[name], values...)
		}
	}
	c.form, c.action = form, form.Get("Action")
	if c.action == "" {
		return refuse("MissingAction", "The request must contain the parameter Action")
	}
	if version := form.Get("Version"); version != queryVersions[c.service] {
		if c.service == "ec2" && earlierVersion.MatchString(version) {
			return notHere("the version %s of EC2's API", version)
		}
		if c.service == "ec2" {
			return refuse("NoSuchVersion", "The requested version (%s) of service AmazonEC2 does not exist", version)
		}
		return refuse("InvalidAction", "Could not find operation %s for version %s", c.action, orNone(version))
	}
	return nil
}

// earlierVersion is a version of EC2's API before the present one.
var earlierVersion = regexp.MustCompile(`^20(0[6-9]|1[0-6])-[0-9]{2}-[0-9]{2}$`)

func orNone(version string) string {
	if version == "" {
		return "NO_VERSION_SPECIFIED"
	}
	return version
}

// unknownAction refuses an action that is not served: one that AWS has in
// other words than one that it has not.
func unknownAction(c *call) error {
	if models()[c.service].has(c.action) {
		return notHere("the action %s:%s", c.service, c.action)
	}
	switch c.service {
	case "ec2":
		return refuse("InvalidAction", "The action %s is not valid for this web service.", c.action)
	case "iam", "sts":
		return refuse("InvalidAction", "Could not find operation %s for version %s", c.action, queryVersions[c.service])
	default:
		return refuse("UnknownOperationException", "%s is not an operation of this service", c.action)
	}
}

// apiErrorOf is err as the service tells it; one that is no apiError is a
// defect of this server and told as AWS tells its own.
func apiErrorOf(err error) *apiError {
	var refusal *apiError
	if errors.As(err, &refusal) {
		return refusal
	}
	return &apiError{code: "InternalFailure", message: "An internal error has occurred: " + err.Error(), status: http.StatusInternalServerError}
}

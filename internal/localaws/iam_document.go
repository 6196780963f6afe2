package localaws

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// A policyDocument is a policy as IAM's grammar has it.
type policyDocument struct {
	Version   string
	ID        string `json:"Id"`
	Statement statements
}

// A statement is one rule of a policy. Of each pair X and NotX at most one is set.
type statement struct {
	Sid          string
	Effect       string
	Principal    *principalSet
	NotPrincipal *principalSet
	Action       oneOrMore
	NotAction    oneOrMore
	Resource     oneOrMore
	NotResource  oneOrMore
	Condition    map[string]map[string]oneOrMore // operator, key, values
}

// statements may be written as one statement without brackets.
type statements []statement

// UnmarshalJSON reads one statement or a list of them, with exact members.
func (s *statements) UnmarshalJSON(text []byte) error {
	if text[0] != '[' {
		text = fmt.Appendf(nil, "[%s]", text)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode((*[]statement)(s))
}

// oneOrMore is a string, a bool, a number, or a list of those.
type oneOrMore []string

// UnmarshalJSON reads a scalar or a list of them.
func (o *oneOrMore) UnmarshalJSON(text []byte) error {
	if text[0] != '[' {
		text = fmt.Appendf(nil, "[%s]", text)
	}
	var items []any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&items); err != nil {
		return err
	}
	*o = oneOrMore{}
	for _, item := range items {
		switch item.(type) {
		case string, bool, json.Number:
			*o = append(*o, fmt.Sprint(item))
		default:
			return fmt.Errorf("a string is expected, not %T", item)
		}
	}
	return nil
}

// A principalSet is whom a statement of a trust policy means.
type principalSet struct {
	everyone bool
	byType   map[string]oneOrMore // AWS, Service, Federated
}

// UnmarshalJSON reads "*" or an object of lists.
func (p *principalSet) UnmarshalJSON(text []byte) error {
	if text[0] == '"' {
		var name string
		if err := json.Unmarshal(text, &name); err != nil {
			return err
		}
		if name != "*" {
			return fmt.Errorf("principal %q", name)
		}
		p.everyone = true
		return nil
	}
	return json.Unmarshal(text, &p.byType)
}

// parsePolicy reads a policy's text; what it says is checked by checkIdentity
// or checkTrust.
func parsePolicy(text string) (*policyDocument, error) {
	if len(text) == 0 || text[0] != '{' {
		return nil, malformedPolicy("This policy contains invalid Json")
	}
	var doc policyDocument
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		if json.Valid([]byte(text)) {
			return nil, malformedPolicy("Syntax errors in policy.")
		}
		return nil, malformedPolicy("This policy contains invalid Json")
	}
	if d.More() {
		return nil, malformedPolicy("This policy contains invalid Json")
	}
	return &doc, nil
}

func malformedPolicy(format string, args ...any) *apiError {
	return refuse("MalformedPolicyDocument", format, args...)
}

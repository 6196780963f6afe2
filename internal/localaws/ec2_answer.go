package localaws

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

// A set is a list as EC2 writes it: always there, even when empty.
type set[T any] struct {
	Items []T `xml:"item"`
}

func setOf[T any](items []T) set[T] { return set[T]{Items: items} }

// setFrom makes a set by converting each element.
func setFrom[S, T any](from []S, convert func(S) T) set[T] {
	var all set[T]
	for _, f := range from {
		all.Items = append(all.Items, convert(f))
	}
	return all
}

// done is the answer of an action that only succeeds.
type done struct {
	Return bool `xml:"return"`
}

var succeeded = &done{Return: true}

// itemError is why one of several things that an action was to do was not done.
type itemError struct {
	Code    string `xml:"code"`
	Message string `xml:"message"`
}

// dryRun is the parameter that every action of EC2 has.
type dryRun struct {
	DryRun *bool `query:"DryRun"`
}

// check refuses a dry run; it stands after all other checks of a handler.
func (d dryRun) check() error {
	if d.DryRun != nil && *d.DryRun {
		return &apiError{code: "DryRunOperation", message: "Request would have succeeded, but DryRun flag is set.", status: 412}
	}
	return nil
}

// page is how a list is asked for in parts.
type page struct {
	MaxResults *int64  `query:"MaxResults"`
	NextToken  *string `query:"NextToken"`
}

// pageMark begins what a token of EC2's says, so that nothing else is taken for one.
const pageMark = "ec2:page:"

// paged cuts the part out of all that the page asks for, and says where the next begins ("" at the end).
// least and most bound MaxResults.
func paged[T any](p page, least, most int64, all []T) ([]T, string, error) {
	start := 0
	if p.NextToken != nil && *p.NextToken != "" {
		raw, err := base64.StdEncoding.DecodeString(*p.NextToken)
		digits, whole := strings.CutPrefix(string(raw), pageMark)
		n, err2 := strconv.Atoi(digits)
		if err != nil || err2 != nil || !whole || n < 0 {
			return nil, "", refuse("InvalidParameterValue", "Unable to parse pagination token")
		}
		start = min(n, len(all))
	}
	end := len(all)
	if p.MaxResults != nil {
		switch n := *p.MaxResults; {
		case n < least:
			return nil, "", refuse("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value greater than %d.", n, least)
		case n > most:
			return nil, "", refuse("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value less than %d.", n, most)
		default:
			end = min(end, start+int(n))
		}
	}
	if end == len(all) {
		return all[start:], "", nil
	}
	return all[start:end], base64.StdEncoding.EncodeToString([]byte(pageMark + strconv.Itoa(end))), nil
}

// notBoth refuses ids together with MaxResults, as EC2 does.
func (p page) notBoth(ids []string, parameter string) error {
	if len(ids) > 0 && p.MaxResults != nil {
		return refuse("InvalidParameterCombination", "The parameter %s cannot be used with the parameter maxResults", parameter)
	}
	return nil
}

func valueOr[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

func isTrue(p *bool) bool { return p != nil && *p }

// refusedWith says whether err is a refusal with the code.
func refusedWith(err error, code string) bool {
	var refused *apiError
	return errors.As(err, &refused) && refused.code == code
}

func missing(parameter string) *apiError {
	return refuse("MissingParameter", "The request must contain the parameter %s", parameter)
}

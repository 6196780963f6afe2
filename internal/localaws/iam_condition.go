package localaws

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A comparison says whether a value of the request fits one of the policy.
type comparison func(policy, request string) bool

// A conditionTest is one operator: how it compares and how it treats several
// values and absent keys.
type conditionTest struct {
	compare  comparison
	negated  bool // NotEquals and its kin: no value of the policy may fit
	ifExists bool // true where the request has no such key
	every    bool // ForAllValues
	set      bool // ForAnyValue or ForAllValues
	null     bool
}

var comparisons = map[string]comparison{
	"StringEquals":             func(p, r string) bool { return p == r },
	"StringEqualsIgnoreCase":   strings.EqualFold,
	"StringLike":               matches,
	"ArnEquals":                matchesARN,
	"ArnLike":                  matchesARN,
	"Bool":                     strings.EqualFold,
	"BinaryEquals":             func(p, r string) bool { return p == r },
	"IpAddress":                inNetwork,
	"NumericEquals":            numeric(func(c int) bool { return c == 0 }),
	"NumericLessThan":          numeric(func(c int) bool { return c < 0 }),
	"NumericLessThanEquals":    numeric(func(c int) bool { return c <= 0 }),
	"NumericGreaterThan":       numeric(func(c int) bool { return c > 0 }),
	"NumericGreaterThanEquals": numeric(func(c int) bool { return c >= 0 }),
	"DateEquals":               dated(func(c int) bool { return c == 0 }),
	"DateLessThan":             dated(func(c int) bool { return c < 0 }),
	"DateLessThanEquals":       dated(func(c int) bool { return c <= 0 }),
	"DateGreaterThan":          dated(func(c int) bool { return c > 0 }),
	"DateGreaterThanEquals":    dated(func(c int) bool { return c >= 0 }),
}

var negations = map[string]string{
	"StringNotEquals":           "StringEquals",
	"StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
	"StringNotLike":             "StringLike",
	"ArnNotEquals":              "ArnEquals",
	"ArnNotLike":                "ArnLike",
	"NotIpAddress":              "IpAddress",
	"NumericNotEquals":          "NumericEquals",
	"DateNotEquals":             "DateEquals",
}

// conditionOperator reads an operator's name; known is false for one that IAM
// does not have.
func conditionOperator(name string) (test conditionTest, known bool) {
	if rest, ok := strings.CutPrefix(name, "ForAllValues:"); ok {
		test.every, test.set, name = true, true, rest
	} else if rest, ok := strings.CutPrefix(name, "ForAnyValue:"); ok {
		test.set, name = true, rest
	}
	name, test.ifExists = strings.CutSuffix(name, "IfExists")
	if name == "Null" {
		test.null = true
		return test, !test.set && !test.ifExists
	}
	if positive, ok := negations[name]; ok {
		test.negated, name = true, positive
	}
	test.compare, known = comparisons[name]
	return test, known
}

// meets says whether all conditions hold. An operator that is not known holds
// for nothing.
func (q question) meets(conditions map[string]map[string]oneOrMore) bool {
	for operator, keys := range conditions {
		test, known := conditionOperator(operator)
		if !known {
			return false
		}
		for key, values := range keys {
			if !q.holds(test, key, values) {
				return false
			}
		}
	}
	return true
}

func (q question) holds(test conditionTest, key string, policy []string) bool {
	request, present := q.context[strings.ToLower(key)]
	if test.null {
		return slices.ContainsFunc(policy, func(p string) bool { return strings.EqualFold(p, strconv.FormatBool(!present)) })
	}
	if !present {
		return test.ifExists || test.every || test.negated && !test.set
	}
	fits := func(value string) bool {
		some := slices.ContainsFunc(policy, func(p string) bool { return test.compare(q.expand(p), value) })
		return some != test.negated
	}
	if test.every || test.negated && !test.set {
		return !slices.ContainsFunc(request, func(value string) bool { return !fits(value) })
	}
	return slices.ContainsFunc(request, fits)
}

// matchesARN compares the six parts of ARNs one by one, each with wildcards.
func matchesARN(pattern, arn string) bool {
	if pattern == "*" {
		return true
	}
	want, have := strings.SplitN(pattern, ":", 6), strings.SplitN(arn, ":", 6)
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if !matches(want[i], have[i]) {
			return false
		}
	}
	return true
}

func inNetwork(policy, request string) bool {
	addr, err := netip.ParseAddr(request)
	if err != nil {
		return false
	}
	if prefix, err := netip.ParsePrefix(policy); err == nil {
		return prefix.Contains(addr)
	}
	single, err := netip.ParseAddr(policy)
	return err == nil && single == addr
}

func numeric(fits func(order int) bool) comparison {
	return func(policy, request string) bool {
		p, errP := strconv.ParseFloat(policy, 64)
		r, errR := strconv.ParseFloat(request, 64)
		if errP != nil || errR != nil {
			return false
		}
		switch {
		case r < p:
			return fits(-1)
		case r > p:
			return fits(1)
		default:
			return fits(0)
		}
	}
}

func dated(fits func(order int) bool) comparison {
	return func(policy, request string) bool {
		p, okP := policyTime(policy)
		r, okR := policyTime(request)
		return okP && okR && fits(r.Compare(p))
	}
}

func policyTime(text string) (time.Time, bool) {
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(seconds, 0), true
	}
	t, err := time.Parse(time.RFC3339, text)
	return t, err == nil
}

package localaws

import "maps"

// A remembered answer belongs to a client token; EC2 gives it again to the same request.
type remembered struct {
	request string
	answer  any
}

// repeatable does what first does once for each client token: the same request
// again is answered with what the first one made, another one is refused.
func repeatable[T any](c *call, token *string, first func() (T, error)) (T, error) {
	if token == nil || *token == "" {
		return first()
	}
	var none T
	if len(*token) > 64 {
		return none, refuse("InvalidParameterValue", "Value (%s) for parameter clientToken is invalid. Client token must be no longer than 64 characters.", *token)
	}
	p := c.place()
	key := c.action + " " + *token
	if before, known := p.tokens[key]; known {
		answer, ok := before.answer.(T)
		if !ok || before.request != requestOf(c) {
			return none, refuse("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
		}
		return answer, nil
	}
	t, err := first()
	if err == nil {
		p.tokens[key] = remembered{requestOf(c), t}
	}
	return t, err
}

// requestOf is what a request asks for.
func requestOf(c *call) string {
	form := maps.Clone(c.form)
	delete(form, "DryRun")
	return form.Encode()
}

//go:generate packer-sdc struct-markdown

package amazonlinux

import "time"

// AWSPolling limits the waits for AWS. It is read as wall-clock time: `delay_seconds` times
// `max_attempts` is how long each wait may take, whatever a look itself takes. How often the plugin looks is its own
// business: every second while the end is near, and otherwise every 2 to 5 seconds.
type AWSPolling struct {
	// Seconds, the first factor of the limit. Default: 15 where `max_attempts` is given.
	DelaySeconds int `mapstructure:"delay_seconds"`
	// The second factor of the limit. Default: 40 where `delay_seconds` is given.
	MaxAttempts int `mapstructure:"max_attempts"`
}

// The factors where only the other one is given: those of AWS's own tools.
const (
	pollingDelay    = 15
	pollingAttempts = 40
)

func (p AWSPolling) check(r *report) {
	r.unless(p.DelaySeconds >= 0, "aws_polling.delay_seconds", p.DelaySeconds, "1 or more")
	r.unless(p.MaxAttempts >= 0, "aws_polling.max_attempts", p.MaxAttempts, "1 or more")
}

// waitLimit is how long a wait for AWS may take that normally may take so long.
func (c *ImageConfig) waitLimit(normally time.Duration) time.Duration {
	delay, attempts := c.AWSPolling.DelaySeconds, c.AWSPolling.MaxAttempts
	switch {
	case delay == 0 && attempts == 0:
		return normally
	case delay == 0:
		delay = pollingDelay
	case attempts == 0:
		attempts = pollingAttempts
	}
	return time.Duration(delay) * time.Second * time.Duration(attempts)
}

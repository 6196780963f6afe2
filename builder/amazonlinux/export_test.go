package amazonlinux

import "time"

// LimitAttempts ends each try of each call of AWS's API after the given time.
func (b *Builder) LimitAttempts(d time.Duration) { b.attempts = d }

// LimitInstance sets instance_ttl, after Prepare, to less than templates may.
func (b *Builder) LimitInstance(d time.Duration) { b.config.InstanceTTL = d }

// ObserveWaits has told what stretches of time the table of phases takes for AWS's, but for those of the
// calls themselves. A wait is told again and again as it grows.
func (b *Builder) ObserveWaits(told func(what string, from, to time.Time)) { b.observe = told }

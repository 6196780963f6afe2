package amazonlinux

import "time"

// LimitAttempts ends each try of each call of AWS's API after the given time.
func (b *Builder) LimitAttempts(d time.Duration) { b.attempts = d }

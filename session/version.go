package session

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// version is an agent's version, number by number.
type version [4]int

// Agents differ. Each of these is the last version that is the way it says.
var (
	lastSingle   = version{3, 0, 196, 0}  // forwards one connection a session
	lastHasty    = version{3, 0, 654, 0}  // acknowledges, and loses, data that comes before it is ready
	lastNervous  = version{3, 1, 1511, 0} // may end the session when it has heard no frame for 30 s
	lastTaciturn = version{3, 1, 1511, 0} // known to acknowledge each message once only, even if it comes again
)

const (
	nervousPulse = 10 * time.Second        // how often nervous agents get a frame, as from AWS's client
	hastyGrace   = 1500 * time.Millisecond // how long hasty agents are left alone after the handshake
)

// parseVersion reads a version. One that cannot be read is taken for a new one.
func parseVersion(s string) version {
	var v version
	for i, part := range strings.SplitN(s, ".", len(v)+1) {
		if i == len(v) {
			break
		}
		n, err := strconv.Atoi(part)
		if err != nil {
			return version{math.MaxInt}
		}
		v[i] = n
	}
	return v
}

// after says whether v is newer than w.
func (v version) after(w version) bool {
	for i := range v {
		if v[i] != w[i] {
			return v[i] > w[i]
		}
	}
	return false
}

// pulse is how often an idle session sends a frame to an agent of version v
// when keepAlive is what the caller wants.
func (v version) pulse(keepAlive time.Duration) time.Duration {
	if v.after(lastNervous) || keepAlive > 0 && keepAlive < nervousPulse {
		return keepAlive
	}
	return nervousPulse
}

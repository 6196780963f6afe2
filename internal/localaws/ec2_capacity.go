package localaws

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
)

// A Shortage is what AWS has run out of: every launch that it matches is
// refused. Empty fields match any; Type may have *.
type Shortage struct {
	Type      string // "t3.small", "t3.*"
	Zone      string // "us-east-1a"
	Lifecycle string // "spot" or "on-demand"
	Code      string // default InsufficientInstanceCapacity
}

// shortages is what AWS has run out of. It has a lock of its own, because
// tests change it while calls are served.
type shortages struct {
	mu   sync.Mutex
	list []*Shortage // guarded by mu
}

// RunOut makes launches fail for want of capacity, those of fleets too, until restock is called.
func (s *Server) RunOut(of Shortage) (restock func()) {
	l := &s.ec2.shortages
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, &of)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.list = slices.DeleteFunc(l.list, func(o *Shortage) bool { return o == &of })
	}
}

// shortageMessages are AWS's words for what it has run out of.
var shortageMessages = map[string]string{
	"InsufficientInstanceCapacity": "We currently do not have sufficient %s capacity in the Availability Zone you requested (%s). Our system will be working on provisioning additional capacity.",
	"MaxSpotInstanceCountExceeded": "Max spot instance count exceeded",
	"Unsupported":                  "Your requested instance type (%s) is not supported in your requested Availability Zone (%s).",
}

func (l *shortages) refuse(kind, zone string, spot bool) error {
	lifecycle := "on-demand"
	if spot {
		lifecycle = "spot"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.list {
		if !matches(cmp.Or(o.Type, "*"), kind) || o.Zone != "" && o.Zone != zone || o.Lifecycle != "" && o.Lifecycle != lifecycle {
			continue
		}
		code := cmp.Or(o.Code, "InsufficientInstanceCapacity")
		e := refuse(code, "%s", "There is no capacity")
		switch message := shortageMessages[code]; code {
		case "InsufficientInstanceCapacity":
			e = refuse(code, message, kind, zone)
			e.status = http.StatusInternalServerError
		case "Unsupported":
			e = refuse(code, message, kind, zone)
		case "MaxSpotInstanceCountExceeded":
			e = refuse(code, "%s", message)
		}
		return e
	}
	return nil
}
